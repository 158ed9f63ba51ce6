"""`onnxpress run`: answers, one for each argument or line of standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxpress.cli.lines import STANDARD_INPUT
from onnxpress.cli.options import OneOf, call_arguments, opening, read_from_standard_input, saying, settings
from onnxpress.cli.streams import writes_unicode
from onnxpress.cli.words import in_words_of
from onnxpress.errors import InputError, OnnxpressError
from onnxpress.speech.subtitles import FORMATS

if TYPE_CHECKING:
    from onnxpress.cli.rows import InputRow


@dataclass(frozen=True, slots=True)
class Failure:
    """What stands in the place of a row's answer."""

    message: str


@click.command()
@click.argument("artifact")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--task", metavar="NAME", help="Task, where ARTIFACT serves several.")
@opening
@saying
@settings
@click.option(
    "-i",
    "--input",
    "source",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ask rows of .csv, .tsv, .parquet, lines.",
)
@click.option(
    "--field",
    "names",
    multiple=True,
    metavar="NAME",
    help="Column that is asked; others are kept.",
)
@click.option(
    "--on-error",
    type=OneOf(["stop", "continue"]),
    default="stop",
    show_default=True,
    metavar="WHAT",
    help="At a bad row: stop, or continue.",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each input.")
@click.option(
    "--draw",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Draw what is seen: a picture, or a folder of them.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Where sounds or --format are written: file, folder.",
)
@click.option(
    "--format",
    "form",
    type=OneOf(FORMATS),
    metavar="FORM",
    help=f"Transcripts as {', '.join(FORMATS)}.",
)
def run(
    artifact: str,
    inputs: tuple[str, ...],
    task: str | None,
    precision: str | None,
    device: str,
    revision: str | None,
    lock: Path | None,
    threads: int | None,
    settings: tuple[str, ...],
    source: Path | None,
    names: tuple[str, ...],
    on_error: str,
    as_json: bool,
    draw: Path | None,
    out: Path | None,
    form: str | None,
    said: dict[str, Any],
) -> None:
    """\b
    Answer each INPUT (docs/usage.md), or else each line of standard input (-).
    onnxpress run qa '{"question": "Who?", "context": "It was Ada."}' -s top_k=2
    """
    from onnxpress.cli import media, pictures, rows, sounds
    from onnxpress.cli.answers import answers, body_of, placed
    from onnxpress.cli.lines import standard_input_waits
    from onnxpress.cli.transcribe import transcripts_of
    from onnxpress.pipelines import TASKS, pipeline
    from onnxpress.pipelines.text_stream import ShowsText

    inputs, source = _inputs_and_file(inputs, source, settings, names)
    options, goes_on, failures = call_arguments(settings), on_error == "continue", 0
    if form is not None and (as_json or names):
        superfluous = "--json" if as_json else "--field"
        raise click.UsageError(f"--format says how answers are written: leave {superfluous} out.")
    opened = {"precision": precision, "device": device, "revision": revision, "threads": threads, "lock": lock, **said}
    with pipeline(task, artifact, **opened) as pipe:
        if hasattr(pipe.options, "seconds_bar") and sys.stderr is not None and sys.stderr.isatty():
            options.setdefault("seconds_bar", True)  # erased before an answer is shown
        asked = rows.of_file(source, names) if source is not None else rows.of_standard_input(names)
        asked = rows.of_arguments(inputs) if inputs else _with_progress(asked)
        sees, drawings = pictures.reads_pictures(pipe), None if draw is None else pictures.Drawings(draw)
        recordings = None if out is None else sounds.Recordings(out)
        if (medium := media.medium_of(pipe.manifest.processors)) is not None:
            asked = media.with_folders(asked, medium)
        if drawings is not None:
            if not sees:
                raise click.UsageError(f"--draw is for pictures, and {pipe.task} does not read any.")
            known = list(asked) if inputs and STANDARD_INPUT not in inputs else []
            drawings.check(len(known))
            asked = iter(known or asked)
        waits = standard_input_waits if source is None and (not inputs or STANDARD_INPUT in inputs) else _never
        if form is not None:
            count = None
            if inputs and STANDARD_INPUT not in inputs:
                every = list(asked)
                asked, count = iter(every), len(every)
            shown = transcripts_of(pipe, asked, options, form, out, waits=waits, goes_on=goes_on, count=count)
            failures = _write_transcripts(shown)
        elif not (as_json or names or goes_on or sees) and isinstance(pipe, ShowsText) and pipe.streams(options):
            for row in asked:
                try:
                    call = TASKS[pipe.task].call(body_of(row), options)
                    for item in call.inputs:
                        _write(pipe.stream(item, **call.options))
                except InputError as error:
                    raise placed(row, error) from error
        else:
            for row, result in answers(pipe, asked, options, waits=waits, goes_on=goes_on):
                if isinstance(result, OnnxpressError):
                    failures += 1
                    result = Failure(in_words_of(click.get_current_context().command, str(result)))
                click.echo(_shown(row, result, as_json=as_json or bool(names), sees=sees))
                if drawings is not None and not isinstance(result, Failure):
                    for file in drawings.write(row.body, result):
                        click.echo(f"  drawn: {file}", err=as_json or bool(names))
                if recordings is not None and not isinstance(result, Failure):
                    for file in recordings.write(result):
                        click.echo(f"  written: {file}", err=as_json or bool(names))
    if failures:
        raise InputError(f"{failures} of the inputs could not be answered; each says why in its place.")


def _write_transcripts(shown: Iterable[tuple[InputRow, str | OnnxpressError]]) -> int:
    """Write what is shown of each row; how many could not be answered."""
    failures = 0
    for row, text in shown:
        if isinstance(text, str):
            click.echo(text, nl=False)
        else:
            failures += 1
            failure = Failure(in_words_of(click.get_current_context().command, str(text)))
            click.echo(_shown(row, failure, as_json=False))
    return failures


def _inputs_and_file(
    inputs: tuple[str, ...], source: Path | None, settings: tuple[str, ...], names: tuple[str, ...]
) -> tuple[tuple[str, ...], Path | None]:
    """INPUT and --input; neither where lines of standard input are all that is answered.

    Raises:
        click.UsageError: there is nothing to answer, or standard input would be read twice.
    """
    dash = Path(STANDARD_INPUT)
    if inputs and (source is not None or (names and inputs != (STANDARD_INPUT,))):
        raise click.UsageError("Give INPUT, or --input and --field, not both.")
    unnamed = not inputs and source is None
    lines_alone = unnamed or inputs == (STANDARD_INPUT,) or source == dash
    reads = max(lines_alone, inputs.count(STANDARD_INPUT)) + read_from_standard_input(settings)
    if reads > 1:
        raise click.UsageError("Standard input is asked for more than once, and can be read once.")
    if (reads and sys.stdin is None) or (unnamed and sys.stdin.isatty()):
        raise click.UsageError("Give at least one INPUT, or pipe texts into standard input, one a line.")
    return ((), None) if lines_alone else (inputs, source)


def _never() -> bool:
    return False


def _shown(row: InputRow, result: Any, *, as_json: bool, sees: bool = False) -> str:
    """A row's answer as a line of JSON, beside the fields that it came with; or for people. `sees`: of a picture."""
    from onnxpress.cli.pictures import describe
    from onnxpress.cli.results import free_name, plain, present
    from onnxpress.cli.sounds import describe_sound

    failed = isinstance(result, Failure)
    if not as_json:
        if sees and not failed and (description := describe(result)) is not None:
            return present(row.body, description)
        if not failed and (description := describe_sound(result)) is not None:
            return present(row.body, description)
        return present(row.body, f"error: {result.message}" if failed else result)
    value = {"error": result.message} if isinstance(result, Failure) else plain(result)
    if row.fields is not None:
        name = free_name("error" if failed else "result", row.fields)
        value = {**plain(dict(row.fields)), name: value["error"] if failed else value}
    return json.dumps(value, ensure_ascii=not writes_unicode(), default=str)


def _write(pieces: Iterable[str]) -> None:
    """Write a text while it comes."""
    for piece in pieces:
        click.echo(piece, nl=False)
    click.echo()


def _with_progress(rows: Iterable[InputRow]) -> Iterator[InputRow]:
    """The rows, with a bar on standard error if they are many, unless it would be mixed with the answers."""
    from tqdm import tqdm

    hidden = sys.stdout.isatty() or not sys.stderr.isatty()
    return iter(tqdm(rows, unit=" inputs", delay=2, disable=hidden, file=sys.stderr))
