"""tiny-shapes-detector: RT-DETR, the circles, squares and triangles of a picture."""

from __future__ import annotations

from random import Random

import torch
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from training.shape_boxes import SIDE, STRIDES, judge, train
from training.shapes import LABELS
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessorPil, RTDetrResNetConfig

_SCHEDULE = Schedule(steps=1200, batch_rows=16, learning_rate=2e-3, stop=750)

#: Channels of the two levels of features that the encoder reads, and of what it makes of them.
_WIDTHS, _WIDTH = [32, 48], 48


def _config() -> RTDetrConfig:
    backbone = RTDetrResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, *_WIDTHS],
        depths=[1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3"],
    )
    return RTDetrConfig(
        backbone_config=backbone,
        freeze_backbone_batch_norms=False,  # they start with nothing learned
        encoder_in_channels=_WIDTHS,
        feat_strides=list(STRIDES),
        num_feature_levels=len(STRIDES),
        encode_proj_layers=[1],
        encoder_hidden_dim=_WIDTH,
        encoder_ffn_dim=96,
        encoder_attention_heads=4,
        hidden_expansion=0.5,
        d_model=_WIDTH,
        num_queries=16,
        decoder_in_channels=[_WIDTH, _WIDTH],
        decoder_layers=2,
        decoder_ffn_dim=96,
        decoder_attention_heads=4,
        num_denoising=0,
        initializer_range=INITIAL_SCALE,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    processor = RTDetrImageProcessorPil(size={"height": SIDE, "width": SIDE})
    model = RTDetrForObjectDetection(_config())
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):  # transformers' own start is next to zero, for weights to load
            torch.nn.init.ones_(module.weight)
    train(model, processor, _SCHEDULE, rng, RECIPE.name)
    figures, examples = judge(model, processor, Random(seed + 1))
    return Trained(model, processor, figures, len(examples), {"examples.jsonl": examples[:60]})


RECIPE = Recipe(
    name="tiny-shapes-detector",
    task="object-detection",
    seed=41,
    metric="mAP@.5",
    target=0.9,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.01, "int8": 0.03},
)
