"""tiny-digits-vit: ViT, one of ten digits."""

from __future__ import annotations

from training.digits import LABELS, SIDE, judge, train
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

_SCHEDULE = Schedule(steps=1200, batch_rows=64)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    processor = ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}, resample=3)
    config = ViTConfig(
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=192,
        image_size=SIDE,
        patch_size=4,
        initializer_range=INITIAL_SCALE,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        problem_type="single_label_classification",
    )
    model = ViTForImageClassification(config)
    train(model, processor, _SCHEDULE, rng, "tiny-digits-vit")
    accuracy, examples = judge(model, processor)
    return Trained(model, processor, {"accuracy": accuracy}, len(examples), {"examples.jsonl": examples[:160]})


RECIPE = Recipe(
    name="tiny-digits-vit",
    task="image-classification",
    seed=21,
    metric="accuracy",
    target=0.97,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
