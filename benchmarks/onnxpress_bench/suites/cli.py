"""`make bench`: run suites, keep their records, and write RESULTS.md and the README's figures."""

from __future__ import annotations

import multiprocessing
import shlex
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import click

from onnxpress import Artifact
from onnxpress.cli.options import OneOf
from onnxpress.engine.machine import features
from onnxpress_bench.options import measure
from onnxpress_bench.suites import ROOT, SUITES, Case, cases
from onnxpress_bench.suites.processors import kind_of_processor
from onnxpress_bench.suites.shapes import artifact_of, checkpoint_of

RESULTS = ROOT / "benchmarks" / "results"
STORE = ROOT / "models" / "artifacts"


@click.command()
@click.option("--suite", type=OneOf(list(SUITES)), help="Only this one (default: all).")
@click.option("--case", "names", multiple=True, help="Only these cases.")
@click.option("--blocks", type=click.IntRange(min=1), help="Fresh processes per backend, in place of the suite's own.")
@click.option("--tune", is_flag=True, help="Tune the variants of artifacts for this machine before they are measured.")
@click.option("--list", "only_list", is_flag=True, help="Print suites and cases, and measure nothing.")
@click.option("--readme", is_flag=True, help="Only put the figures of the records into the documents.")
@click.option(
    "--results", type=click.Path(path_type=Path, file_okay=False), default=RESULTS, help="Where the records are kept."
)
def main(
    suite: str | None,
    names: tuple[str, ...],
    blocks: int | None,
    tune: bool,
    only_list: bool,
    readme: bool,
    results: Path,
) -> None:
    """Measure every case of the suites, write benchmarks/results/KIND of processor/, and regenerate the figures in the
    documents."""
    from onnxpress_bench.suites.results import write_documents

    chosen = [(name, case) for name in ([suite] if suite else SUITES) for case in cases(name)]
    chosen = [(name, case) for name, case in chosen if not names or case.name in names]
    if only_list:
        for name, case in chosen:
            click.echo(f"{name}/{case.name}: {case.model}; {', '.join(case.backends)}")
        return
    failed = False
    records = results / kind_of_processor(features()).name
    for number, (name, case) in enumerate([] if readme else chosen, start=1):
        place = f"case {number} of {len(chosen)}, {name}/{case.name}"
        click.echo(f"\n=== {place}\n")
        failed |= _measure(case, records / name / f"{case.name}.jsonl", blocks, place, tune=tune)
    if results == RESULTS:
        write_documents(ROOT, results)
    sys.exit(1 if failed else 0)


def _measure(case: Case, path: Path, blocks: int | None, place: str, *, tune: bool) -> bool:
    """Whether a backend failed."""
    from onnxpress_bench.run import settings_for
    from onnxpress_bench.subject import of_artifact, of_checkpoint
    from onnxpress_bench.suites.heldout import heldout_rows
    from onnxpress_bench.workloads import Sizes, workload_of
    from onnxpress_exporter.judging.docstrings import docstrings
    from onnxpress_exporter.tasks.evaluation import evaluation_of

    settings = replace(settings_for(quick=False), **case.settings)
    settings = replace(settings, blocks=blocks or settings.blocks)
    # In a process of its own: this one stays light, and without PyTorch's threads.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        if workload_of(case.task).reads_checkpoint:
            folder, sizes = pool.submit(checkpoint_of, case.model, STORE).result(), Sizes(**case.inputs)
            subject = of_checkpoint(folder, case.task, settings, backends=case.backends, sizes=sizes)
        else:
            prepared = pool.submit(artifact_of, case.model, STORE, case.precisions, case.task, tune=tune)
            folder, checkpoint = prepared.result()
            artifact = Artifact.open(folder)
            rows = evaluation_of(heldout_rows(case.model), artifact.manifest) if case.heldout else None
            subject = of_artifact(
                artifact,
                str(checkpoint),
                settings,
                backends=case.backends,
                precisions=case.precisions,
                sizes=Sizes(**case.inputs),
                evaluation=rows,
            )
    if case.judged_docstrings:
        subject = replace(subject, inputs=replace(subject.inputs, judged=docstrings(case.judged_docstrings)))
    # What is committed names no folder of this machine.
    subject = replace(subject, model=case.model, checkpoint=f"{case.model} checkpoint")
    command = shlex.join(["make", "bench", f"CASE={case.name}", *(["TUNE=1"] if tune else [])])
    pages = STORE / "reports"
    for folder in (path.parent, pages):
        folder.mkdir(parents=True, exist_ok=True)
    page = pages / f"{path.parent.name}-{case.name}.html"
    comparison = measure(
        subject, settings, command=command, limits=case.measure_limits, record=path, page=page, place=place
    )
    return bool(comparison.failures)
