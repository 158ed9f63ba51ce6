"""An advice as text for people, by the layout advice.txt. Pure: an advice in, text out."""

from __future__ import annotations

from onnxpress import Artifact
from onnxpress_bench.advise import Advice, Trial
from onnxpress_bench.report.layout import fill
from onnxpress_bench.report.table import NONE, figure, table_of


def render(advice: Advice, artifact: Artifact) -> str:
    """The recommendation, how to follow it, and the evidence."""
    trials = table_of(
        "precision, replicas, batches",
        ["rate", "p50", "p99", "memory", "holds"],
        [(str(trial.candidate), _cells(trial)) for trial in advice.trials],
    )
    confirmed = [_milliseconds(trial.p99_ms) for trial in advice.confirmations]
    return fill("advice.txt", advice=advice, artifact=artifact, trials=trials, confirmed=confirmed)


def _cells(trial: Trial) -> list[str]:
    rate = f"{trial.rate_per_s:.4g}/s"
    if trial.failure is not None:
        return [rate, NONE, NONE, NONE, f"FAILED: {trial.failure}"]
    p50, p99 = (_milliseconds(value if trial.within else None) for value in (trial.p50_ms, trial.p99_ms))
    return [
        rate,
        p50,
        p99 if trial.within else "over the bound",
        figure(trial.memory_bytes, "B"),
        "yes" if trial.within else "no",
    ]


def _milliseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:.3g} ms"
