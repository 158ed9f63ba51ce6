"""What a reader must know beside the figures of a comparison, as sentences. Pure: a record in, sentences out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import MEASURES
from onnxpress_bench.noise import Findings
from onnxpress_bench.report.verdict import of_answers, wrong_figures

Kind = Literal["WRONG", "WARNING", "FAILED", "INTERRUPTED"]


def cautions(comparison: Comparison, trust: Findings) -> Iterator[tuple[Kind, str]]:
    """What must be known before a figure is read."""
    for warning in trust.warnings:
        yield "WARNING", warning
    if comparison.same_weights is False:
        yield (
            "WARNING",
            f"The weights of {comparison.checkpoint} are not those that the artifact was made from. Export it again, "
            "or name the right checkpoint.",
        )
    for backend in comparison.backends:
        if backend.control_of is None and wrong_figures(backend):
            yield "WRONG", f"{backend.name} {of_answers(backend, comparison.base)}"
    for name in dict.fromkeys(run.backend for run in comparison.runs if "server_unsustained" in run.samples):
        lost = [
            str(run.block + 1) for run in comparison.runs if run.backend == name and "server_unsustained" in run.samples
        ]
        yield "WARNING", f"{name} sustains no rate within the server's bound (block {', '.join(lost)})."
    if comparison.base not in {run.backend for run in comparison.runs}:
        yield "WARNING", f"{comparison.base} was not measured, so there are no gains."
    for failure in comparison.failures:
        when = "the pilot" if failure.block is None else f"block {failure.block + 1}"
        yield "FAILED", f"{failure.backend} in {when}: {failure.message}"
    if comparison.interrupted:
        yield "INTERRUPTED", "The figures are of what was measured until then."


def tails_of(comparison: Comparison) -> Iterator[str]:
    """Why a percentile is missing."""
    latencies = [
        len(some) for run in comparison.runs for name, some in run.samples.items() if name.startswith("latency")
    ]
    for least, name in sorted(
        (measure.least, measure.name[-3:]) for measure in MEASURES if measure.name.startswith("latency")
    ):
        if any(count < least for count in latencies):
            yield f"{name} of a latency is shown where every block has {least} samples or more."


def server_of(comparison: Comparison) -> str:
    """How the server was asked; nothing where it was not."""
    settings = comparison.settings
    if "server" not in settings.scenarios:
        return ""
    bound = f"the highest rate whose p99 is within {settings.server_p99_ms:g} ms" if settings.server_p99_ms else ""
    rate = f"{settings.server_rate_per_s:g} {comparison.unit}/s" if settings.server_rate_per_s else bound
    return f"{settings.server_queries} queries, {rate}"


def control_of(comparison: Comparison, trust: Findings) -> str:
    """How far a backend was from its own copy; nothing without one."""
    if trust.floor is None or comparison.control is None:
        return ""
    return (
        f"{comparison.control.control_of} against its own copy differed by {trust.floor:.1%} (median of "
        f"{len(trust.controls)} measures); {len(trust.false_alarms)} intervals of {len(trust.controls)} exclude 1."
    )
