"""The `onnxpress` program: a group of commands, and how it ends.

The exporter and the benchmarks add their commands through the entry point group `onnxpress.commands`, so that one
program serves whatever is installed.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from traceback import walk_tb
from types import FrameType, MappingProxyType
from typing import NoReturn

import click

from onnxpress import __version__
from onnxpress.cli.streams import abandon, arguments, flush, prepare_output
from onnxpress.cli.words import in_words_of
from onnxpress.errors import OnnxpressError

GROUP = "onnxpress.commands"

#: The commands of this package, as "module:command"; imported when they are asked for.
OF_THE_RUNTIME: Mapping[str, str] = MappingProxyType(
    {
        "batch": "onnxpress.cli.batch:batch",
        "chat": "onnxpress.cli.chat:chat",
        "check": "onnxpress.cli.check:check",
        "inspect": "onnxpress.cli.inspect_command:inspect",
        "pull": "onnxpress.cli.pull:pull",
        "push": "onnxpress.cli.push:push",
        "run": "onnxpress.cli.run:run",
        "search": "onnxpress.cli.search:search",
        "serve": "onnxpress.serve.command:serve",
        "space": "onnxpress.serve.space_command:space",
    }
)


class Commands(click.Group):
    """The commands of this package, and those that other installed packages registered."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*OF_THE_RUNTIME, *(entry.name for entry in _registered())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in OF_THE_RUNTIME:
            module, _, name = OF_THE_RUNTIME[cmd_name].partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        for entry in _registered():
            if entry.name == cmd_name:
                registered: click.Command = entry.load()
                return registered
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from onnxpress.suggestions import did_you_mean

            raise click.UsageError(f"{error.message}{did_you_mean(args[0], self.list_commands(ctx))}", ctx) from None


def _registered() -> Iterable[EntryPoint]:
    return entry_points(group=GROUP)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="onnxpress")
def program() -> None:
    """Turn Hugging Face checkpoints into verified ONNX artifacts, and run them without PyTorch."""


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    """SIGTERM as an exception, so that temporary folders are removed."""
    raise SystemExit(128 + signum)


def main() -> NoReturn:
    """Run the program: errors made on purpose, and those of files and streams, become one line on standard error."""
    signal.signal(signal.SIGTERM, _terminate)
    prepare_output()
    sys.exit(_run())


def _run() -> int:
    """Run the program; its exit code."""
    called = ""
    try:
        try:
            texts = arguments(sys.argv[1:])
            called = texts[0] if texts else ""
            code = program(texts, standalone_mode=False)
            flush()
            return code if isinstance(code, int) else 0
        except OnnxpressError as error:
            command = program.get_command(click.Context(program), called)
            click.echo(f"error: {in_words_of(command, str(error))}", err=True)
            return 1
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except (click.Abort, KeyboardInterrupt):
            click.echo("interrupted", err=True)
            return 130
    except OSError as error:
        return _failed(error)


def _failed(error: OSError) -> int:
    """Tell that a file or a standard stream failed, where that can still be told; of a closed pipe nothing is told."""
    if not isinstance(error, BrokenPipeError):
        where = error.filename or ("Standard output" if _was_echoing(error) else "A file")
        with suppress(OSError):
            click.echo(f"error: {where}: {error.strerror or error}.", err=True)
    abandon()
    return 1


def _was_echoing(error: BaseException) -> bool:
    return any(frame.f_code is click.echo.__code__ for frame, _ in walk_tb(error.__traceback__))
