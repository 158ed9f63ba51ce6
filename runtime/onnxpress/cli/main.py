"""The `onnxpress` program: parses, calls, prints. Nothing is computed here.

The exporter and the benchmarks add their commands through the entry point group `onnxpress.commands`, so that one
program serves whatever is installed.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from types import FrameType
from typing import Any, NoReturn

import click

from onnxpress import __version__
from onnxpress.cli.chat import chat
from onnxpress.cli.options import call_arguments, opening, settings
from onnxpress.errors import OnnxpressError
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines import TASKS, pipeline
from onnxpress.pipelines.payload import read_argument

GROUP = "onnxpress.commands"


class Commands(click.Group):
    """The commands of this package, and those that other installed packages registered."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(entry.name for entry in _registered())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
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


program.add_command(chat)


@program.command()
@click.argument("artifact")
@click.option("--revision", help="Branch, tag or commit of a Hub repository.")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def inspect(artifact: str, revision: str | None, as_json: bool) -> None:
    """Show what ARTIFACT (a folder or a Hub id) is: task, graphs, variants, quality, origin."""
    from onnxpress.cli.inspection import describe
    from onnxpress.format.manifest import dump

    manifest = Artifact.open(artifact, revision=revision).manifest
    click.echo(dump(manifest) if as_json else describe(manifest), nl=not as_json)


@program.command(
    epilog="""\b
Each INPUT is a text, or a JSON object with the arguments of a call:
  onnxpress run ner-artifact "Ada Lovelace lived in London." -s aggregation_strategy=simple
  onnxpress run qa-artifact '{"question": "Who?", "context": "It was Ada."}'
  onnxpress run reranker-artifact "first document" "second document" -s query="a question"
  onnxpress run chat-artifact '[{"role": "user", "content": "Hi"}]' -s max_new_tokens=200 -s temperature=0.3
  cat texts.txt | onnxpress run embedder-artifact --json > vectors.jsonl
"""
)
@click.argument("artifact")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--task", help="Task, where the artifact serves several.")
@opening
@settings
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON for each input.")
def run(
    artifact: str,
    inputs: tuple[str, ...],
    task: str | None,
    precision: str | None,
    device: str,
    revision: str | None,
    threads: int | None,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Answer each INPUT with ARTIFACT; without INPUT, each line of standard input."""
    from onnxpress.cli.answers import answers
    from onnxpress.cli.inspection import present
    from onnxpress.pipelines.text_stream import ShowsText

    options = call_arguments(settings)
    if not inputs and sys.stdin.isatty():
        raise click.UsageError("Give at least one INPUT, or pipe texts into standard input, one a line.")
    with pipeline(task, artifact, precision=precision, device=device, revision=revision, threads=threads) as pipe:
        arguments: Iterable[str] = inputs or _progress(_lines())
        if not as_json and isinstance(pipe, ShowsText) and pipe.streams(options):
            for text in arguments:
                call = TASKS[pipe.task].call(read_argument(text), options)
                for item in call.inputs:
                    _write(pipe.stream(item, **call.options))
            return
        for argument, result in answers(pipe, arguments, options):
            click.echo(json.dumps(_plain(result), ensure_ascii=False) if as_json else present(argument, result))


def _write(pieces: Iterable[str]) -> None:
    """A text while it comes."""
    for piece in pieces:
        click.echo(piece, nl=False)
    click.echo()


def _lines() -> Iterator[str]:
    for line in sys.stdin:
        yield line.rstrip("\r\n")


def _progress(lines: Iterable[str]) -> Iterator[str]:
    """A bar on standard error for long inputs, unless it would be mixed with the answers on one terminal."""
    from tqdm import tqdm

    hidden = sys.stdout.isatty() or not sys.stderr.isatty()
    return iter(tqdm(lines, unit=" inputs", delay=2, disable=hidden, file=sys.stderr))


def _plain(value: Any) -> Any:
    """numpy values as JSON's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


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
