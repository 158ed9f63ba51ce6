"""Folders of pictures or sounds on a command line: the files in them that a model reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress.errors import InputError

if TYPE_CHECKING:
    from onnxpress.cli.rows import InputRow
    from onnxpress.format.processors import Processors


@dataclass(frozen=True, slots=True)
class Medium:
    """What is taken from a folder; other files in it are passed over. A file that is named is opened whatever its
    name."""

    name: str
    suffixes: tuple[str, ...]


PICTURES = Medium("pictures", (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
SOUNDS = Medium("sounds", (".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"))


def medium_of(processors: Processors) -> Medium | None:
    """What a model with these processors reads; None: texts."""
    if processors.image is not None:
        return PICTURES
    return None if processors.audio is None else SOUNDS


def with_folders(rows: Iterable[InputRow], medium: Medium) -> Iterator[InputRow]:
    """The rows; in the place of a folder, its files by name. Folders within it are not gone into.

    Raises:
        InputError: a folder without such files, or one that cannot be read.
    """
    for row in rows:
        folder = _folder(row)
        if folder is None:
            yield row
        else:
            files = files_in(folder, medium)
            yield from (replace(row, where=f"{row.where}, {file}", body=str(file)) for file in files)


def _folder(row: InputRow) -> Path | None:
    if row.fields is not None or not isinstance(row.body, str):
        return None
    try:
        path = Path(row.body)
        return path if path.is_dir() else None
    except (OSError, ValueError):  # a name that no system has
        return None


def files_in(folder: Path, medium: Medium) -> list[Path]:
    """The files of a folder whose names are those of a medium, sorted.

    Raises:
        InputError: there are none, or it cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}).") from error
    files = [entry for entry in entries if entry.suffix.lower() in medium.suffixes and entry.is_file()]
    if not files:
        inner = [entry.name for entry in entries if entry.is_dir()]
        further = f" Folders in it are not gone into: name them ({', '.join(inner[:3])})." if inner else ""
        named = ", ".join(medium.suffixes)
        raise InputError(f"{folder} has no {medium.name}, which are files named {named}.{further}")
    return files
