"""Two records side by side: what became slower, larger or wrong. Pure: records in, changes out.

Blocks of different runs are no pairs, so their values are compared as two groups (`statistics.unpaired_gain`). The
interval knows how much blocks of one run differ. It does not know what else changed between two runs: another machine,
or a busier hour. Compared relative to a backend that both runs hold, most of that cancels out.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from onnxpress.errors import InputError
from onnxpress_bench.comparison import BackendInfo, Comparison, Settings
from onnxpress_bench.errors import BenchError
from onnxpress_bench.machine import Machine
from onnxpress_bench.measures import MEASURES, Series, all_series
from onnxpress_bench.noise import findings
from onnxpress_bench.statistics import Gain, unpaired_gain
from onnxpress_exporter.judging.metrics import METRICS
from onnxpress_exporter.judging.wrong import bound, is_wrong

Verdict = Literal["regressed", "improved", "worse, within the threshold", "no difference shown"]

#: A figure of quality may drop by this share of what still counts as right before that is a regression.
QUALITY_SHARE = 0.02
#: The task's own metric may drop by so much before that is a regression.
METRIC_DROP = 0.005

#: What makes it a comparison of machines, or of other work. Not scenarios and shapes: what is missing is listed.
_MACHINE = ("processor", "usable_cores", "system", "gpu", "governor", "boost", "on_battery", "virtual")
_SETTINGS = tuple(
    field.name for field in fields(Settings) if field.name not in ("blocks", "scenarios", "shapes", "control")
)


@dataclass(frozen=True, slots=True)
class Change:
    """A measure of a backend. `gain`: how many times better `after` is; figures are medians in `unit`, or with a
    reference how many times better than it ("x")."""

    backend: str
    measure: str
    title: str
    unit: str
    before: float
    after: float
    gain: Gain
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class QualityChange:
    """A figure of quality of a backend; None is no number."""

    backend: str
    figure: str
    before: float | None
    after: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Differences:
    """`broken`: what worked before and fails now, which is a regression; `missing`: what was not measured now."""

    threshold: float
    relative_to: str | None
    changes: tuple[Change, ...]
    qualities: tuple[QualityChange, ...]
    broken: tuple[str, ...]
    missing: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def regressed(self) -> bool:
        """Whether anything is worse by more than the threshold, or broken, or wrong."""
        verdicts = [*(change.verdict for change in self.changes), *(change.verdict for change in self.qualities)]
        return bool(self.broken) or "regressed" in verdicts


#: Row name and backend -> the row's series, and the backend's value for each block.
Values = Mapping[tuple[str, str], tuple[Series, Sequence[float]]]


def differences(
    before: Comparison,
    after: Comparison,
    *,
    threshold: float = 0.05,
    measures: Sequence[str] = (),
    relative_to: str | None = None,
) -> Differences:
    """What changed from one record to the other.

    Args:
        threshold: a share; how much worse a median must be, besides an interval that excludes 1, to count.
        measures: names of measures, or of rows ("latency_p50 1x16"); all without.
        relative_to: a backend of both records that the others are divided by, block by block.

    Raises:
        BenchError: the records have nothing in common, or not this backend.
        InputError: a measure that the first record does not have.
    """
    if before.task != after.task:
        raise BenchError(
            f"The records are of two tasks, {before.task} and {after.task}: nothing in them is comparable."
        )
    old, new = (_values(comparison, relative_to) for comparison in (before, after))
    known = sorted({part for name, _ in old for part in _names(name)})
    unknown = [name for name in measures if name not in known]
    if unknown:
        raise InputError(f"The first record has no measure {unknown[0]!r}. It has: {', '.join(known)}.")
    old = {key: held for key, held in old.items() if not measures or set(_names(key[0])) & set(measures)}
    changes = tuple(
        _change(key, series, values, new[key][1], threshold, before.settings.seed, relative=relative_to is not None)
        for key, (series, values) in old.items()
        if key in new
    )
    qualities = tuple(_qualities(before, after))
    broken = tuple(_broken(before, after))
    if not changes and not broken:
        raise BenchError(
            "The records have no measure of any backend in common. Measure the same backends and scenarios: compare "
            f"their commands, `{before.command}` and `{after.command}`."
        )
    return Differences(
        threshold=threshold,
        relative_to=relative_to,
        changes=changes,
        qualities=qualities,
        broken=broken,
        missing=tuple(_missing(before, after, [key for key in old if key not in new], old)),
        warnings=tuple(_warnings(before, after, changes)),
    )


def _names(row: str) -> tuple[str, str]:
    """What --measure may call a row."""
    return row, row.split(" ")[0]


def _values(comparison: Comparison, reference: str | None) -> Values:
    if reference is not None and reference not in _measured(comparison):
        measured = ", ".join(_measured(comparison))
        raise BenchError(f"--relative-to: {reference} was not measured in both records; one of them has {measured}.")
    measures = [measure for measure in MEASURES if not (measure.detail or measure.difference)]
    return {
        (series.name, backend): (series, values)
        for series in all_series(comparison, measures)
        for backend in comparison.names
        if backend != reference and (values := _relative(series, backend, reference))
    }


def _relative(series: Series, backend: str, reference: str | None) -> list[float]:
    """The values of a backend's blocks, or how many times better they are than the reference's in the same block."""
    values = {block: value for block, value in series.blocks.get(backend, {}).items() if value > 0}
    if reference is None:
        return list(values.values())
    base = series.blocks.get(reference, {})
    ratios = [values[block] / base[block] for block in values if base.get(block, 0.0) > 0]
    return [1 / ratio for ratio in ratios] if series.measure.lower_is_better else ratios


def _change(
    key: tuple[str, str],
    series: Series,
    before: Sequence[float],
    after: Sequence[float],
    threshold: float,
    seed: int,
    *,
    relative: bool,
) -> Change:
    lower = series.measure.lower_is_better and not relative
    gain, unit = unpaired_gain(before, after, lower_is_better=lower, seed=seed), "x" if relative else series.unit
    middles = statistics.median(before), statistics.median(after)
    return Change(key[1], key[0], series.title, unit, *middles, gain, _verdict(gain, threshold))


def _verdict(gain: Gain, threshold: float) -> Verdict:
    if gain.verdict == "no difference shown":
        return "no difference shown"
    if gain.verdict == "better":
        return "improved"
    return "regressed" if gain.ratio < 1 / (1 + threshold) else "worse, within the threshold"


def _qualities(before: Comparison, after: Comparison) -> Iterator[QualityChange]:
    for old, new in _shared(before, after):
        for name, value in old.quality.items():
            if name in new.quality:
                now = new.quality[name]
                yield QualityChange(old.name, name, value, now, _quality_verdict(name, value, now))


def _quality_verdict(name: str, before: float | None, after: float | None) -> Verdict:
    if is_wrong(name, after) != is_wrong(name, before):
        return "regressed" if is_wrong(name, after) else "improved"
    if before is None or after is None:
        return "no difference shown"
    limit = bound(name)
    if name in METRICS:
        drop, allowed = before - after, METRIC_DROP
    elif limit is None:
        return "no difference shown"  # what has no bound, another figure beside it judges
    elif limit.smaller_is_better:
        drop, allowed = after - before, QUALITY_SHARE * limit.value
    else:
        drop, allowed = before - after, QUALITY_SHARE * (1 - limit.value)
    return "regressed" if drop > allowed else "improved" if -drop > allowed else "no difference shown"


def _shared(before: Comparison, after: Comparison) -> Iterable[tuple[BackendInfo, BackendInfo]]:
    return ((before.backend(name), after.backend(name)) for name in before.names if name in after.names)


def _measured(comparison: Comparison) -> list[str]:
    done = {run.backend for run in comparison.runs}
    return [name for name in comparison.names if name in done]


def _broken(before: Comparison, after: Comparison) -> Iterator[str]:
    """A backend that failed then as well is no news."""
    worked = set(_measured(before)) - {failure.backend for failure in before.failures}
    for failure in after.failures:
        if failure.backend in worked:
            yield f"{failure.backend} fails: {failure.message}"
    for name in _measured(after):
        lost, sustaining = (
            [run for run in after.runs if run.backend == name and sample in run.samples]
            for sample in ("server_unsustained", "server_rate_per_s")
        )
        sustained = any(run.backend == name and "server_rate_per_s" in run.samples for run in before.runs)
        if sustained and len(lost) > len(sustaining):
            yield f"{name} sustains no rate within the server's bound any more, in {len(lost)} blocks"


def _missing(before: Comparison, after: Comparison, lost: Sequence[tuple[str, str]], old: Values) -> Iterator[str]:
    there, failed = _measured(after), {failure.backend for failure in after.failures}
    yield from (f"{name}, all of it" for name in _measured(before) if name not in there and name not in failed)
    yield from (f"{key[1]}: {old[key][0].title}" for key in lost if key[1] in there)
    for first, second in _shared(before, after):
        if first.name in there:
            yield from (f"{first.name}: {name}" for name in first.quality if name not in second.quality)


def _warnings(before: Comparison, after: Comparison, changes: Sequence[Change]) -> Iterator[str]:
    machine = _unlike(before.machine, after.machine, _MACHINE)
    if machine:
        yield f"The machines differ, so this compares machines: {machine}."
    settings = _unlike(before.settings, after.settings, _SETTINGS)
    if settings:
        yield f"The settings differ: {settings}."
    if before.tokens != after.tokens or before.stream_items != after.stream_items or before.unit != after.unit:
        yield "The inputs differ, in number or in tokens, so what was measured is not the same work."
    names = sorted(before.versions.keys() | after.versions.keys())
    pairs = [(name, before.versions.get(name, "none"), after.versions.get(name, "none")) for name in names]
    if any(old != new for _, old, new in pairs):
        yield f"Versions differ: {', '.join(f'{name} {old} -> {new}' for name, old, new in pairs if old != new)}."
    for name, comparison in (("first", before), ("second", after)):
        yield from (f"In the {name} record: {warning}" for warning in findings(comparison).warnings)
        if comparison.interrupted:
            yield f"The {name} run was interrupted."
    if any(change.gain.low is None for change in changes):
        yield "With one block there is no interval, and so no regression can be found: use --blocks 5 or more."


def _unlike(before: Machine | Settings, after: Machine | Settings, names: Sequence[str]) -> str:
    pairs = [(name, getattr(before, name), getattr(after, name)) for name in names]
    return ", ".join(f"{name} {old} -> {new}" for name, old, new in pairs if old != new)
