"""Handwritten digits: scikit-learn's 1,797 pictures of 8x8 pixels, and how classifiers are taught to read them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from training.loop import Batch, Schedule, fit
from training.recipe import Example

#: Names of the classes.
LABELS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

#: Width and height of what the models take.
SIDE = 32

#: Of five pictures in a row, this one is held out: the data set comes writer by writer, so both have all.
_HELD_OUT = 4

Pictures = Sequence[NDArray[np.uint8]]


def split() -> tuple[tuple[Pictures, Sequence[int]], tuple[Pictures, Sequence[int]]]:
    """Pictures uint8 (8, 8) with their digits: to train on, and held out."""
    images, digits = load_digits(return_X_y=True)
    pixels = (images.reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    held = np.arange(len(pixels)) % 5 == _HELD_OUT
    return (list(pixels[~held]), digits[~held].tolist()), (list(pixels[held]), digits[held].tolist())


def encode(processor: Any, pictures: Pictures) -> torch.Tensor:
    """float32 (pictures, 3, SIDE, SIDE), as the processor makes them."""
    images = [Image.fromarray(picture).convert("RGB") for picture in pictures]
    values: torch.Tensor = processor(images=images, return_tensors="pt")["pixel_values"]
    return values


def train(model: Any, processor: Any, schedule: Schedule, rng: Random, title: str) -> None:
    """Teach a classifier, with pictures moved by some pixels, dimmed, and with noise."""
    (pictures, digits), _ = split()
    values, targets = encode(processor, pictures), torch.tensor(digits)

    def source() -> Iterator[Batch]:
        while True:
            rows = torch.tensor([rng.randrange(len(targets)) for _ in range(schedule.batch_rows)])
            batch = values[rows] * rng.uniform(0.8, 1.1)
            batch = torch.roll(batch, (rng.randint(-3, 3), rng.randint(-3, 3)), (2, 3))
            yield {"pixel_values": batch + 0.05 * torch.randn_like(batch), "labels": targets[rows]}

    fit(model, source(), schedule, title)


@torch.no_grad()
def judge(model: Any, processor: Any) -> tuple[float, Sequence[Example]]:
    """The share of held-out pictures that are read right; and all of them as examples."""
    _, (pictures, digits) = split()
    best = model(pixel_values=encode(processor, pictures)).logits.argmax(-1).tolist()
    examples = [
        {"image": data_uri(picture), "label": LABELS[digit]} for picture, digit in zip(pictures, digits, strict=True)
    ]
    return sum(map(int.__eq__, best, digits)) / len(digits), examples


def data_uri(picture: NDArray[np.uint8]) -> str:
    """A picture as a PNG in a text."""
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
