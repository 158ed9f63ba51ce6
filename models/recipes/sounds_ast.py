"""tiny-sounds-ast: an audio spectrogram transformer, one of five kinds of sounds."""

from __future__ import annotations

import warnings

from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from training.sounds import LABELS, judge, train
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

_SCHEDULE = Schedule(steps=700, batch_rows=32, learning_rate=1e-3)

#: Frames and bands of what the model takes.
_FRAMES, _BANDS = 80, 32

#: Sounds that are stored as examples.
_EXAMPLES = 60


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bands without a frequency
        extractor = ASTFeatureExtractor(num_mel_bins=_BANDS, max_length=_FRAMES)
    config = ASTConfig(
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        max_length=_FRAMES,
        num_mel_bins=_BANDS,
        patch_size=8,
        frequency_stride=8,
        time_stride=8,
        initializer_range=INITIAL_SCALE,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        problem_type="single_label_classification",
    )
    model = ASTForAudioClassification(config)
    train(model, extractor, _SCHEDULE, rng, "tiny-sounds-ast")
    accuracy, examples = judge(model, extractor, _EXAMPLES)
    return Trained(model, extractor, {"accuracy": accuracy}, 400, {"examples.jsonl": examples})


RECIPE = Recipe(
    name="tiny-sounds-ast",
    task="audio-classification",
    seed=23,
    metric="accuracy",
    target=0.97,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
