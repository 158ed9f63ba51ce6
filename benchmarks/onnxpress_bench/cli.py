"""`onnxpress bench`: parses, calls, prints. Nothing is computed here."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from onnxpress import Artifact
from onnxpress.errors import InputError


@click.command("bench")
@click.argument("artifact")
@click.option("--checkpoint", metavar="DIR_OR_ID", help="PyTorch model (default: the one ARTIFACT was made from).")
@click.option("--precision", help="Variants to measure, separated by commas (default: all).")
@click.option("--blocks", type=click.IntRange(min=1), help="Fresh processes per backend (default: 10, quick: 5).")
@click.option("--threads", type=click.IntRange(min=1), help="For every backend (default: the usable cores).")
@click.option("--quick", is_flag=True, help="Fewer and shorter blocks: about a minute for a small model.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of inputs and order.")
@click.option("--revision", help="Branch, tag or commit of ARTIFACT on the Hub.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the record here.")
@click.option("--allow-pickled-weights", is_flag=True, help="Load the checkpoint's weights even if they are pickles.")
@click.option("--trust-remote-code", is_flag=True, help="Let the checkpoint's own Python code run.")
def bench_command(
    artifact: str,
    checkpoint: str | None,
    precision: str | None,
    blocks: int | None,
    threads: int | None,
    quick: bool,
    seed: int,
    revision: str | None,
    json_file: Path | None,
    allow_pickled_weights: bool,
    trust_remote_code: bool,
) -> None:
    """Measure ARTIFACT (a folder or a Hub id) against PyTorch: latency, throughput, cold start, memory, quality.

    Every backend runs in fresh processes, in random order, with the same texts and threads.
    """
    from onnxpress_bench.record import to_json
    from onnxpress_bench.report import render
    from onnxpress_bench.run import Trust, run, settings_for

    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise InputError(f"--json: there is no folder {json_file.parent}.")
    precisions = precision.split(",") if precision else []
    with display() as show:
        comparison = run(
            Artifact.open(artifact, revision=revision, precision=precisions[0] if precisions else None),
            checkpoint,
            settings_for(quick, blocks, threads, seed),
            precisions=precisions,
            trust=Trust(allow_pickled_weights, trust_remote_code),
            command=shlex.join(["onnxpress", *sys.argv[1:]]),
            progress=show,
        )
    if json_file is not None:
        json_file.write_text(to_json(comparison), encoding="utf-8")
    click.echo(render(comparison))
    if comparison.interrupted:
        sys.exit(130)
    if comparison.failures:
        sys.exit(1)


@contextmanager
def display() -> Iterator[Callable[[str, int, int], None]]:
    """One bar on standard error; nothing where that is not a terminal."""
    from tqdm import tqdm

    with tqdm(
        disable=not sys.stderr.isatty(),
        file=sys.stderr,
        bar_format="{desc:<32} |{bar:24}| {elapsed}",
        leave=False,
    ) as bar:

        def show(title: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description_str(title)

        yield show
