"""Options that several commands take, and what their values mean. Knows click and no task."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from onnxpress.cli.lines import STANDARD_INPUT, whole_standard_input
from onnxpress.errors import InputError

Command = Callable[..., Any]


class OneOf(click.Choice):  # type: ignore[type-arg]  # generic in newer versions alone
    """One of several words; a mistyped one is told with the one that was probably meant."""

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        from onnxpress.suggestions import did_you_mean

        return super().get_invalid_choice_message(value, ctx) + did_you_mean(str(value), map(str, self.choices))


revision_option = click.option("--revision", metavar="REV", help="Branch, tag or commit on the Hub.")
device_option = click.option("--device", metavar="NAME", help="cpu, cuda or cuda:N.", default="cpu", show_default=True)


def opening(command: Command) -> Command:
    """How an artifact is opened: --precision, --device, --revision, --threads."""
    for option in (
        click.option("--threads", type=click.IntRange(min=1), metavar="N", help="Threads (default: usable cores)."),
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
    return dict(_argument(text) for text in settings)


def read_from_standard_input(settings: tuple[str, ...]) -> int:
    """How many arguments standard input is asked for: NAME=@-."""
    return sum(text.partition("=")[2] == f"@{STANDARD_INPUT}" for text in settings)


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise click.UsageError(f"--set takes NAME=VALUE, not {text!r}.")
    if value == f"@{STANDARD_INPUT}":
        return name, whole_standard_input()
    if value.startswith("@"):
        try:
            return name, Path(value[1:]).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--set {name}: cannot read {value[1:]!r} ({error}).") from None
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
