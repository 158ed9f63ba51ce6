"""Pictures of one shape or two, drawn by script, with what there is to say of each."""

from __future__ import annotations

from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from grammars.core import Split, is_heldout, words

Picture = NDArray[np.uint8]

#: Colours with what they are called; each is drawn a little lighter or darker.
COLOURS = {
    "red": (215, 40, 40),
    "green": (40, 160, 60),
    "blue": (50, 80, 215),
    "yellow": (235, 205, 40),
    "black": (25, 25, 25),
    "purple": (145, 60, 170),
}
SHAPES = words("circle square triangle cross")
#: How the first shape lies to the second: across and down. Of two shapes the left or the upper one is told first: a
#: picture has one text.
RELATIONS = {"left of": (-1, 0), "above": (0, -1)}

#: One combination of two coloured shapes and a relation in so many is never seen in training.
_ONE_IN = 6


def shapes(rng: Random, split: Split, side: int) -> tuple[Picture, str]:
    """uint8 (side, side, 3) and "a red circle left of a blue square"."""
    while True:
        colours = rng.sample(list(COLOURS), 2)
        kinds = [rng.choice(SHAPES) for _ in colours]
        relation = rng.choice(list(RELATIONS))
        first, second = (f"a {colour} {kind}" for colour, kind in zip(colours, kinds, strict=True))
        caption = f"{first} {relation} {second}"
        if is_heldout(caption, _ONE_IN) == (split == "heldout"):
            break
    image = _ground(rng, side)
    draw = ImageDraw.Draw(image)
    across, down = RELATIONS[relation]
    for place, (colour, kind) in enumerate(zip(colours, kinds, strict=True)):
        sign = 1 if place == 0 else -1
        radius = rng.uniform(0.11, 0.17) * side
        # Half a quarter of the side from the middle along the relation, and anywhere near it across.
        x = side * (0.5 + sign * across * 0.24 + rng.uniform(-1, 1) * (0.05 if across else 0.1))
        y = side * (0.5 + sign * down * 0.24 + rng.uniform(-1, 1) * (0.05 if down else 0.1))
        _draw(draw, kind, x, y, radius, _shade(rng, colour))
    return np.asarray(image).copy(), caption


def shape(rng: Random, colour: str, kind: str, side: int) -> Picture:
    """uint8 (side, side, 3): one shape, small or large, anywhere but at the edge."""
    image = _ground(rng, side)
    radius = rng.uniform(0.2, 0.32) * side
    reach = 0.45 * side - radius
    x, y = (0.5 * side + rng.uniform(-reach, reach) for _ in range(2))
    _draw(ImageDraw.Draw(image), kind, x, y, radius, _shade(rng, colour))
    return np.asarray(image).copy()


def _ground(rng: Random, side: int) -> Image.Image:
    return Image.new("RGB", (side, side), tuple(rng.randint(222, 255) for _ in range(3)))


def _shade(rng: Random, colour: str) -> tuple[int, ...]:
    return tuple(int(min(255, max(0, level + rng.randint(-22, 22)))) for level in COLOURS[colour])


def _draw(draw: ImageDraw.ImageDraw, kind: str, x: float, y: float, radius: float, colour: tuple[int, ...]) -> None:
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == "circle":
        draw.ellipse(box, fill=colour)
    elif kind == "square":
        draw.rectangle(box, fill=colour)
    elif kind == "triangle":
        draw.polygon([(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)], fill=colour)
    else:
        third = radius / 3
        draw.rectangle((x - radius, y - third, x + radius, y + third), fill=colour)
        draw.rectangle((x - third, y - radius, x + third, y + radius), fill=colour)
