"""Shapes drawn on plain grounds, and what may be said of them: "a small red circle on blue"."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

#: Width and height of what is drawn, in pixels.
CANVAS = 48

COLOURS = {
    "red": (214, 40, 40), "green": (46, 160, 67), "blue": (40, 80, 214), "yellow": (236, 205, 40),
    "purple": (130, 60, 170), "orange": (240, 140, 30), "white": (245, 245, 245), "black": (20, 20, 20),
}  # fmt: skip
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = {"small": (9, 11), "large": (18, 20)}

#: How far from the middle a shape may be, in pixels.
_ASIDE = 2


@dataclass(frozen=True, slots=True)
class Scene:
    """What is to be drawn."""

    size: str
    colour: str
    shape: str
    ground: str

    @property
    def label(self) -> str:
        """Its colour and shape."""
        return f"{self.colour} {self.shape}"

    @property
    def caption(self) -> str:
        """All of it in words."""
        return f"a {self.size} {self.colour} {self.shape} on {self.ground}"


SCENES = tuple(
    Scene(size, colour, shape, ground)
    for size, colour, shape, ground in product(SIZES, COLOURS, SHAPES, COLOURS)
    if colour != ground
)


def split(held_out: int, seed: int) -> tuple[list[Scene], list[Scene]]:
    """Scenes to learn from, and others: their words are known, put together as never before."""
    scenes = list(SCENES)
    Random(seed).shuffle(scenes)
    return scenes[held_out:], scenes[:held_out]


def draw(scene: Scene, rng: Random) -> NDArray[np.uint8]:
    """uint8 (CANVAS, CANVAS, 3): about in the middle, in about these colours."""
    image = Image.new("RGB", (CANVAS, CANVAS), _near(COLOURS[scene.ground], rng))
    pen, fill = ImageDraw.Draw(image), _near(COLOURS[scene.colour], rng)
    radius = rng.randint(*SIZES[scene.size])
    x, y = (CANVAS // 2 + rng.randint(-_ASIDE, _ASIDE) for _ in range(2))
    box = (x - radius, y - radius, x + radius, y + radius)
    match scene.shape:
        case "circle":
            pen.ellipse(box, fill=fill)
        case "square":
            pen.rectangle(box, fill=fill)
        case "triangle":
            pen.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=fill)
        case "cross":
            arm = max(1, radius // 3)
            pen.rectangle((x - arm, y - radius, x + arm, y + radius), fill=fill)
            pen.rectangle((x - radius, y - arm, x + radius, y + arm), fill=fill)
    return np.asarray(image)


def _near(colour: tuple[int, ...], rng: Random) -> tuple[int, ...]:
    return tuple(min(255, max(0, value + rng.randint(-12, 12))) for value in colour)
