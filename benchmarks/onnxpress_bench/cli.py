"""`onnxpress bench`: parses, calls, prints. Nothing is computed here."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxpress.errors import InputError
from onnxpress_bench.backends import BACKENDS
from onnxpress_bench.scenarios import SCENARIOS
from onnxpress_bench.workloads import WORKLOADS
from onnxpress_exporter.cli.terminal import evaluation_options

if TYPE_CHECKING:
    from onnxpress_exporter.judging.data import EvalData

_BACKENDS = "; ".join(f"{name}: {kind.about}" for name, kind in BACKENDS.items())


def _names(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    """A list separated by commas."""
    return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))


def _scenarios(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = _names(context, parameter, value)
    for name in names:
        if name not in SCENARIOS:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(SCENARIOS)}.")
    return names


def _numbers(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    """Whole numbers separated by commas."""
    names = _names(context, parameter, value)
    if not names or not all(name.isdecimal() for name in names):
        raise click.BadParameter(f"{value!r} is not a list of whole numbers, such as 128 or 128,512.")
    return tuple(map(int, names))


@click.command("bench")
@click.argument("artifact")
@click.option("--checkpoint", metavar="DIR_OR_ID", help="PyTorch model (default: the one ARTIFACT was made from).")
@click.option(
    "--backend",
    "backends",
    default="",
    callback=_names,
    help="What to compare, separated by commas (default: pytorch,onnxpress; of a checkpoint pytorch); KIND@ROWS sets "
    f"the rows of a batch. {_BACKENDS}.",
)
@click.option(
    "--scenario",
    "scenarios",
    default="",
    callback=_scenarios,
    help=f"Separated by commas: {', '.join(SCENARIOS)} (default: single-stream,mixed; of models that write or hear "
    "theirs). Cold start and memory are always measured.",
)
@click.option(
    "--shape",
    "shapes",
    default="1x16,1x128",
    show_default=True,
    callback=_names,
    help="ROWSxTOKENS, separated by commas.",
)
@click.option(
    "--lengths",
    default="mixed",
    show_default=True,
    metavar="NAME|FILE",
    help="Of the stream: mixed, queries, documents; or a file with a text, or a number of tokens, on each line.",
)
@click.option("--tokenization", type=click.Choice(["included", "apart"]), default="included", show_default=True)
@click.option(
    "--precision", default="", callback=_names, help="Variants to measure, separated by commas (default: all)."
)
@click.option(
    "--p99-ms", type=click.FloatRange(min=0, min_open=True), help="Server: find the highest rate within this."
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Server: measure at this rate, per second.")
@click.option("--blocks", type=click.IntRange(min=1), help="Fresh processes per backend (default: 10, quick: 5).")
@click.option("--threads", type=click.IntRange(min=1), help="For every backend (default: the usable cores).")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option(
    "--task",
    type=click.Choice(sorted(task for row in WORKLOADS for task in row.tasks)),
    help="For these, ARTIFACT may be a PyTorch checkpoint, a folder or a Hub id, which every backend converts.",
)
@click.option(
    "--prompt-tokens", default="128", show_default=True, callback=_numbers, help="Generation: of each prompt."
)
@click.option(
    "--new-tokens", default="32", show_default=True, callback=_numbers, help="Generation: what follows each prompt."
)
@click.option("--audio-s", default="5", show_default=True, callback=_numbers, help="Audio: seconds of each recording.")
@click.option(
    "--transcript-tokens", type=click.IntRange(min=1), help="Audio: cut transcripts here (default: the model's limit)."
)
@click.option(
    "--quick", is_flag=True, help="Fewer and shorter blocks, no A/A control: about a minute for a small model."
)
@click.option("--control/--no-control", default=None, help="Run one backend twice, as an A/A control of the method.")
@click.option("--limits/--no-limits", default=None, help="Measure what this machine can do at most (a roofline), too.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of inputs and order.")
@click.option("--revision", help="Branch, tag or commit of ARTIFACT on the Hub.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the record here.")
@click.option(
    "--html", "html_file", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with plots here."
)
@evaluation_options
@click.option("--allow-pickled-weights", is_flag=True, help="Load the checkpoint's weights even if they are pickles.")
@click.option("--trust-remote-code", is_flag=True, help="Let the checkpoint's own Python code run.")
def bench_command(
    artifact: str,
    checkpoint: str | None,
    backends: tuple[str, ...],
    scenarios: tuple[str, ...],
    shapes: tuple[str, ...],
    lengths: str,
    tokenization: str,
    precision: tuple[str, ...],
    p99_ms: float | None,
    rate: float | None,
    blocks: int | None,
    threads: int | None,
    device: str,
    task: str | None,
    prompt_tokens: tuple[int, ...],
    new_tokens: tuple[int, ...],
    audio_s: tuple[int, ...],
    transcript_tokens: int | None,
    quick: bool,
    control: bool | None,
    limits: bool | None,
    seed: int,
    revision: str | None,
    json_file: Path | None,
    html_file: Path | None,
    evaluation: EvalData | None,
    allow_pickled_weights: bool,
    trust_remote_code: bool,
) -> None:
    """Measure ARTIFACT (a folder or a Hub id) against PyTorch and others: latency, throughput, cold start, memory,
    quality.

    Every backend runs in fresh processes, in random order, with the same texts and threads.
    """
    from onnxpress_bench.record import write_record
    from onnxpress_bench.report.terminal import render
    from onnxpress_bench.run import run, settings_for
    from onnxpress_bench.subject import Trust, check_installed, is_artifact, of_artifact, of_checkpoint, open_artifact
    from onnxpress_bench.workloads import Sizes, workload_of
    from onnxpress_exporter.quiet import quiet
    from onnxpress_exporter.tasks.evaluation import read_evaluation

    for option, file in (("--json", json_file), ("--html", html_file)):
        if file is not None and not file.absolute().parent.is_dir():
            raise InputError(f"{option}: there is no folder {file.parent}.")
    if html_file is not None:
        check_installed(("matplotlib", "jinja2"))
    opened = open_artifact(artifact, revision, precision) if is_artifact(artifact, task) else None
    if opened is not None:
        if task not in (None, opened.manifest.task):
            raise InputError(f"{artifact} is an artifact for {opened.manifest.task}: leave out --task {task}.")
        task = opened.manifest.task
    assert task is not None
    scenarios = scenarios or workload_of(task).usual
    backends = backends or (("pytorch", "onnxpress") if opened else ("pytorch",))
    if "server" in scenarios and not (p99_ms or rate):
        raise InputError("The server scenario needs --p99-ms MS (find the highest rate) or --rate N (measure at it).")
    settings = replace(
        settings_for(quick, blocks, threads, seed),
        device=device,
        scenarios=scenarios,
        shapes=shapes,
        lengths=lengths,
        tokenization=tokenization,
        server_p99_ms=p99_ms,
        server_rate_per_s=rate,
    )
    settings = replace(settings, control=settings.control if control is None else control)
    trust = Trust(allow_pickled_weights, trust_remote_code)
    sizes = Sizes(prompt_tokens, new_tokens, audio_s=audio_s, transcript_tokens=transcript_tokens)
    if evaluation is not None and workload_of(task).reads_checkpoint:
        raise InputError(f"--eval-data has no metric for {task}, whose answers are compared with PyTorch's alone.")
    if opened is not None:
        rows = None
        if evaluation is not None:
            with quiet():
                rows = read_evaluation(evaluation, opened.manifest)
        subject = of_artifact(
            *(opened, checkpoint, settings),
            backends=backends,
            precisions=precision,
            sizes=sizes,
            trust=trust,
            evaluation=rows,
        )
    else:
        subject = of_checkpoint(artifact, task, settings, backends=backends, sizes=sizes, trust=trust)
    with display() as show:
        comparison = run(
            subject,
            settings,
            command=shlex.join(["onnxpress", *sys.argv[1:]]),
            measure_limits=not quick if limits is None else limits,
            progress=show,
        )
    if json_file is not None:
        write_record(comparison, json_file)
    if html_file is not None:
        from onnxpress_bench.report.page import write_page

        write_page(comparison, html_file)
    click.echo(render(comparison))
    if comparison.interrupted:
        sys.exit(130)
    if comparison.failures:
        sys.exit(1)


@contextmanager
def display(place: str = "") -> Iterator[Callable[[str, int, int], None]]:
    """One bar on standard error, which says `place` and what is being done; nothing where that is not a terminal."""
    from tqdm import tqdm

    with tqdm(
        disable=not sys.stderr.isatty(),
        file=sys.stderr,
        bar_format="{desc:<40} |{bar:24}| {elapsed}",
        leave=False,
    ) as bar:

        def show(title: str, done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.set_description_str(f"{place}, {title}" if place else title)

        yield show
