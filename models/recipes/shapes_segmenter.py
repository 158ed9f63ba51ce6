"""tiny-shapes-segmenter: SegFormer, of which colour's drawn shape each pixel is."""

from __future__ import annotations

from random import Random

from training.loop import Schedule, prepare
from training.recipe import Recipe, Trained
from training.shape_maps import LABELS, SIDE, judge, train
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessorPil

_SCHEDULE = Schedule(steps=260, batch_rows=8, learning_rate=3e-3)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    processor = SegformerImageProcessorPil(size={"height": SIDE, "width": SIDE})
    config = SegformerConfig(
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 3, 4],
        sr_ratios=[8, 4, 2, 1],
        patch_sizes=[3, 3, 3, 3],
        strides=[2, 2, 2, 2],
        mlp_ratios=[2, 2, 2, 2],
        decoder_hidden_size=48,
        drop_path_rate=0.0,
        classifier_dropout_prob=0.0,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    model = SegformerForSemanticSegmentation(config)
    train(model, processor, _SCHEDULE, rng, "tiny-shapes-segmenter")
    figures, examples = judge(model, processor, Random(seed + 1))
    return Trained(model, processor, figures, len(examples), {"examples.jsonl": examples[:64]})


RECIPE = Recipe(
    name="tiny-shapes-segmenter",
    task="image-segmentation",
    seed=31,
    metric="mean IoU",
    target=0.8,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
