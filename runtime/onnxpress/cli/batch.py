"""`onnxpress batch`: answers of a whole file or folder, in a file; killed at any time, it goes on where it was."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxpress.cli.options import OneOf, call_arguments, opening, saying, settings

if TYPE_CHECKING:
    from onnxpress.cli.bulk.working import Done
    from onnxpress.pipelines.base import Pipeline

#: Rows of a part: what a kill may cost is what they take. Texts are short work, pictures and sounds longer, writing the
#: longest.
_TEXTS, _MEDIA, _WRITTEN = 2048, 256, 64

#: Seconds between two states of the bar where nobody watches, and a log is written.
_SELDOM_S = 30.0


@click.command(
    epilog="""\b
  onnxpress batch reviews.parquet answers.parquet --model sentiment --column review
  onnxpress batch photos/ seen.jsonl --model detector --on-error record --workers 4
"""
)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", required=True, metavar="ARTIFACT", help="Folder or Hub id.")
@click.option("--task", metavar="NAME", help="Task, where the artifact serves several.")
@opening
@saying
@settings
@click.option("--column", "names", multiple=True, metavar="NAME", help="Column that is asked; all are kept.")
@click.option(
    "--on-error",
    type=OneOf(["fail", "record"]),
    default="fail",
    show_default=True,
    metavar="WHAT",
    help="At a bad row: fail, or record why.",
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, metavar="N", help="Processes.")
@click.option("--part-rows", type=click.IntRange(min=1), metavar="N", help="Rows between two saves.")
@click.option("--force", is_flag=True, help="Replace OUT, and begin anew.")
def batch(
    source: Path,
    out: Path,
    model: str,
    task: str | None,
    precision: str | None,
    device: str,
    revision: str | None,
    lock: Path | None,
    threads: int | None,
    settings: tuple[str, ...],
    names: tuple[str, ...],
    on_error: str,
    workers: int,
    part_rows: int | None,
    force: bool,
    said: dict[str, Any],
) -> None:
    """Answer every row of IN (.parquet, .csv, .tsv, .jsonl, .txt, or a folder) in OUT (.parquet, .csv, .jsonl)."""
    from onnxpress.cli.bulk.forms import Columns, form_of
    from onnxpress.cli.bulk.journal import RunParts, told_if_disk_fails
    from onnxpress.cli.bulk.sources import open_source
    from onnxpress.cli.bulk.working import BatchJob, answer, answer_in_processes, cut
    from onnxpress.cli.media import medium_of
    from onnxpress.engine.threads import default_threads
    from onnxpress.errors import InputError
    from onnxpress.pipelines import TASKS, pipeline

    form, options, parts = form_of(out), call_arguments(settings), RunParts(out)
    if threads is None and workers > 1:
        threads = max(1, default_threads() // workers)
    opened = {"precision": precision, "device": device, "revision": revision, "threads": threads, "lock": lock, **said}
    with pipeline(task, model, **opened) as pipe:
        payload, processors = TASKS[pipe.task].payload, pipe.manifest.processors
        if payload.gathers(options):
            raise InputError(
                f"{pipe.task}: these options make one input of all rows. Give them as columns of {source}."
            )
        inputs = open_source(source, names, payload, medium_of(processors))
        survey, size = inputs.survey(), part_rows or _part_rows(pipe)
        facts = {
            "input": inputs.digest(),
            "model": _digest(pipe),
            "precision": pipe.precision,
            "task": pipe.task,
            "options": json.loads(json.dumps(options, default=str)),
            "column": list(names),
            "part-rows": size,
        }
        snapshot = pipe.artifact.snapshot
        job = BatchJob(
            pipe.task, model,
            {**opened, "precision": pipe.precision, "revision": revision if snapshot is None else snapshot.commit},
            options, on_error == "record", parts, Columns.beside(survey.columns, survey.schema),
        )  # fmt: skip
        with parts.held(facts, force=force), told_if_disk_fails(out):
            count = max(1, -(-survey.rows // size))
            before = sum(parts.has(number) for number in range(count))
            todo = (part for part in cut(inputs.rows(), size) if not parts.has(part.number))
            if workers > 1 and before < count:
                pipe.close()
                done = answer_in_processes(job, todo, workers)
            else:
                done = answer(pipe, job, todo)
            failures = _watched(done, survey.rows, min(before * size, survey.rows))
            parts.join(count, lambda path, files: form.join(path, files, job.columns))
    more = f"; {failures} of them could not be answered, {job.columns.error!r} says why" if failures else ""
    click.echo(f"{out}: {survey.rows} rows{more}", err=True)


def _part_rows(pipe: Pipeline[Any, Any]) -> int:
    if pipe.manifest.generation is not None:
        return _WRITTEN
    processors = pipe.manifest.processors
    return _TEXTS if processors.image is None and processors.audio is None else _MEDIA


def _digest(pipe: Pipeline[Any, Any]) -> str:
    """Of the files that the model runs with."""
    from onnxpress.layouts.lock import used_files

    files = used_files(pipe.artifact, pipe.precision)
    return hashlib.sha256(json.dumps({name: info.sha256 for name, info in files.items()}).encode()).hexdigest()


def _watched(done: Iterator[Done], rows: int, before: int) -> int:
    """Draw a bar, and tell of the first bad rows; how many there were."""
    from tqdm import tqdm

    from onnxpress.cli.bulk.working import TOLD

    failures, apart = 0, 0.1 if sys.stderr.isatty() else _SELDOM_S
    with tqdm(total=rows, initial=before, unit=" rows", mininterval=apart, file=sys.stderr, delay=2) as bar:
        for step in done:
            for reason in step.reasons[: max(0, TOLD - failures)]:
                bar.write(reason, file=sys.stderr)
            failures += step.failures
            bar.update(step.rows)
    return failures
