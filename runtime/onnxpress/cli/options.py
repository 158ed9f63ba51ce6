"""Options that several commands take, and what their values mean. Knows click and no task."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from onnxpress.cli.lines import STANDARD_INPUT, whole_standard_input
from onnxpress.errors import InputError

#: Python's words for what JSON spells otherwise.
_PYTHONS = {"True": True, "False": False, "None": None}

Command = Callable[..., Any]


class OneOf(click.Choice):  # type: ignore[type-arg]  # generic in newer versions alone
    """One of several words; a mistyped one is told with the one that was probably meant."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        from onnxpress.suggestions import did_you_mean

        return super().get_invalid_choice_message(value, ctx) + did_you_mean(str(value), map(str, self.choices))


revision_option = click.option("--revision", metavar="REV", help="Branch, tag or commit on the Hub.")
lock_option = click.option(
    "--lock",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Lock: written if it is not there, else obeyed.",
)
device_option = click.option(
    "--device", metavar="NAME", help="cpu, cuda, cuda:N or openvino.", default="cpu", show_default=True
)


def opening(command: Command) -> Command:
    """How an artifact is opened: --precision, --device, --revision, --lock, --threads."""
    for option in (
        click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads (default: usable cores)."),
        lock_option,
        revision_option,
        device_option,
        click.option(
            "--precision",
            metavar="NAME",
            help="Variant: fp32, int8, ..., fastest, smallest, exact.",
        ),
    ):
        command = option(command)
    return command


def saying(command: Command) -> Command:
    """What another tool's files do not say: --tokenizer, --labels, --with NAME=VALUE; given to the command as one
    dictionary, `said`, of arguments of `onnxpress.pipeline`."""

    @wraps(command)
    def gathered(
        *arguments: Any, tokenizer: str | None, labels: str | None, further: tuple[str, ...], **values: Any
    ) -> Any:
        said = dict(_argument(text, "--with") for text in further)
        if tokenizer is not None:
            said["tokenizer"] = tokenizer
        if labels is not None:
            said["labels"] = [label.strip() for label in labels.split(",")]
        return command(*arguments, said=said, **values)

    for option in (
        click.option("--with", "further", multiple=True, metavar="NAME=VALUE", help="More of it: pooling, file_name."),
        click.option("--labels", metavar="A,B", help="Its classes, if it does not name them."),
        click.option("--tokenizer", metavar="WHERE", help="Tokenizer of an .onnx file that lacks one."),
    ):
        gathered = option(gathered)
    return gathered


def settings(command: Command) -> Command:
    """Arguments of a call: --set NAME=VALUE, given to the command as `settings`."""
    return click.option(
        "-s",
        "--set",
        "settings",
        multiple=True,
        metavar="NAME=VALUE",
        help="Argument of the call: JSON, text or @FILE.",
    )(command)


def call_arguments(settings: tuple[str, ...]) -> dict[str, Any]:
    """What --set says, as arguments.

    Raises:
        click.UsageError: not NAME=VALUE.
        InputError: a file cannot be read.
    """
    return dict(_argument(text, "--set") for text in settings)


def read_from_standard_input(settings: tuple[str, ...]) -> int:
    """How many arguments standard input is asked for: NAME=@-."""
    return sum(text.partition("=")[2] == f"@{STANDARD_INPUT}" for text in settings)


def _argument(text: str, option: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"{option} takes NAME=VALUE, not {text!r}.")
    if value == f"@{STANDARD_INPUT}":
        return name, whole_standard_input()
    if value.startswith("@"):
        try:
            return name, Path(value[1:]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{option} {name}: cannot read {value[1:]!r} ({error}).") from None
    if value in _PYTHONS:
        return name, _PYTHONS[value]
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value
