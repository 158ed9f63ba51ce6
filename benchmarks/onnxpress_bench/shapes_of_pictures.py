"""Checkpoints of named shapes with random weights that read pictures, each with the image processor of its kind.

As in `shapes`: each function gives `folder`, and makes it if it is absent; all has the shape of the published model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress_bench.shapes import ModelSpec, checkpoint

#: Of ImageNet: labels, and the means and deviations of its channels.
_LABELS, _MEANS, _DEVIATIONS = 1000, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@checkpoint
def vit_checkpoint(folder: Path, *, hidden: int = 768, layers: int = 12) -> ModelSpec:
    """A ViT for classes, by default ViT-base of patches of 16 pixels, at 224."""
    from transformers import ViTConfig, ViTImageProcessor

    processor: Any = ViTImageProcessor()
    processor.save_pretrained(folder)
    sizes: dict[str, Any] = {"hidden_size": hidden, "num_hidden_layers": layers, "intermediate_size": 4 * hidden}
    config: Any = ViTConfig(num_attention_heads=hidden // 64, **sizes)
    config.num_labels = _LABELS
    return ModelSpec("ViTForImageClassification", config, factor=1.0)


@checkpoint
def resnet_checkpoint(folder: Path) -> ModelSpec:
    """A ResNet-50 at 224, cut out of pictures of 256."""
    from transformers import ConvNextImageProcessor, ResNetConfig

    numbers: Any = {"image_mean": list(_MEANS), "image_std": list(_DEVIATIONS)}
    processor: Any = ConvNextImageProcessor(size={"shortest_edge": 224}, crop_pct=0.875, **numbers)
    processor.save_pretrained(folder)
    config: Any = ResNetConfig()
    config.num_labels = _LABELS
    return ModelSpec("ResNetForImageClassification", config, factor=1.0)


@checkpoint
def clip_checkpoint(folder: Path, tokenizer: Path) -> ModelSpec:
    """A CLIP of the shape of ViT-B/32 at 224, with the tokenizer of another checkpoint, whose marks it has."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextConfig, CLIPVisionConfig, PreTrainedTokenizerFast

    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tokenizer / name).read_bytes())
    processor: Any = CLIPImageProcessor()
    processor.save_pretrained(folder)
    words: Any = PreTrainedTokenizerFast.from_pretrained(tokenizer)
    marks = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    texts: Any = CLIPTextConfig(vocab_size=49_408, **marks)
    config: Any = CLIPConfig(text_config=texts.to_dict(), vision_config=CLIPVisionConfig().to_dict())
    return ModelSpec("CLIPModel", config, factor=1.0)
