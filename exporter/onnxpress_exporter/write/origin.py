"""Names files and commands as the manifest and the card tell them: without the absolute paths of one machine."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


def public_name(source: str | Path) -> str:
    """A Hub id or a relative path as it is; an absolute path as seen from the current folder, or else its last part."""
    path, here = Path(source), Path.cwd()
    if not path.is_absolute():
        return str(source)
    if path != here and path.is_relative_to(here) and here != Path(here.anchor):
        return path.relative_to(here).as_posix()
    return path.name


def public_command(arguments: Sequence[str]) -> str:
    """The command line with these arguments, as it can be typed again in another place."""
    return shlex.join(["onnxpress", *map(_argument, arguments)])


def _argument(text: str) -> str:
    option, equals, value = text.partition("=")
    return f"{option}={public_name(value)}" if equals and option.startswith("--") else public_name(text)
