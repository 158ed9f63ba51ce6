"""Sounds of five kinds, made by arithmetic, and how a classifier is taught to tell them apart in noise."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from onnxpress_exporter.judging.sounds import KINDS
from training.loop import Batch, Schedule, fit
from training.recipe import Example

#: Names of the classes: those of the kinds.
LABELS = tuple(kind.__name__.strip("_") for kind in KINDS)

#: Samples a second, and the length of a sound.
RATE, SECONDS = 16_000, 0.8

#: Numbers that the sounds to train on begin with, and those that are held out.
_TRAIN, _HELD_OUT = 10_000, 900_000
_TRAINED, _HELD = 3_000, 400

#: Of the loudness of a sound, what the noise about it has.
_NOISE = (0.02, 0.5)


def sound(number: int) -> NDArray[np.float32]:
    """float32 (samples,) of the kind `number % 5`, in street noise."""
    generator = np.random.default_rng(number)
    time = np.arange(round(RATE * SECONDS)) / RATE
    clean, hum = KINDS[number % len(KINDS)](generator, time), KINDS[-1](generator, time)
    mixed = clean / clean.std() + generator.uniform(*_NOISE) * hum / hum.std()
    return (generator.uniform(0.05, 0.9) * mixed / np.abs(mixed).max()).astype(np.float32)


def encode(extractor: Any, sounds: Sequence[NDArray[np.float32]]) -> torch.Tensor:
    """float32 (sounds, frames, bands), as the feature extractor makes them."""
    values: torch.Tensor = extractor(list(sounds), sampling_rate=RATE, return_tensors="pt")["input_values"]
    return values


def train(model: Any, extractor: Any, schedule: Schedule, rng: Random, title: str) -> None:
    """Teach a classifier, with sounds moved in time."""
    values = encode(extractor, [sound(_TRAIN + number) for number in range(_TRAINED)])
    targets = (_TRAIN + torch.arange(_TRAINED)) % len(KINDS)

    def source() -> Iterator[Batch]:
        while True:
            rows = torch.tensor([rng.randrange(_TRAINED) for _ in range(schedule.batch_rows)])
            batch = torch.roll(values[rows], rng.randint(-8, 8), 1)
            yield {"input_values": batch + 0.02 * torch.randn_like(batch), "labels": targets[rows]}

    fit(model, source(), schedule, title)


@torch.no_grad()
def judge(model: Any, extractor: Any, kept: int) -> tuple[float, Sequence[Example]]:
    """The share of held-out sounds that are named right, as small files; and the first of them as examples."""
    numbers = range(_HELD_OUT, _HELD_OUT + _HELD)
    files = [_ogg(sound(number)) for number in numbers]
    sounds = [soundfile.read(BytesIO(file), dtype="float32")[0] for file in files]
    best = model(input_values=encode(extractor, sounds)).logits.argmax(-1).tolist()
    targets = [number % len(KINDS) for number in numbers]
    examples = [
        {"audio": f"data:audio/ogg;base64,{base64.b64encode(file).decode()}", "label": LABELS[target]}
        for file, target in zip(files[:kept], targets, strict=False)
    ]
    return sum(map(int.__eq__, best, targets)) / len(targets), examples


def _ogg(samples: NDArray[np.float32]) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, RATE, format="OGG", subtype="VORBIS", compression_level=0.9)
    return file.getvalue()
