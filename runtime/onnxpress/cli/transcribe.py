"""The answers of `onnxpress run --format`: transcripts on the terminal, under the name of their sound, or in files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxpress.cli.answers import answers, body_of
from onnxpress.cli.rows import InputRow
from onnxpress.cli.transcripts import TellsTimes, Transcripts
from onnxpress.errors import InputError, OnnxpressError
from onnxpress.pipelines.table import TASKS

if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline

_OPTION = "return_timestamps"


def transcripts_of(
    pipe: Pipeline[Any, Any],
    rows: Iterable[InputRow],
    options: Mapping[str, Any],
    form: str,
    target: Path | None,
    *,
    waits: Callable[[], bool],
    goes_on: bool,
    count: int | None,
) -> Iterator[tuple[InputRow, str | OnnxpressError]]:
    """What is shown of each row, in order: its transcripts, or where they were written.

    Args:
        count: how many rows there are; None: not known, so that each transcript is shown with its sound's name.

    Raises:
        InputError: the options tell no times, or a file cannot be written.
        click.UsageError: the task tells no times of what is said.
    """
    if not isinstance(pipe, TellsTimes):
        raise click.UsageError(f"--format is for automatic-speech-recognition; this model's task is {pipe.task}.")
    timed = form != "txt"
    if timed and _OPTION in options and not options[_OPTION]:
        raise InputError(f"--format {form} needs times: leave {_OPTION} out.")
    asked = dict(options)
    if timed:
        asked.setdefault(_OPTION, pipe.line_times)
    gathers = timed and _OPTION not in options and pipe.line_times == "word"
    transcripts = Transcripts(form, target, gathers)
    transcripts.check(count or 1)
    for row, result in answers(pipe, rows, asked, waits=waits, goes_on=goes_on):
        if isinstance(result, OnnxpressError):
            yield row, result
            continue
        call = TASKS[pipe.task].call(body_of(row), asked)
        shown = []
        for sound, answer in zip(call.inputs, result if call.many else [result], strict=True):
            text = transcripts.text(answer)
            if target is not None:
                shown.append(f"{_name(sound)}\n  written: {transcripts.write(sound, text)}\n")
            else:
                shown.append(text if count == 1 and not call.many else f"== {_name(sound)} ==\n{text}")
        yield row, "".join(shown)


def _name(sound: Any) -> str:
    path = sound.get("path") if isinstance(sound, Mapping) else sound
    return path if isinstance(path, str) and not path.startswith("data:") else "sound"
