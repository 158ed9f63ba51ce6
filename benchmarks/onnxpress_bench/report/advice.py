"""An advice as text for people. Pure: an advice in, text out."""

from __future__ import annotations

import math

from onnxpress import Artifact
from onnxpress_bench.advise import Advice, Candidate, Trial
from onnxpress_bench.report.table import NONE, figure, table_of, to_text


def render(advice: Advice, artifact: Artifact) -> str:
    """The recommendation, how to follow it, and the evidence."""
    demand, machine = advice.demand, advice.machine
    parts = [
        f"{artifact.folder} ({artifact.manifest.task}) on {machine.processor}, {machine.usable_cores} usable cores: "
        f"{demand.rate_per_s:g} requests/s ({demand.lengths} lengths), 99% within {demand.p99_ms:g} ms",
        _verdict(advice, artifact),
        to_text(
            table_of(
                "precision, replicas, batches",
                ["rate", "p50", "p99", "memory", "holds"],
                [(str(trial.candidate), _cells(trial)) for trial in advice.trials],
            )
        ),
        "Each line: replicas side by side in fresh processes, Poisson arrivals, latency from the intended arrival. A "
        "trial is lost, and ends, once more than 1% are late.",
    ]
    if machine.busy:
        parts.append("WARNING: the machine was busy when this began; idle, it will do better.")
    if advice.interrupted:
        parts.append("INTERRUPTED: the evidence is what was measured until then.")
    return "\n\n".join(parts)


def _verdict(advice: Advice, artifact: Artifact) -> str:
    demand, best = advice.demand, advice.best
    if advice.interrupted:
        return "No recommendation: interrupted."
    if best is None and advice.highest_per_s:
        machines = math.ceil(demand.rate_per_s / advice.highest_per_s)
        return (
            f"This machine does not meet the demand. Within the bound it sustains about {advice.highest_per_s:.3g} "
            f"requests/s: {machines} such machines would, or a smaller model, a lower precision, or a wider bound."
        )
    if best is None:
        return (
            "This machine does not meet the bound at any rate that was tried: a single request takes too long. A "
            "smaller model, a lower precision, shorter texts or a wider bound would help; more machines would not."
        )
    held = sum(trial.within for trial in advice.confirmations)
    shown = ", ".join(_milliseconds(trial.p99_ms) for trial in advice.confirmations)
    lines = [
        f"RECOMMENDED: {best}",
        f"It held in {held} of {len(advice.confirmations)} runs with other arrivals (p99 {shown}) and sustains "
        f"about {advice.highest_per_s:.3g} requests/s within the bound.",
    ]
    if held < len(advice.confirmations):
        lines.append("It is close to its limit: plan with some of the rate to spare, or with another machine.")
    return "\n".join([*lines, "", *_code(best, artifact)])


def _code(best: Candidate, artifact: Artifact) -> list[str]:
    replicas = f"  # in each of {best.replicas} processes" if best.replicas > 1 else ""
    budget = f", budget_tokens={best.budget_tokens}" if best.rows > 1 else ""
    call = "pipe(text)" if best.rows == 1 else f"pipe(waiting[:{best.rows}])  # the requests that wait, together"
    arguments = f'model="{artifact.folder}", precision="{best.precision}", threads={best.threads}{budget}'
    return [
        f"  pipe = onnxpress.pipeline({arguments}){replicas}",
        f"  {call}",
    ]


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
