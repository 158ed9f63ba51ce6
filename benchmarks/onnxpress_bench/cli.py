"""`onnxpress bench`: parses, calls, prints. Nothing is computed here."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxpress.cli.options import OneOf
from onnxpress.errors import InputError
from onnxpress_bench import options
from onnxpress_bench.backends import BACKENDS
from onnxpress_bench.scenarios import SCENARIOS
from onnxpress_bench.workloads import WORKLOADS
from onnxpress_exporter.cli.terminal import evaluation_options

if TYPE_CHECKING:
    from onnxpress_exporter.judging.data import EvalData

_BACKENDS = "; ".join(f"{name}: {kind.about}" for name, kind in BACKENDS.items())
_FILE = click.Path(path_type=Path, dir_okay=False)


def _scenarios(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = options.names(context, parameter, value)
    for name in names:
        if name not in SCENARIOS:
            raise click.BadParameter(f"{name!r} is not one of {', '.join(SCENARIOS)}.")
    return names


@click.command("bench")
@click.argument("artifact")
@click.option("--checkpoint", metavar="DIR_OR_ID", help="PyTorch model (default: the one ARTIFACT was made from).")
@click.option(
    "--backend",
    "backends",
    default="",
    callback=options.names,
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
    callback=options.names,
    help="ROWSxTOKENS, separated by commas.",
)
@options.LENGTHS
@click.option("--tokenization", type=OneOf(["included", "apart"]), default="included", show_default=True)
@options.PRECISION
@click.option("--p99-ms", "server_p99_ms", type=options.POSITIVE, help="Server: find the highest rate within this.")
@click.option("--rate", "server_rate_per_s", type=options.POSITIVE, help="Server: measure at this rate, per second.")
@click.option("--blocks", type=options.FROM_ONE, help="Fresh processes per backend (default: 10, quick: 5).")
@click.option("--threads", type=options.FROM_ONE, help="For every backend (default: the usable cores).")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option(
    "--task",
    type=OneOf(sorted(task for row in WORKLOADS if row.reads_checkpoint for task in row.tasks)),
    help="For these, ARTIFACT may be a PyTorch checkpoint, a folder or a Hub id, which every backend converts.",
)
@click.option(
    "--prompt-tokens", default="128", show_default=True, callback=options.numbers, help="Generation: of each prompt."
)
@click.option(
    "--new-tokens",
    default="32",
    show_default=True,
    callback=options.numbers,
    help="Generation: what follows each prompt.",
)
@click.option(
    "--pictures",
    default="1x500,8x500",
    show_default=True,
    callback=options.names,
    help="Pictures: ROWSxPIXELS of the longer edge.",
)
@click.option(
    "--audio-s", default="5", show_default=True, callback=options.numbers, help="Audio: seconds of each recording."
)
@click.option(
    "--transcript-tokens", type=options.FROM_ONE, help="Audio: cut transcripts here (default: the model's limit)."
)
@click.option(
    "--transcript-beams",
    type=options.FROM_ONE,
    default=1,
    show_default=True,
    help="Audio: of the search for each text.",
)
@click.option(
    "--transcript-batch",
    type=options.FROM_ONE,
    help="Audio: so many windows of a recording side by side, which may then take an hour.",
)
@click.option(
    "--quick", is_flag=True, help="Fewer and shorter blocks, no A/A control: about a minute for a small model."
)
@click.option("--control/--no-control", default=None, help="Run one backend twice, as an A/A control of the method.")
@click.option("--limits/--no-limits", default=None, help="Measure what this machine can do at most (a roofline), too.")
@options.SEED
@options.REVISION
@click.option("--json", "json_file", type=_FILE, callback=options.written, help="Write the record here.")
@click.option("--html", "html_file", type=_FILE, callback=options.written, help="Write a page with plots here.")
@evaluation_options
@click.option("--allow-pickled-weights", is_flag=True, help="Load the checkpoint's weights even if they are pickles.")
@click.option("--trust-remote-code", is_flag=True, help="Let the checkpoint's own Python code run.")
def bench_command(
    artifact: str,
    checkpoint: str | None,
    backends: tuple[str, ...],
    scenarios: tuple[str, ...],
    precisions: tuple[str, ...],
    blocks: int | None,
    threads: int | None,
    task: str | None,
    quick: bool,
    limits: bool | None,
    seed: int,
    revision: str | None,
    json_file: Path | None,
    html_file: Path | None,
    evaluation: EvalData | None,
    **details: Any,
) -> None:
    """Measure ARTIFACT (a folder or a Hub id) against PyTorch and others: latency, throughput, cold start, memory,
    quality.

    Every backend runs in fresh processes, in random order, with the same texts and threads.
    """
    from onnxpress_bench.comparison import Settings
    from onnxpress_bench.run import settings_for
    from onnxpress_bench.subject import Trust, check_installed, is_artifact, of_artifact, of_checkpoint, open_artifact
    from onnxpress_bench.workloads import Sizes, workload_of
    from onnxpress_exporter.quiet import quiet
    from onnxpress_exporter.tasks.evaluation import read_evaluation

    if html_file is not None:
        check_installed(("matplotlib",))
    opened = open_artifact(artifact, revision, precisions) if is_artifact(artifact, task) else None
    if opened is not None:
        if task not in (None, opened.manifest.task):
            raise InputError(f"{artifact} is an artifact for {opened.manifest.task}: leave out --task {task}.")
        task = opened.manifest.task
    assert task is not None
    scenarios = scenarios or workload_of(task).usual
    backends = backends or (("pytorch", "onnxpress") if opened else ("pytorch",))
    if "server" in scenarios and not (details["server_p99_ms"] or details["server_rate_per_s"]):
        raise InputError("The server scenario needs --p99-ms MS (find the highest rate) or --rate N (measure at it).")
    settings = replace(settings_for(quick, blocks, threads, seed), scenarios=scenarios, **_fields_of(Settings, details))
    trust, sizes = Trust(**_fields_of(Trust, details)), Sizes(**_fields_of(Sizes, details))
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
            precisions=precisions,
            sizes=sizes,
            trust=trust,
            evaluation=rows,
        )
    else:
        subject = of_checkpoint(artifact, task, settings, backends=backends, sizes=sizes, trust=trust)
    comparison = options.measure(
        subject,
        settings,
        command=shlex.join(["onnxpress", *sys.argv[1:]]),
        limits=not quick if limits is None else limits,
        record=json_file,
        page=html_file,
    )
    if comparison.failures:
        sys.exit(1)


def _fields_of(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a dataclass has fields for, by the same names; what was not asked for keeps its default."""
    known = {field.name for field in fields(kind)}
    return {name: value for name, value in options.items() if name in known and value is not None}
