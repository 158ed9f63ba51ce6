"""Spoken words as files."""

from __future__ import annotations

import base64
import json
from itertools import islice
from pathlib import Path


def write_sounds(checkpoint: Path, folder: Path, count: int) -> None:
    """Write the first of a checkpoint's recordings, which nobody trained on, as files in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(islice(lines, count), 1):
            row = json.loads(line)
            name = f"{number}-{row['text'].replace(' ', '-')}.ogg"
            (folder / name).write_bytes(base64.b64decode(row["audio"].partition(",")[2]))
