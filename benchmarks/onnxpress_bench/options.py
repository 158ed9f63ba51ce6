"""What the commands of the benchmark share: options, lists in them, and a line with what is being done."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import click

from onnxpress.errors import InputError

if TYPE_CHECKING:
    from onnxpress_bench.comparison import Comparison, Settings
    from onnxpress_bench.subject import Subject

#: Seconds between two lines of progress where standard error is no terminal.
EVERY_S = 20.0


def names(context: click.Context, parameter: click.Parameter, value: str | tuple[str, ...]) -> tuple[str, ...]:
    """A list separated by commas, or given several times."""
    texts = (value,) if isinstance(value, str) else value
    return tuple(dict.fromkeys(name.strip() for text in texts for name in text.split(",") if name.strip()))


def numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    parts = names(context, parameter, value)
    if not parts or not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is not a list of whole numbers, such as 128 or 128,512.")
    return tuple(map(int, parts))


POSITIVE, FROM_ONE = click.FloatRange(min=0, min_open=True), click.IntRange(min=1)
LENGTHS = click.option(
    "--lengths",
    default="mixed",
    show_default=True,
    metavar="NAME|FILE",
    help="Of the stream: mixed, queries, documents; or a file with a text, or a number of tokens, on each line.",
)
PRECISION = click.option(
    "--precision", "precisions", default="", callback=names, help="Variants to try, separated by commas (default: all)."
)
SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of inputs and order.")
REVISION = click.option("--revision", help="Branch, tag or commit of ARTIFACT on the Hub.")


def written(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """A file to write; whether that can be done is found out before the work begins."""
    if path is None:
        return None
    name = parameter.opts[0]
    if not path.absolute().parent.is_dir():
        raise InputError(f"{name}: there is no folder {path.parent}.")
    try:
        with tempfile.TemporaryFile(dir=path.absolute().parent):
            return path
    except OSError as error:
        raise InputError(f"{name}: nothing can be written into {path.parent}: {error.strerror}.") from None


@contextmanager
def display(place: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """What is being done, after `place`, on standard error: one bar, or where that is no terminal a line from time to
    time."""
    from tqdm import tqdm

    started, terminal, over = time.monotonic(), sys.stderr.isatty(), Event()
    doing = ""

    def say() -> None:
        while not over.wait(EVERY_S):
            click.echo(f"progress: {doing}, {time.monotonic() - started:.0f} s", err=True)

    voice = Thread(target=say, daemon=True)
    with tqdm(disable=not terminal, file=sys.stderr, bar_format="{desc:<40} |{bar:24}| {elapsed}", leave=False) as bar:

        def show(title: str, done: int, total: int) -> None:
            nonlocal doing
            title = f"{place}, {title}" if place else title
            doing = f"{title} ({done} of {total} steps done)"
            bar.total, bar.n = total, done
            bar.set_description_str(title)
            if not terminal and not voice.is_alive():
                voice.start()

        try:
            yield show
        finally:
            over.set()
            if voice.is_alive():
                voice.join()


def measure(
    subject: Subject,
    settings: Settings,
    *,
    command: str,
    limits: bool,
    record: Path | None = None,
    page: Path | None = None,
    place: str = "",
) -> Comparison:
    """Measure, write what is asked for, and print the tables; ends the program with 130 if it was interrupted."""
    from onnxpress_bench.record import write_record
    from onnxpress_bench.report.page import write_page
    from onnxpress_bench.report.terminal import render
    from onnxpress_bench.run import run

    with display(place) as show:
        comparison = run(subject, settings, command=command, measure_limits=limits, progress=show)
    if record is not None:
        write_record(comparison, record)
    if page is not None:
        write_page(comparison, page)
    click.echo(render(comparison))
    if comparison.interrupted:
        sys.exit(130)
    return comparison
