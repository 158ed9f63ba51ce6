"""The pictures that quantization watches (CALIBRATION) and, others, that it is judged by (JUDGED), made by arithmetic.

Textures with the spectrum of photographs, shapes before gradients, stripes, and plain ones, of many sizes and aspects.
No picture is in both. This module knows nothing of models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: uint8 (height, width, 3).
Picture = NDArray[np.uint8]

#: How many there are of each.
CALIBRATION, JUDGED = 48, 64

#: Where the numbers of each begin.
_CALIBRATION_SEED, _JUDGED_SEED = 1_000, 2_000

#: (height, width)
_SIZES = ((224, 224), (240, 320), (320, 240), (97, 131), (400, 300), (64, 64), (256, 512), (480, 200))


#: What is asked about them where models are asked something.
QUESTIONS = (
    "What is this?", "What color is it?", "How many are there?", "Is it day or night?", "What is on the left?",
    "Is there a person?", "What shape is the largest thing?", "Where was this taken?", "What is it made of?",
)  # fmt: skip


def with_questions(pictures: Sequence[Any]) -> list[dict[str, Any]]:
    """A question about each picture."""
    return [{"image": picture, "question": QUESTIONS[place % len(QUESTIONS)]} for place, picture in enumerate(pictures)]


@cache
def calibration_pictures() -> Sequence[Picture]:
    """The pictures that the ranges of quantization are taken from."""
    return tuple(_made(_CALIBRATION_SEED + number) for number in range(CALIBRATION))


@cache
def judged_pictures() -> Sequence[Picture]:
    """The pictures that a variant's answers are compared on."""
    return tuple(_made(_JUDGED_SEED + number) for number in range(JUDGED))


def verification_pictures() -> Sequence[tuple[str, Picture]]:
    """Awkward pictures, with their names: almost black, almost white, noise, flat, tall, tiny, and one of every kind.

    A picture of one colour is none of them: layers that divide by the spread of their values make noise of it, in
    PyTorch too.
    """
    generator = np.random.default_rng(7)
    noise = generator.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    return (
        ("a dark picture", noise[:120, :160] // 64),
        ("a bright picture", 255 - noise[:160, :120] // 64),
        ("noise", noise),
        ("a flat picture", _made(11)[:40, :]),
        ("a tall picture", _made(12)[:, :40]),
        ("a tiny picture", noise[:9, :7].copy()),
        *((make.__name__.strip("_").replace("_", " "), _made(20 + kind)) for kind, make in enumerate(_KINDS)),
    )


def _made(seed: int) -> Picture:
    generator = np.random.default_rng(seed)
    height, width = _SIZES[seed // len(_KINDS) % len(_SIZES)]
    values = _KINDS[seed % len(_KINDS)](generator, height, width)
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


def _texture(generator: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    """Noise whose power falls with the square of the frequency, as that of photographs does."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falling = 1 / np.maximum(np.hypot(rows, columns), 1 / max(height, width)) ** generator.uniform(0.8, 1.4)
    channels = []
    shared = generator.standard_normal((height, width))
    for _ in range(3):
        spectrum = np.fft.rfft2(shared + 0.5 * generator.standard_normal((height, width))) * falling
        channel = np.fft.irfft2(spectrum, (height, width))
        channels.append((channel - channel.mean()) / max(float(channel.std()), 1e-9))
    values: NDArray[Any] = np.stack(channels, axis=-1) * generator.uniform(0.1, 0.3) + generator.uniform(0.2, 0.8, 3)
    return values


def _gradient(generator: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    """From one colour to another, in some direction."""
    angle = generator.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    share = np.clip(0.5 + (rows - 0.5) * np.sin(angle) + (columns - 0.5) * np.cos(angle), 0, 1)[..., None]
    first, last = generator.uniform(0, 1, (2, 3))
    values: NDArray[Any] = first + share * (last - first)
    return values


def _shapes(generator: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    """Ellipses and boxes of plain colours before a gradient."""
    values = _gradient(generator, height, width)
    rows, columns = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    for _ in range(generator.integers(1, 6)):
        (row, column), (tall, wide) = generator.uniform(0.1, 0.9, 2), generator.uniform(0.05, 0.4, 2)
        down, right = np.abs(rows - row) / tall, np.abs(columns - column) / wide
        inside = down**2 + right**2 < 1 if generator.random() < 0.5 else np.maximum(down, right) < 1
        values[inside] = generator.uniform(0, 1, 3)
    return values


def _shapes_on_a_texture(generator: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    """The same before a texture, with a little noise."""
    share = generator.uniform(0.4, 0.8)
    mixed: NDArray[Any] = share * _shapes(generator, height, width) + (1 - share) * _texture(generator, height, width)
    mixed += generator.normal(0, 0.02, mixed.shape)
    return mixed


def _stripes(generator: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    """Dark and bright stripes, thin ones too, as of text or fences."""
    rows, columns = np.mgrid[0:height, 0:width]
    angle, period = generator.uniform(0, np.pi), generator.uniform(3, 40)
    wave = np.sin(2 * np.pi * (rows * np.sin(angle) + columns * np.cos(angle)) / period) > generator.uniform(-0.8, 0.8)
    first, last = generator.uniform(0, 1, (2, 3))
    values: NDArray[Any] = np.where(wave[..., None], first, last)
    return values


_KINDS: tuple[Callable[[np.random.Generator, int, int], NDArray[Any]], ...] = (
    _texture,
    _shapes,
    _shapes_on_a_texture,
    _stripes,
    _gradient,
)
