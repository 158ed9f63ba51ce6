"""Boxes around drawn shapes: how detectors are taught to find them, and how well they do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from onnxpress_exporter.judging.boxes import average_precision
from training.digits import data_uri
from training.loop import Batch, Schedule, fit
from training.recipe import Example
from training.shapes import LABELS, Drawing, boxes, draw

#: Width and height of what the models take.
SIDE = 64

#: Pixels from one proposal's place to the next, in each level of features.
STRIDES = (8, 16)

#: A proposal is for a shape whose middle is so near, as a share of the edges, if not for a wide one farther off.
_NEAR = STRIDES[0] / SIDE / 2

#: Heights and widths of drawings.
_SIZES = ((64, 64), (64, 96), (96, 64), (80, 80))

#: Shapes in a drawing, at most.
_MOST = 3

#: Drawings that are made once, and mirrored and recoloured from then on.
_TAUGHT, _HELD_OUT = 2_400, 160


def encode(processor: Any, pictures: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """float32 (pictures, 3, SIDE, SIDE), as the processor makes them."""
    images = [Image.fromarray(picture) for picture in pictures]
    values: torch.Tensor = processor(images=images, return_tensors="pt")["pixel_values"]
    return values


def train(model: Any, processor: Any, schedule: Schedule, rng: Random, title: str) -> None:
    """Teach a detector, with drawings mirrored, their colours exchanged, dimmed, and with noise."""
    drawings = _draw(rng, _TAUGHT)
    values = encode(processor, [drawing.pixels for drawing in drawings])
    targets = [_target(drawing) for drawing in drawings]

    def source() -> Iterator[Batch]:
        while True:
            rows = [rng.randrange(len(targets)) for _ in range(schedule.batch_rows)]
            mirrored = rng.random() < 0.5
            pixels = values[rows].flip(3) if mirrored else values[rows]
            pixels = pixels[:, torch.randperm(3)] * rng.uniform(0.8, 1.1)
            labels: Any = [_mirror(targets[row]) if mirrored else targets[row] for row in rows]
            yield {"pixel_values": pixels + 0.02 * torch.randn_like(pixels), "labels": labels}

    fit(model, source(), schedule, title, _loss)


@torch.no_grad()
def judge(model: Any, processor: Any, rng: Random) -> tuple[dict[str, float], Sequence[Example]]:
    """Average precision on drawings that were never seen; and these as examples."""
    drawings = _draw(rng, _HELD_OUT)
    right = [boxes(drawing) for drawing in drawings]
    answers = [_answer(model, processor, drawing) for drawing in drawings]
    examples = [
        {"image": data_uri(drawing.pixels), "objects": objects}
        for drawing, objects in zip(drawings, right, strict=True)
    ]
    return average_precision(answers, right), examples


def _draw(rng: Random, count: int) -> list[Drawing]:
    return [draw(rng, *_SIZES[place % len(_SIZES)], most=_MOST) for place in range(count)]


def _target(drawing: Drawing) -> dict[str, torch.Tensor]:
    """Labels, and boxes as centres and sides, all as shares of the picture's."""
    height, width = drawing.pixels.shape[:2]
    edges = np.array([shape.box for shape in drawing.shapes], np.float32) / np.float32([width, height, width, height])
    middles, sides = (edges[:, :2] + edges[:, 2:]) / 2, edges[:, 2:] - edges[:, :2]
    return {
        "class_labels": torch.tensor([LABELS.index(shape.label) for shape in drawing.shapes]),
        "boxes": torch.from_numpy(np.concatenate([middles, sides], axis=1)),
    }


def _mirror(target: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Left and right exchanged."""
    middle, others = target["boxes"].split([1, 3], dim=1)
    return {**target, "boxes": torch.cat([1 - middle, others], dim=1)}


def _loss(model: Any, batch: Batch) -> torch.Tensor:
    """The model's own, which pairs each shape with one proposal, and one of all proposals: pairs alone teach slowly."""
    outputs = model(**batch)
    targets: Any = batch["labels"]
    loss: torch.Tensor = outputs.loss + _loss_of_proposals(
        outputs.enc_outputs_class, outputs.enc_outputs_coord_logits, targets
    )
    return loss


def _loss_of_proposals(
    logits: torch.Tensor, unbound: torch.Tensor, targets: Sequence[dict[str, torch.Tensor]]
) -> torch.Tensor:
    """A proposal is for the shape whose middle is near the one of its place, others are for none.

    `logits`: float32 (pictures, places, labels); `unbound`: boxes before the sigmoid, float32 (pictures, places, 4).
    """
    boxes, labels = (torch.cat([target[name] for target in targets]) for name in ("boxes", "class_labels"))
    pictures = torch.tensor([row for row, target in enumerate(targets) for _ in target["boxes"]])
    offsets = (_places() - boxes[:, None, :2]).abs()
    shapes, places = (offsets < (boxes[:, None, 2:] / 4).clamp(min=_NEAR)).all(-1).nonzero(as_tuple=True)
    right = torch.zeros_like(logits)
    right[pictures[shapes], places, labels[shapes]] = 1
    # Places of no shape are many, and most are told soon: what they count for falls with their score.
    weights = torch.where(right > 0, 1.0, 0.75 * logits.detach().sigmoid() ** 2)
    scores = functional.binary_cross_entropy_with_logits(logits, right, weights, reduction="sum")
    distances = (unbound[pictures[shapes], places].sigmoid() - boxes[shapes]).abs().sum()
    return (scores + 5 * distances) / len(boxes)


@cache
def _places() -> torch.Tensor:
    """float32 (places, 2): the middles of the cells that proposals come from, x and y as shares of the edges."""
    levels = []
    for stride in STRIDES:
        middles = (torch.arange(SIDE // stride) + 0.5) * stride / SIDE
        rows, columns = torch.meshgrid(middles, middles, indexing="ij")
        levels.append(torch.stack([columns, rows], dim=-1).flatten(0, 1))
    return torch.cat(levels)


def _answer(model: Any, processor: Any, drawing: Drawing) -> list[dict[str, Any]]:
    """Every object that the model makes of a drawing, however unsure."""
    outputs = model(pixel_values=encode(processor, [drawing.pixels]))
    (answer,) = processor.post_process_object_detection(outputs, 0.0, [drawing.pixels.shape[:2]])
    rows = zip(*(answer[name].tolist() for name in ("scores", "labels", "boxes")), strict=True)
    edges = ("xmin", "ymin", "xmax", "ymax")
    return [
        {"score": score, "label": LABELS[label], "box": dict(zip(edges, box, strict=True))}
        for score, label, box in rows
    ]
