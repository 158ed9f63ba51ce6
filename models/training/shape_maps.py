"""Maps of drawn shapes: of which colour's shape each pixel is, and how segmenters are taught to tell."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from io import BytesIO
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.loop import Batch, Schedule, fit
from training.recipe import Example
from training.shapes import COLOURS, Drawing, draw

#: Names of the classes: what is not of a shape is ground.
LABELS = ("ground", *COLOURS)

#: Width and height of what the models take, and of the drawings that they are taught by.
SIDE = 64

#: Heights and widths of drawings that they are judged by.
_JUDGED = ((64, 64), (64, 96), (96, 64), (80, 80))

#: Drawings that are made once, and moved and mirrored from then on.
_TAUGHT, _HELD_OUT = 1_000, 96

#: Pixels of a drawing of edges for one of the map.
_FINE = 4


def label_map(drawing: Drawing) -> NDArray[np.uint8]:
    """uint8 (height, width): the number in LABELS of what covers at least half of each pixel, the last drawn first."""
    height, width = drawing.pixels.shape[:2]
    places = np.zeros((height, width), dtype=np.uint8)
    for shape in drawing.shapes:
        fine = Image.new("L", (width * _FINE, height * _FINE))
        canvas, (left, top, right, bottom) = ImageDraw.Draw(fine), (edge * _FINE for edge in shape.box)
        match shape.label:
            case "circle":
                canvas.ellipse((left, top, right, bottom), 255)
            case "square":
                canvas.rectangle((left, top, right, bottom), 255)
            case _:
                canvas.polygon(((left + right) / 2, top, right, bottom, left, bottom), 255)
        covered = np.asarray(fine.resize((width, height), Image.Resampling.BOX)) >= 128
        places[covered] = LABELS.index(shape.colour)
    return places


def encode(processor: Any, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """float32 (pictures, 3, SIDE, SIDE), as the processor makes them."""
    images = [Image.fromarray(picture) for picture in pictures]
    values: torch.Tensor = processor(images=images, return_tensors="pt")["pixel_values"]
    return values


def train(model: Any, processor: Any, schedule: Schedule, rng: Random, title: str) -> None:
    """Teach a segmenter, with drawings mirrored and turned."""
    drawings = [draw(rng, SIDE, SIDE) for _ in range(_TAUGHT)]
    values = encode(processor, [drawing.pixels for drawing in drawings])
    maps = torch.from_numpy(np.stack([label_map(drawing) for drawing in drawings])).long()

    def source() -> Iterator[Batch]:
        while True:
            rows = torch.tensor([rng.randrange(len(maps)) for _ in range(schedule.batch_rows)])
            turns, mirrored = rng.randrange(4), rng.random() < 0.5
            batch = {"pixel_values": values[rows], "labels": maps[rows]}
            for name, array in batch.items():
                turned = torch.rot90(array, turns, (-2, -1))
                batch[name] = torch.flip(turned, (-1,)) if mirrored else turned
            yield batch

    fit(model, source(), schedule, title)


@torch.no_grad()
def judge(model: Any, processor: Any, rng: Random) -> tuple[dict[str, float], Sequence[Example]]:
    """Mean IoU and the share of pixels that are right, at the drawings' own sizes; and the drawings as examples."""
    drawings = [draw(rng, *_JUDGED[place % len(_JUDGED)]) for place in range(_HELD_OUT)]
    confusion = np.zeros((len(LABELS), len(LABELS)), dtype=np.int64)
    for drawing in drawings:
        logits = model(pixel_values=encode(processor, [drawing.pixels])).logits
        places = label_map(drawing)
        large = torch.nn.functional.interpolate(logits, size=places.shape, mode="bilinear", align_corners=False)
        np.add.at(confusion, (places, large[0].argmax(0).numpy()), 1)
    right = np.diagonal(confusion)
    overlaps = right / (confusion.sum(0) + confusion.sum(1) - right)
    figures = {"mean IoU": float(overlaps.mean()), "pixel accuracy": float(right.sum() / confusion.sum())}
    return figures, [{"image": _uri(drawing.pixels), "mask": _uri(label_map(drawing))} for drawing in drawings]


def _uri(pixels: NDArray[np.uint8]) -> str:
    """A PNG in a text: of a picture, or of a map of numbers."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
