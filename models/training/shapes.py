"""Drawn shapes on textured grounds: circles, squares and triangles of several colours, and where each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

#: Names of the shapes.
LABELS = ("circle", "square", "triangle")

#: Name of a colour -> red, green and blue.
COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 160, 60),
    "blue": (50, 70, 200),
    "yellow": (225, 200, 50),
    "white": (240, 240, 240),
    "black": (20, 20, 20),
}

#: Pixels of a drawing for one of the picture: edges are smooth.
_FINE = 4

#: Of the shorter edge, how wide shapes are.
_WIDTHS = (0.25, 0.5)

#: Of the smaller one's area, how much two shapes may hide of each other.
_HIDDEN = 0.1


@dataclass(frozen=True, slots=True)
class Shape:
    """`box`: left, top, right and bottom edge, in pixels."""

    label: str
    colour: str
    box: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Drawing:
    """uint8 (height, width, 3), and the shapes in it."""

    pixels: NDArray[np.uint8]
    shapes: Sequence[Shape]


def draw(rng: Random, height: int, width: int, most: int = 4) -> Drawing:
    """A picture with one shape or more."""
    fine = Image.new("L", (width * _FINE, height * _FINE))
    pixels = _ground(rng, height, width)
    shapes: list[Shape] = []
    for _ in range(rng.randint(1, most)):
        side = rng.uniform(*_WIDTHS) * min(height, width)
        left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
        shape = Shape(rng.choice(LABELS), rng.choice(list(COLOURS)), (left, top, left + side, top + side))
        if any(_common(shape, other) > _HIDDEN for other in shapes):
            continue
        shapes.append(shape)
        fine.paste(0, (0, 0, *fine.size))
        _outline(ImageDraw.Draw(fine), shape)
        cover = np.asarray(fine.resize((width, height), Image.Resampling.BOX), np.float32)[..., None] / 255
        colour = np.array(COLOURS[shape.colour], np.float32) + np.float32(rng.uniform(-15, 15))
        pixels = pixels * (1 - cover) + colour * cover
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 4, pixels.shape)
    return Drawing((pixels + noise).clip(0, 255).astype(np.uint8), shapes)


def _ground(rng: Random, height: int, width: int) -> NDArray[np.float32]:
    """Soft spots of two colours that no shape has."""
    generator = np.random.default_rng(rng.getrandbits(32))
    spots = generator.uniform(0, 255, (rng.randint(2, 9), rng.randint(2, 9))).astype(np.uint8)
    share = np.asarray(Image.fromarray(spots).resize((width, height), Image.Resampling.BICUBIC), np.float32)[..., None]
    first, second = generator.uniform(90, 170, (2, 3)).astype(np.float32)
    ground: NDArray[np.float32] = first + (second - first) * share / 255
    return ground


def _outline(canvas: ImageDraw.ImageDraw, shape: Shape) -> None:
    left, top, right, bottom = (edge * _FINE for edge in shape.box)
    match shape.label:
        case "circle":
            canvas.ellipse((left, top, right, bottom), 255)
        case "square":
            canvas.rectangle((left, top, right, bottom), 255)
        case _:
            canvas.polygon(((left + right) / 2, top, right, bottom, left, bottom), 255)


def _common(first: Shape, second: Shape) -> float:
    """What share of the smaller box is in the other one, too."""
    pairs = list(zip(first.box, second.box, strict=True))
    wide = min(pairs[2]) - max(pairs[0])
    tall = min(pairs[3]) - max(pairs[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first.box, second.box))
    return max(wide, 0) * max(tall, 0) / smaller


def boxes(drawing: Drawing) -> list[dict[str, Any]]:
    """The shapes as a detector answers."""
    edges = ("xmin", "ymin", "xmax", "ymax")
    return [
        {"label": shape.label, "box": dict(zip(edges, map(round, shape.box), strict=True))} for shape in drawing.shapes
    ]
