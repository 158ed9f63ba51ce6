"""The program's standard streams and arguments, whatever the terminal, the locale or the caller made of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click


def prepare_output() -> None:
    """Write what an output's encoding lacks as an escape instead of failing: half a surrogate as `\\ud83d`."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def writes_unicode() -> bool:
    """Whether standard output takes every character."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    return encoding.lower().replace("_", "-").startswith("utf")


def arguments(argv: Sequence[str]) -> list[str]:
    """The program's arguments as UTF-8, in a locale without it too, where Python reads them as ASCII.

    Raises:
        UsageError: one is not UTF-8.
    """
    texts = []
    for place, text in enumerate(argv, 1):
        try:
            texts.append(os.fsencode(text).decode("utf-8"))
        except UnicodeDecodeError as error:
            raise click.UsageError(
                f"Argument {place}, byte {error.start + 1}, is not UTF-8 ({error.reason}): {text!a}."
            ) from None
    return texts


def flush() -> None:
    """Write what is still buffered now, while an error can be told."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()


def abandon() -> None:
    """Have the interpreter not try again, when it ends, to write what could not be written."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(devnull, stream.fileno())
        except (OSError, ValueError, AttributeError):
            continue
    os.close(devnull)
