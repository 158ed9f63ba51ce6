"""Pictures found by text."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path

import click

SOUGHT = ("a red circle", "a photo of a blue cross", "a yellow triangle")


def find(artifact: Path, folder: Path) -> None:
    """Print the pictures of a folder that are nearest to each text."""
    import numpy as np

    import onnxpress

    paths = sorted(folder.glob("*.png"))
    with onnxpress.pipeline("zero-shot-image-classification", artifact) as pipe:
        start = time.perf_counter()
        pictures = pipe.embed_images(paths)
        milliseconds = 1000 * (time.perf_counter() - start)
        scores = pipe.embed_texts(list(SOUGHT)) @ pictures.T
    click.echo(f"  {len(paths)} pictures embedded in {milliseconds:.0f} ms")
    for text, row in zip(SOUGHT, scores, strict=True):
        nearest = ", ".join(f"{paths[index].name} {row[index]:.2f}" for index in np.argsort(-row)[:3])
        click.echo(f"  > {text}\n  {nearest}")
    click.echo(f"  torch imported: {'yes' if 'torch' in sys.modules else 'no'}")


def write_pictures(checkpoint: Path, folder: Path, count: int) -> None:
    """Write the first of a checkpoint's pictures, which nobody trained on, as files in a folder."""
    from onnxpress.image.opening import open_picture

    folder.mkdir(parents=True, exist_ok=True)
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(islice(lines, count), 1):
            row = json.loads(line)
            open_picture(row["image"]).save(folder / f"{number}-{row.get('label', 'picture').replace(' ', '-')}.png")
