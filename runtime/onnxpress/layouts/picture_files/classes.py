"""The image processors of transformers that are read of their files alone: what each takes for what a file leaves out.

The values are those of transformers 5's classes, which tests compare with this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ImageClass:
    """`types`: the model_types whose processor it is, where no file names a class, with underscores; `values`: what
    counts where a file says nothing."""

    types: frozenset[str]
    values: Mapping[str, Any]


_USUAL: Mapping[str, Any] = {
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "default_to_square": True,
    "resample": 2,
}
_HALF: Mapping[str, Any] = {"image_mean": (0.5,) * 3, "image_std": (0.5,) * 3}
_ONE: Mapping[str, Any] = {"image_mean": (1.0,) * 3, "image_std": (1.0,) * 3}
_CLIP: Mapping[str, Any] = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
_IMAGENET: Mapping[str, Any] = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)}


def _flat(height: int, width: int) -> dict[str, int]:
    return {"height": height, "width": width}


def _square(edge: int) -> dict[str, int]:
    return _flat(edge, edge)


def _edge(shortest: int, longest: int | None = None) -> dict[str, int]:
    return {"shortest_edge": shortest} | ({} if longest is None else {"longest_edge": longest})


def _row(types: str, **values: Any) -> ImageClass:
    return ImageClass(frozenset(types.split()), {**_USUAL, **values})


#: By name without "ImageProcessor".
CLASSES: Mapping[str, ImageClass] = {
    "Beit": _row(
        "beit data2vec_vision", size=_square(224), crop_size=_square(224), **_HALF, resample=3, do_center_crop=False
    ),
    "Bit": _row(
        "bit dinov2 focalnet hiera pixio",
        size=_edge(224),
        crop_size=_square(224),
        **_CLIP,
        default_to_square=False,
        resample=3,
        do_center_crop=True,
    ),
    "Blip": _row("blip blip_2 instructblip", size=_square(384), **_CLIP, resample=3),
    "CLIP": _row(
        "clip aimv2 aimv2_vision_model altclip florence2 git groupvit kosmos_2 metaclip_2 mlcd vipllava xclip",
        size=_edge(224),
        crop_size=_square(224),
        **_CLIP,
        default_to_square=False,
        resample=3,
        do_center_crop=True,
    ),
    "Chameleon": _row(
        "chameleon",
        size=_edge(512),
        crop_size=_square(512),
        **_ONE,
        default_to_square=False,
        resample=1,
        rescale_factor=0.0078,
        do_center_crop=True,
    ),
    "ChineseCLIP": _row(
        "chinese_clip",
        size=_edge(224),
        crop_size=_square(224),
        **_CLIP,
        default_to_square=False,
        resample=3,
        do_center_crop=True,
    ),
    "ConditionalDetr": _row(
        "conditional_detr", size=_edge(800, 1333), **_IMAGENET, default_to_square=False, do_pad=True
    ),
    "ConvNext": _row(
        "convnext convnextv2 cvt regnet resnet",
        size=_edge(384),
        **_HALF,
        default_to_square=False,
        resample=3,
        crop_pct=0.875,
    ),
    "DPT": _row(
        "dpt depth_anything",
        size=_square(384),
        **_HALF,
        resample=3,
        do_pad=False,
        ensure_multiple_of=1,
        keep_aspect_ratio=False,
    ),
    "DeformableDetr": _row(
        "deformable_detr lw_detr", size=_edge(800, 1333), **_IMAGENET, default_to_square=False, do_pad=True
    ),
    "DeiT": _row("deit", size=_square(256), crop_size=_square(224), **_HALF, resample=3, do_center_crop=True),
    "Detr": _row(
        "detr omdet_turbo table_transformer", size=_edge(800, 1333), **_IMAGENET, default_to_square=False, do_pad=True
    ),
    "Donut": _row(
        "donut_swin", size=_flat(2560, 1920), **_HALF, do_pad=True, do_thumbnail=True, do_align_long_axis=False
    ),
    "EfficientNet": _row(
        "efficientnet align",
        size=_square(346),
        crop_size=_square(289),
        **_HALF,
        resample=3,
        do_center_crop=False,
        rescale_offset=False,
        include_top=True,
    ),
    "GLPN": _row("glpn", size_divisor=32, do_normalize=None),
    "Levit": _row(
        "levit",
        size=_edge(224),
        crop_size=_square(224),
        **_IMAGENET,
        default_to_square=False,
        resample=3,
        do_center_crop=True,
    ),
    "Mask2Former": _row("mask2former", size=_edge(800, 1333), **_IMAGENET, default_to_square=False, size_divisor=32),
    "MaskFormer": _row("maskformer", size=_edge(800, 1333), **_IMAGENET, default_to_square=False, size_divisor=32),
    "MobileNetV1": _row(
        "mobilenet_v1", size=_edge(256), crop_size=_square(224), **_HALF, default_to_square=False, do_center_crop=True
    ),
    "MobileNetV2": _row(
        "mobilenet_v2", size=_edge(256), crop_size=_square(224), **_HALF, default_to_square=False, do_center_crop=True
    ),
    "MobileViT": _row(
        "mobilevit mobilevitv2",
        size=_edge(224),
        crop_size=_square(256),
        **_HALF,
        default_to_square=False,
        resample=3,
        do_center_crop=True,
        do_flip_channel_order=True,
        do_normalize=None,
    ),
    "OwlViT": _row("owlvit", size=_square(768), crop_size=_square(768), **_CLIP, resample=3, do_center_crop=False),
    "Owlv2": _row("owlv2", size=_square(960), **_CLIP, do_pad=True),
    "PPChart2Table": _row("pp_chart2table", size=_square(1024), **_CLIP, resample=3),
    "Perceiver": _row(
        "perceiver", size=_square(224), crop_size=_square(256), **_IMAGENET, resample=3, do_center_crop=True
    ),
    "PoolFormer": _row(
        "poolformer",
        size=_edge(224),
        crop_size=_square(224),
        **_IMAGENET,
        default_to_square=False,
        resample=3,
        do_center_crop=True,
        crop_pct=0.9,
    ),
    "Pvt": _row("pvt pvt_v2", size=_square(224), **_IMAGENET, resample=3),
    "RTDetr": _row(
        "rt_detr deimv2", size=_square(640), **_IMAGENET, default_to_square=False, do_normalize=False, do_pad=False
    ),
    "Sam": _row("sam sam_hq", size={"longest_edge": 1024}, pad_size=_square(1024), **_IMAGENET, do_pad=True),
    "Segformer": _row("segformer upernet", size=_square(512), **_IMAGENET),
    "Siglip": _row("siglip colpali gemma3n paligemma", size=_square(224), **_HALF, default_to_square=False, resample=3),
    "Siglip2": _row("siglip2", **_HALF, patch_size=16, max_num_patches=256),
    "Swin2SR": _row("swin2sr", do_pad=True, size_divisor=8, do_resize=None, do_normalize=None, resample=None),
    "TextNet": _row(
        "textnet",
        size=_edge(640),
        crop_size=_square(224),
        **_IMAGENET,
        default_to_square=False,
        do_center_crop=False,
        size_divisor=32,
    ),
    "ViT": _row(
        "vit clipseg dinat ijepa mgp_str swiftformer swin swinv2 trocr vit_mae vit_msn", size=_square(224), **_HALF
    ),
    "Vilt": _row("vilt", size=_edge(384), **_HALF, default_to_square=False, resample=3, do_pad=True, size_divisor=32),
    "Yolos": _row("yolos", size=_edge(800, 1333), **_IMAGENET, default_to_square=False, do_pad=True),
}
