"""Standard input as lines of text."""

from __future__ import annotations

import select
import sys
from collections.abc import Iterable, Iterator

from onnxpress.errors import InputError

#: What stands for standard input where a command line names an input or a file.
STANDARD_INPUT = "-"

_BOM = "\ufeff"


def standard_input() -> Iterator[str]:
    """The lines of standard input, as they come, without what ends them and without a byte order mark.

    Raises:
        InputError: bytes that are not UTF-8.
    """
    return decoded(sys.stdin.buffer)


def whole_standard_input() -> str:
    """All of standard input as one text, without a byte order mark.

    Raises:
        InputError: bytes that are not UTF-8.
    """
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"Standard input, byte {error.start + 1}: 0x{error.object[error.start]:02x} is not UTF-8 ({error.reason})."
        ) from None


def standard_input_waits() -> bool:
    """Whether nothing is there to be read from standard input: a program writes it, and has paused."""
    try:
        readable, _, _ = select.select([sys.stdin], [], [], 0)
    except (OSError, ValueError):  # Windows knows sockets alone; a test's standard input is no file
        return False
    return not readable


def decoded(lines: Iterable[bytes], source: str = "Standard input") -> Iterator[str]:
    """Lines of bytes as text. A line may end with \\n, \\r\\n or \\r.

    Raises:
        InputError: bytes that are not UTF-8; the message names the line and the byte.
    """
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{source}, line {number}, byte {error.start + 1}: 0x{line[error.start]:02x} is not UTF-8 "
                f"({error.reason}). Convert the text to UTF-8, with iconv for example."
            ) from None
        text = text.removeprefix(_BOM) if number == 1 else text
        yield from text.removesuffix("\n").removesuffix("\r").split("\r")
