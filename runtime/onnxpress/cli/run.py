"""`onnxpress run`: answers, one for each argument or line of standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from onnxpress.cli.options import call_arguments, opening, settings
from onnxpress.cli.streams import writes_unicode
from onnxpress.errors import InputError, OnnxpressError


@click.command(
    epilog="""\b
Each INPUT is a text, or a JSON object with an input, or an input and options:
  onnxpress run ner-artifact "Ada Lovelace lived in London." -s aggregation_strategy=simple
  onnxpress run ner-artifact '{"inputs": "Ada", "parameters": {"aggregation_strategy": "simple"}}'
  onnxpress run qa-artifact '{"question": "Who?", "context": "It was Ada."}'
  onnxpress run qa-artifact "Who?" "When?" -s context=@history.txt
  onnxpress run reranker-artifact "first document" "second document" -s query="a question"
  onnxpress run embedder-artifact "a text" "another" -s source_sentence="which is like it?"
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
@click.option(
    "--on-error",
    type=click.Choice(("stop", "continue")),
    default="stop",
    show_default=True,
    help="At an INPUT that cannot be answered: stop, or print why in its place and go on.",
)
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
    on_error: str,
) -> None:
    """Answer each INPUT with ARTIFACT; without INPUT, each line of standard input, which is UTF-8."""
    from onnxpress.cli.answers import answers
    from onnxpress.cli.lines import standard_input, standard_input_waits
    from onnxpress.cli.results import present
    from onnxpress.pipelines import TASKS, pipeline
    from onnxpress.pipelines.payload import read_argument
    from onnxpress.pipelines.text_stream import ShowsText

    options = call_arguments(settings)
    if not inputs and (sys.stdin is None or sys.stdin.isatty()):
        raise click.UsageError("Give at least one INPUT, or pipe texts into standard input, one a line.")
    with pipeline(task, artifact, precision=precision, device=device, revision=revision, threads=threads) as pipe:
        arguments: Iterable[str] = inputs or _with_progress(standard_input())
        if not as_json and on_error == "stop" and isinstance(pipe, ShowsText) and pipe.streams(options):
            for text in arguments:
                call = TASKS[pipe.task].call(read_argument(text), options)
                for item in call.inputs:
                    _write(pipe.stream(item, **call.options))
            return
        refused = 0
        place, waits = ("Input", _never) if inputs else ("Standard input, line", standard_input_waits)
        goes_on = on_error == "continue"
        for argument, result in answers(pipe, arguments, options, place=place, waits=waits, goes_on=goes_on):
            if isinstance(result, OnnxpressError):
                refused += 1
                result = {"error": str(result)}
            click.echo(
                json.dumps(_plain(result), ensure_ascii=not writes_unicode()) if as_json else present(argument, result)
            )
        if refused:
            raise InputError(f"{refused} of the inputs could not be answered; each says why in its place.")


def _never() -> bool:
    return False


def _write(pieces: Iterable[str]) -> None:
    """Write a text while it comes."""
    for piece in pieces:
        click.echo(piece, nl=False)
    click.echo()


def _with_progress(lines: Iterable[str]) -> Iterator[str]:
    """The lines, with a bar on standard error if they are many, unless it would be mixed with the answers."""
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
