"""Opens the file of a picture or of a sound from what a caller has of it: a path, bytes, a file object, a data URI.

Nothing is fetched, and nothing is decoded here: a modality says what it reads, and reads it.
"""

from __future__ import annotations

import base64
import binascii
import os
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from onnxpress.errors import InputError

_DATA_URI = "data:"
_URLS = ("http://", "https://", "ftp://")


@dataclass(frozen=True, slots=True)
class MediaKind:
    """What a file is expected to hold, for messages and limits.

    `noun`: what it is called. `forms`: what a caller may pass. `media_type`: one that it has. `most`: bytes that are
    read of a file, None: all.
    """

    noun: str
    forms: str
    media_type: str
    most: int | None = None


def is_url(raw: Any) -> bool:
    """Whether it is an address, which is no file."""
    return isinstance(raw, str) and raw.lower().startswith(_URLS)


def open_file(raw: Any, kind: MediaKind) -> tuple[str, BinaryIO]:
    """What to call it in messages, and a file open at its beginning; the caller closes it.

    Raises:
        InputError: it is no such thing, there is no such file, it cannot be read, or it is too long.
    """
    if isinstance(raw, (bytes, bytearray, memoryview)):
        return f"The {kind.noun}", BytesIO(raw)
    if hasattr(raw, "read"):
        name = getattr(raw, "name", "")
        name = f"The file {name!r:.80}" if isinstance(name, str) and name else "The file"
        return name, BytesIO(_content(name, raw, kind))
    if isinstance(raw, str) and raw.startswith(_DATA_URI):
        return "The data URI", BytesIO(_decoded(raw, kind))
    if not isinstance(raw, (str, os.PathLike)):
        raise InputError(f"A {kind.noun} is expected: {kind.forms}, not {type(raw).__name__}.")
    path = _path(raw, kind)
    try:
        if kind.most is not None and path.stat().st_size > kind.most:
            raise _too_long(str(path), kind)
        return str(path), path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error


def _path(raw: Any, kind: MediaKind) -> Path:
    try:
        path = Path(raw)
        is_file, there = path.is_file(), path.exists()
    except (OSError, ValueError):  # a name that no system has, such as a text
        is_file = there = False
    if not is_file:
        reason = "it is not a file" if there else "there is no such file"
        raise InputError(f"{str(raw)[:80]!r} is to be a {kind.noun}, and {reason}.")
    return path


def _content(name: str, file: Any, kind: MediaKind) -> bytes:
    """What a file object holds, from its beginning where it can go back there."""
    try:
        if hasattr(file, "seek"):
            with suppress(OSError):  # a pipe, an answer of a server
                file.seek(0)
        content = file.read(-1 if kind.most is None else kind.most + 1)
    except (OSError, ValueError) as error:  # UnicodeDecodeError, too; it was closed
        raise InputError(f"{name} cannot be read ({str(error)[:80]}). Open it as binary: open(path, 'rb').") from error
    if not isinstance(content, (bytes, bytearray)):
        raise InputError(f"{name} is opened as text. Open it as binary: open(path, 'rb').")
    if kind.most is not None and len(content) > kind.most:
        raise _too_long(name, kind)
    return bytes(content)


def _too_long(name: str, kind: MediaKind) -> InputError:
    return InputError(f"{name} has more than the {kind.most} bytes that are read of a {kind.noun}.")


def _decoded(uri: str, kind: MediaKind) -> bytes:
    head, comma, content = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise InputError(f"{uri[:40]!r}... is no data URI of base64: data:{kind.media_type};base64,...")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{uri[:40]!r}... is no base64 ({error}).") from error


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A file object, which is one picture or one sound, not a stream of lines."""

    file: Any

    @property
    def name(self) -> Any:
        """The file's."""
        return getattr(self.file, "name", "")

    def seek(self, place: int) -> None:
        """As the file does it, if it can."""
        if hasattr(self.file, "seek"):
            self.file.seek(place)

    def read(self, size: int = -1) -> Any:
        """As the file does it."""
        return self.file.read(size)


def as_input(value: Any) -> Any:
    """The inputs of a call: a file object is one of them."""
    return OpenFile(value) if hasattr(value, "read") else value
