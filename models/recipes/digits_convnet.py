"""tiny-digits-convnet: ResNet, one of ten digits."""

from __future__ import annotations

from training.digits import LABELS, SIDE, judge, train
from training.loop import Schedule, prepare
from training.recipe import Recipe, Trained
from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetForImageClassification

_SCHEDULE = Schedule(steps=700, batch_rows=64)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    processor = ConvNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_pct=1.0)
    config = ResNetConfig(
        embedding_size=16,
        hidden_sizes=[24, 40, 64],
        depths=[2, 2, 2],
        layer_type="basic",
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        problem_type="single_label_classification",
    )
    model = ResNetForImageClassification(config)
    train(model, processor, _SCHEDULE, rng, "tiny-digits-convnet")
    accuracy, examples = judge(model, processor)
    return Trained(model, processor, {"accuracy": accuracy}, len(examples), {"examples.jsonl": examples[:160]})


RECIPE = Recipe(
    name="tiny-digits-convnet",
    task="image-classification",
    seed=22,
    metric="accuracy",
    target=0.97,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
