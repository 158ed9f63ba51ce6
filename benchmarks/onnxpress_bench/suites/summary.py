"""The README's figures: a few rows and one chart, from the same records as RESULTS.md. Pure: records in, text out."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import Row, gain_between, summarize
from onnxpress_bench.report.table import NONE, Cell, figure, interval, table_of, times, to_markdown
from onnxpress_bench.report.verdict import wrong_figures
from onnxpress_bench.suites.processors import KINDS, ProcessorKind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of one kind of processor: suite -> case -> record.
AllRecords = Mapping[str, Mapping[str, Comparison]]


@dataclass(frozen=True, slots=True)
class Line:
    """A row of the README: a row of a record, `base` beside `backend`."""

    title: str
    suite: str
    case: str
    row: str
    base: str
    backend: str = "onnxpress fp32"


LINES = (
    Line("BERT-base, one text of 16 tokens", "fp32", "bert-base", "latency_p50 1x16", "pytorch"),
    Line("BERT-base, the same in int8", "int8", "bert-base", "latency_p50 1x16", "pytorch", "onnxpress int8"),
    Line("BERT-base, a stream of texts of mixed lengths", "fp32", "mixed", "mixed", "pytorch"),
    Line("MiniLM, from process start to the first answer", "fp32", "cold-start", "cold_start", "transformers"),
    Line("MiniLM, memory at the first answer", "fp32", "cold-start", "memory_first", "transformers"),
    Line(
        "ModernBERT, six layers of 384: one text of 4,000 tokens", "fp32", "long-texts", "latency_p50 1x4000", "pytorch"
    ),
    Line("ViT-base, one photograph", "vit", "vit-base", "latency_p50 1x500", "pytorch"),
    Line("CLIP B/32, one among a hundred labels", "clip", "clip-hundred-labels", "latency_p50 1x500", "transformers"),
    Line(
        "Whisper base in int8, 11 s of speech",
        "speech",
        "whisper-base-greedy",
        "real_time 11",
        "pytorch",
        "onnxpress-int8",
    ),
)

#: The panels of the chart: title with its unit, the line that it shows, and what its values are divided by.
PANELS: tuple[tuple[str, Line, float], ...] = (
    ("cold start, s", LINES[3], 1.0),
    ("memory, MB", LINES[4], 1e6),
    ("latency, ms", Line("", "fp32", "minilm", "latency_p50 1x16", "pytorch"), 1.0),
)
_COLOURS = {"transformers": "#8a929c", "onnxpress": "#0072B2"}


def render_lines(records: Mapping[str, AllRecords]) -> str:
    """The rows as Markdown, those whose records are there, with columns for each kind of processor.

    Args:
        records: by the kind's name.
    """
    measured = {
        kind: cells for kind in KINDS if any(cells := [_cells(records.get(kind.name, {}), line) for line in LINES])
    }
    columns, rows = [], [(line.title, list[Cell | str]()) for line in LINES]
    for kind, cells in measured.items():
        columns += [f"{kind.title}: PyTorch" if len(measured) > 1 else "PyTorch", "onnxpress", "gain, 95% interval"]
        for (_, row), shown in zip(rows, cells, strict=True):
            row += shown or [NONE] * 3
    rows = [(title, row) for title, row in rows if set(row) - {NONE}]
    if not rows:
        return "Not measured yet: `make bench`.\n"
    machines = [text for kind in measured if (text := _machine(kind, records[kind.name]))]
    machine = f"On {' and on '.join(machines)}. " if machines else ""
    text = to_markdown(table_of("", columns, rows))
    return f"{text}\n\n{machine}All figures, with what was missed: [benchmarks/RESULTS.md](benchmarks/RESULTS.md).\n"


def _machine(kind: ProcessorKind, records: AllRecords) -> str:
    shown = (records.get(line.suite, {}).get(line.case) for line in LINES)
    first = next((record for record in shown if record is not None), None)
    if first is None:
        return ""
    return f"{first.machine.processor} ({kind.title}), {first.settings.threads} threads, {first.created[:10]}"


def _cells(records: AllRecords, line: Line) -> list[Cell]:
    record = records.get(line.suite, {}).get(line.case)
    row = record and _row(record, line.row)
    if not record or not row or not {line.base, line.backend} <= row.values.keys():
        return []
    gain = gain_between(record, line.row, line.base, line.backend)
    shown = [Cell(figure(row.values[name], row.unit)) for name in (line.base, line.backend)]
    ratio = "" if gain is None else f"{times(gain.ratio)}{interval(gain)}"
    return [*shown, Cell(ratio, wrong=bool(wrong_figures(record.backend(line.backend))))]


def _row(record: Comparison, name: str) -> Row | None:
    return next((row for row in summarize(record) if row.name == name), None)


def render_chart(records: Mapping[str, AllRecords]) -> str | None:
    """Cold start, memory and latency beside transformers as an SVG file, on the first kind of processor that has the
    records of all; None where none has.

    The same records and the same matplotlib give the same text.
    """
    import matplotlib
    from matplotlib.figure import Figure

    by_kind = ([_values(records.get(kind.name, {}), line, unit) for _, line, unit in PANELS] for kind in KINDS)
    values = next((values for values in by_kind if all(values)), None)
    if values is None:
        return None
    drawing = Figure(figsize=(7.6, 1.7), layout="constrained", facecolor="white")
    for axes, (title, _, _), pair in zip(drawing.subplots(1, len(PANELS)), PANELS, values, strict=True):
        _bars(axes, title, pair)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "chart", "font.family": ["sans-serif"]}):
        drawing.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"[ \t]+\n", "\n", file.getvalue())


def _values(records: AllRecords, line: Line, unit: float) -> Sequence[float]:
    record = records.get(line.suite, {}).get(line.case)
    row = record and _row(record, line.row)
    return [row.values[name] / unit for name in (line.base, line.backend)] if row else []


def _bars(axes: Axes, title: str, values: Sequence[float]) -> None:
    bars = axes.barh(list(_COLOURS), values, color=list(_COLOURS.values()), height=0.6)
    axes.bar_label(bars, [f"{value:.3g}" for value in values], padding=3, fontsize=9)
    axes.set_title(title, fontsize=10, loc="center")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(values))
    axes.set_xticks([])
    axes.tick_params(length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
