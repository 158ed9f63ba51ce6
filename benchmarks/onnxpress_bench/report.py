"""A comparison as text for people. Pure: a record in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxpress.inspection import size, table
from onnxpress_bench.comparison import BASE, Comparison
from onnxpress_bench.measures import Row, summarize
from onnxpress_bench.quality import is_wrong
from onnxpress_bench.statistics import Gain


def render(comparison: Comparison) -> str:
    """The table of speed, the table of quality, and what a reader must know to trust them."""
    others = [backend for backend in comparison.backends if backend != BASE]
    header = ["what", BASE, *(name for backend in others for name in (backend, "gain [95% interval]"))]
    rows = [_row(row, others) for row in summarize(comparison)]
    parts = [_heading(comparison)]
    if rows:
        parts.append(table(header, rows))
    if comparison.quality:
        parts.append(_quality(comparison))
    return "\n\n".join([*parts, "\n".join([*_warnings(comparison), *_notes(comparison)])])


def _heading(comparison: Comparison) -> str:
    machine, settings = comparison.machine, comparison.settings
    return "\n".join(
        [
            f"{comparison.task}: {comparison.artifact} against PyTorch running {comparison.checkpoint}",
            f"{machine.processor}, {settings.threads} of {machine.usable_cores} usable cores, "
            f"{size(machine.memory_bytes)} memory, {machine.system}",
            ", ".join(f"{name} {version}" for name, version in comparison.versions.items()),
        ]
    )


def _row(row: Row, others: list[str]) -> list[str]:
    cells = [row.title]
    for backend in (BASE, *others):
        cells.append(_figure(row.values[backend], row.unit) if backend in row.values else "-")
        if backend != BASE:
            cells.append(_gain(row.gains[backend]) if backend in row.gains else "")
    return cells


_FORMATS: Mapping[str, Callable[[float], str]] = {
    "ms": lambda value: f"{value:.2f} ms",
    "s": lambda value: f"{value:.2f} s",
    "B": size,
}


def _figure(value: float, unit: str) -> str:
    return _FORMATS[unit](value) if unit in _FORMATS else f"{value:.4g} {unit}"


def _gain(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        return f"{_times(gain.ratio)} (one block: no interval)"
    text = f"{_times(gain.ratio)} [{gain.low:.2f}, {gain.high:.2f}]"
    return text if gain.verdict == "better" else f"{text} {gain.verdict}"


def _times(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def _quality(comparison: Comparison) -> str:
    names = list(next(iter(comparison.quality.values())))
    backends = list(comparison.quality)
    rows = []
    for name in names:
        values = [comparison.quality[backend][name] for backend in backends]
        rows.append([name, "reference", *(f"{v:.6f}" + (" WRONG" if is_wrong(name, v) else "") for v in values)])
    return table(["answers, against PyTorch's", BASE, *backends], rows)


def _warnings(comparison: Comparison) -> list[str]:
    machine, lines = comparison.machine, []
    if machine.busy:
        lines.append(
            f"WARNING: the machine was busy ({machine.busy_share:.0%} of the usable cores, load average "
            f"{machine.load_average}) when the run began. Trust the gains more than the times, and neither very much."
        )
    if comparison.same_weights is False:
        lines.append(
            f"WARNING: the weights of {comparison.checkpoint} are not those that the artifact was made from. Export it "
            "again, or name the right checkpoint."
        )
    for backend, figures in comparison.quality.items():
        for name, value in figures.items():
            if is_wrong(name, value):
                lines.append(f"WARNING: {backend} does not give PyTorch's answers ({name} {value:.4f}).")
    for failure in comparison.failures:
        when = "pilot" if failure.block is None else f"block {failure.block + 1}"
        lines.append(f"FAILED: {failure.backend} in the {when}: {failure.message}")
    if comparison.interrupted:
        lines.append("INTERRUPTED: the figures are of what was measured until then.")
    return lines


def _notes(comparison: Comparison) -> list[str]:
    settings = comparison.settings
    done = max((run.block + 1 for run in comparison.runs), default=0)
    blocks = "1 block" if done == 1 else f"{done} blocks"
    stream = ", ".join(f"{backend} {batching}" for backend, batching in comparison.batchings.items())
    return [
        "gain: how many times better than PyTorch, more than 1 is better; a difference is claimed only where the "
        "interval excludes 1.",
        f"Figures are medians of {blocks} (seed {settings.seed}), each a fresh process per backend, in random "
        "order; tokenization included.",
        f"The stream: {comparison.stream_items} {comparison.unit} with {comparison.tokens['stream']:.0f} tokens on "
        f"average; {stream}.",
    ]
