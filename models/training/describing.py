"""Models that write a text about a picture: how they are taught, and what they write of pictures never seen.

It knows neither what is in the pictures nor what the texts say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from training.generating import save_half
from training.loop import Batch, Schedule, fit

Picture = NDArray[np.uint8]
#: A picture and its text; told how far training has come, from 0 to 1.
Draw = Callable[[float], tuple[Picture, str]]


def encode(processor: Any, pictures: Sequence[Picture]) -> torch.Tensor:
    """float32 (pictures, 3, height, width), as the processor makes them."""
    images = [Image.fromarray(picture) for picture in pictures]
    values: torch.Tensor = processor(images=images, return_tensors="pt")["pixel_values"]
    return values


def train(model: Any, processor: Any, tokenizer: Any, draw: Draw, schedule: Schedule, title: str) -> None:
    """Teach a model with pictures that are drawn as they are needed, each text with its end."""

    def source() -> Iterator[Batch]:
        for step in range(schedule.steps):
            rows = [draw(step / schedule.steps) for _ in range(schedule.batch_rows)]
            labels = [
                [*tokenizer(text, add_special_tokens=False).input_ids, tokenizer.eos_token_id] for _, text in rows
            ]
            longest = max(map(len, labels))
            yield {
                "pixel_values": encode(processor, [picture for picture, _ in rows]),
                "labels": torch.tensor([ids + [-100] * (longest - len(ids)) for ids in labels]),
            }

    fit(model, source(), schedule, title)


@torch.no_grad()
def describe(model: Any, processor: Any, tokenizer: Any, pictures: Sequence[Picture]) -> list[str]:
    """What the model writes, greedily."""
    texts: list[str] = []
    for at in range(0, len(pictures), 64):
        ids = model.generate(encode(processor, pictures[at : at + 64]), num_beams=1, do_sample=False)
        texts += tokenizer.batch_decode(ids, skip_special_tokens=True)
    return texts


def drawn(draw: Draw, count: int, seen: Callable[[str], bool] = lambda text: False) -> list[tuple[Picture, str]]:
    """So many pictures with their texts."""
    rows = [draw(1.0) for _ in range(count)]
    return [row for row in rows if not seen(row[1])]


def character_error(texts: Sequence[str], right: Sequence[str]) -> float:
    """Letters that are wrong, missing, or too many, for each letter of the right texts."""
    return sum(map(_edits, texts, right)) / sum(map(len, right))


def _edits(text: str, right: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(right) + 1))
    for count, letter in enumerate(text, 1):
        corner, row[0] = row[0], count
        for place, other in enumerate(right, 1):
            corner, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, corner + (letter != other))
    return row[-1]


def save(model: Any, processor: Any, tokenizer: Any, folder: Path) -> None:
    """The whole checkpoint, weights in float16."""
    save_half(model, folder)
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def chance(seed: int) -> Random:
    """Another stream of numbers than training's."""
    return Random(seed + 1)
