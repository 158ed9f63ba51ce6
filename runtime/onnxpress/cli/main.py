"""The `onnxpress` program: a group of commands, and how it ends.

The exporter and the benchmarks add their commands through the entry point group `onnxpress.commands`, so that one
program serves whatever is installed.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from types import FrameType
from typing import NoReturn

import click

from onnxpress import __version__
from onnxpress.cli.chat import chat
from onnxpress.cli.inspect_command import inspect
from onnxpress.cli.run import run
from onnxpress.errors import OnnxpressError

GROUP = "onnxpress.commands"


class Commands(click.Group):
    """The commands of this package, and those that other installed packages registered."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(entry.name for entry in _registered())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        builtin = super().get_command(ctx, cmd_name)
        if builtin is not None:
            return builtin
        for entry in _registered():
            if entry.name == cmd_name:
                command: click.Command = entry.load()
                return command
        return None


def _registered() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="onnxpress")
def program() -> None:
    """Turn Hugging Face checkpoints into verified ONNX artifacts, and run them without PyTorch."""


for command in (chat, inspect, run):
    program.add_command(command)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM as an exception, so that temporary folders are removed."""
    raise SystemExit(128 + signum)


def main() -> NoReturn:
    """Run the program: errors made on purpose become one line on standard error and exit code 1."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        program(standalone_mode=False)
    except OnnxpressError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    sys.exit(0)
