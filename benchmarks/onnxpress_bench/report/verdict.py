"""A comparison in plain sentences: what is better by how much, what shows no difference, whose answers are wrong.

Pure: a record in, sentences out; knows nothing of HTML.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnxpress_bench.comparison import BackendInfo, Comparison
from onnxpress_bench.measures import Row
from onnxpress_bench.report.table import times
from onnxpress_bench.statistics import Gain
from onnxpress_exporter.judging.metrics import METRICS
from onnxpress_exporter.judging.wrong import bound, is_wrong


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be said of one backend. `wrong`: whether its answers are. Each of the lists holds sentences."""

    backend: str
    wrong: bool
    answers: str
    summary: str
    better: tuple[str, ...]
    worse: tuple[str, ...]
    same: tuple[str, ...]


def verdicts(comparison: Comparison, rows: Sequence[Row]) -> list[Verdict]:
    """One for each backend that was compared."""
    return [_verdict(comparison, rows, name) for name in comparison.names if name != comparison.base]


def _verdict(comparison: Comparison, rows: Sequence[Row], name: str) -> Verdict:
    gains = {row.name: (row, row.gains[name]) for row in rows if name in row.gains}
    said = {kind: tuple(_sentences(gains, kind)) for kind in _KINDS}
    better, worse, same = (sum(gain.verdict == kind for _, gain in gains.values()) for kind in _KINDS)
    base, info = comparison.base, comparison.backend(name)
    summary = f"Not compared with {base}: the two have no block in common."
    if gains:
        summary = (
            f"Against {base}: better in {better} of {len(gains)} measures, worse in {worse or 'none'}, no "
            f"difference shown in {same or 'none'}."
        )
    answers = of_answers(info, base)
    answers = answers[0].upper() + answers[1:]
    return Verdict(name, bool(wrong_figures(info)), answers, summary, *(said[kind] for kind in _KINDS))


_KINDS = ("better", "worse", "no difference shown")


def _sentences(gains: Mapping[str, tuple[Row, Gain]], kind: str) -> Iterator[str]:
    """One for each measure of a kind. Tails of a shape that go with its median get only a word."""
    for name, (row, gain) in gains.items():
        measure, _, shape = name.partition(" ")
        tails = [f"latency_{tail} {shape}" for tail in ("p90", "p99")]
        alike = [tail for tail in tails if tail in gains and gains[tail][1].verdict == gain.verdict]
        median = gains.get(f"latency_p50 {shape}")
        if gain.verdict != kind or (name in tails and median and median[1].verdict == kind):
            continue
        also = " and ".join(tail[8:11] for tail in alike) if measure == "latency_p50" else ""
        yield _said(row, gain) + (f"; {also} likewise" if also else "")


def wrong_figures(backend: BackendInfo) -> list[tuple[str, float | None]]:
    """The figures of quality that are so far off that speed means little beside them; None is no number."""
    return [(name, value) for name, value in backend.quality.items() if is_wrong(name, value)]


def was_compared(backend: BackendInfo) -> bool:
    """Whether its answers stand beside the base's; the task's own metric does not tell."""
    return any(name not in METRICS for name in backend.quality)


def of_answers(backend: BackendInfo, base: str) -> str:
    """What is to be said of a backend's answers, after its name."""
    wrong = wrong_figures(backend)
    if wrong:
        shown = "; ".join(f"{name} {_shown(value)}{_bound(name)}" for name, value in wrong)
        return f"does not give {base}'s answers: {shown}. Its speed means nothing beside that."
    if not was_compared(backend):
        return f"was not compared with {base} in its answers."
    return f"gives {base}'s answers: {'; '.join(f'{name} {_shown(value)}' for name, value in backend.quality.items())}."


def _shown(value: float | None) -> str:
    return "no number" if value is None else f"{value:.6f}"


def _bound(name: str) -> str:
    limit = bound(name)
    if limit is None:
        return ""
    return f", where {limit.value:g} is the {'most' if limit.smaller_is_better else 'least'} that counts as the same"


def _said(row: Row, gain: Gain) -> str:
    """As in: latency p50, 1 x 16 tokens: 2.96x as fast [2.80, 3.11]."""
    title = row.title.strip()
    if gain.low is None or gain.high is None:
        return f"{title}: {_amount(row, gain.ratio)} (one block: no interval)"
    low, high = gain.low, gain.high
    if row.unit == "B" and gain.ratio < 1:
        low, high = 1 / gain.high, 1 / gain.low if gain.low else math.inf
    return f"{title}: {_amount(row, gain.ratio)} [{low:.2f},\N{NO-BREAK SPACE}{high:.2f}]"


def _amount(row: Row, ratio: float) -> str:
    if row.unit == "B":
        return f"divided by {ratio:.2f}" if ratio >= 1 else f"multiplied by {1 / ratio:.2f}"
    if row.unit in ("ms", "s"):
        return f"{times(ratio)} as fast"
    return f"{times(ratio)} as many" if row.unit.endswith("/s") else f"{times(ratio)} better"
