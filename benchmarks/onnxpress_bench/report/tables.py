"""What a comparison's tables hold, in words: terminal.py sets them as text, sections.py as HTML. Pure.

A table is title -> cells, one for each of `comparison.names`, in their order; "-" is nothing to show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnxpress.cli.inspection import size
from onnxpress_bench.comparison import BackendInfo, Comparison
from onnxpress_bench.limits import attainable_gflops
from onnxpress_bench.measures import Row
from onnxpress_bench.statistics import Gain
from onnxpress_exporter.judging.metrics import METRICS
from onnxpress_exporter.judging.wrong import is_wrong

Table = Mapping[str, Sequence[str]]


def all_versions(comparison: Comparison) -> dict[str, str]:
    """Of our environment, and of the backends that have their own."""
    versions = dict(comparison.versions)
    for backend in comparison.backends:
        for name, version in backend.versions.items():
            known = versions.setdefault(name, version)
            if known != version:
                versions[f"{name} ({backend.name})"] = version
    return versions


_FORMATS: Mapping[str, Callable[[float], str]] = {
    "ms": lambda value: f"{value:.2f} ms",
    "s": lambda value: f"{value:.2f} s",
    "B": size,
}


def figure(value: float, unit: str) -> str:
    """A figure with its unit."""
    return _FORMATS[unit](value) if unit in _FORMATS else f"{value:.4g} {unit}"


def gain_text(gain: Gain) -> str:
    """A gain, its interval and, unless it is better, its verdict."""
    if gain.low is None or gain.high is None:
        return f"{times(gain.ratio)} (one block: no interval)"
    text = f"{times(gain.ratio)} [{gain.low:.2f}, {gain.high:.2f}]"
    return text if gain.verdict == "better" else f"{text} {gain.verdict}"


def times(ratio: float) -> str:
    """A ratio with three digits."""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x"


def answers(comparison: Comparison) -> Table:
    """Figures of quality; what is so far off that speed means little beside it is called WRONG."""
    shown = [comparison.backend(name) for name in comparison.names]
    # From the last: the base, which is first, has the metric alone.
    figures = dict.fromkeys(key for backend in reversed(shown) for key in backend.quality)
    return {key: [_answer(comparison, backend, key) for backend in shown] for key in figures}


def _answer(comparison: Comparison, backend: BackendInfo, name: str) -> str:
    if name not in backend.quality:
        return "reference" if backend.name == comparison.base else "-"
    value = backend.quality[name]
    if value is None:
        return "none WRONG"
    return f"{value:.6f}" + (" WRONG" if is_wrong(name, value) else "")


def answers_title(comparison: Comparison) -> str:
    """What answers were held against."""
    labelled = any(name in METRICS for backend in comparison.backends for name in backend.quality)
    return f"answers, against {comparison.base}'s" + (" and the right ones" if labelled else "")


_SIZES: Mapping[str, Callable[[BackendInfo], str]] = {
    "model on disk": lambda backend: "-" if backend.model_bytes is None else size(backend.model_bytes),
    "installation": lambda backend: "-" if backend.install_bytes is None else size(backend.install_bytes),
    "padding in the stream": lambda backend: "-" if backend.padding_share is None else f"{backend.padding_share:.1%}",
    "batches in the stream": lambda backend: backend.batching or "-",
}


def sizes(comparison: Comparison) -> Table:
    """Bytes on disk, padding and batches; only what is known of a backend at least."""
    shown = [comparison.backend(name) for name in comparison.names]
    return _known({title: [cell(backend) for backend in shown] for title, cell in _SIZES.items()})


def achievements(comparison: Comparison, rows: Sequence[Row]) -> Table:
    """What each backend achieved in each query, and how near to the machine's limit; empty without operations."""
    return _known(
        {
            row.title.removeprefix("latency p50, "): [_achievement(comparison, row, name) for name in comparison.names]
            for row in rows
        }
    )


def _achievement(comparison: Comparison, row: Row, name: str) -> str:
    point = achieved(comparison, row, name) if name in row.values else None
    if point is None:
        return "-"
    limits = comparison.limits
    share = "" if limits is None else f" ({point[0] / attainable_gflops(limits, point[2]):.0%} of the limit)"
    return f"{point[0]:.4g} GFLOP/s, {point[1]:.3g} GB/s{share}"


def _known(table: Table) -> Table:
    return {title: cells for title, cells in table.items() if set(cells) != {"-"}}


def achieved(comparison: Comparison, row: Row, backend: str) -> tuple[float, float, float] | None:
    """GFLOP/s, GB/s of weights, and operations per byte of a latency row; None where operations were not counted.

    Operations are PyTorch's count for the same query. The bytes are those of the weights in matrix products, read once
    for each query, at the backend's precision: a lower bound of what moves.
    """
    shape = row.name.partition(" ")[2]
    if not row.name.startswith("latency_p50") or shape not in comparison.flops or not comparison.product_bytes:
        return None
    seconds = row.values[backend] / 1000
    moved = comparison.product_bytes * _narrowing(comparison, backend)
    return comparison.flops[shape] / seconds / 1e9, moved / seconds / 1e9, comparison.flops[shape] / moved


def _narrowing(comparison: Comparison, backend: str) -> float:
    """The backend's model file beside the base's: 0.25 for int8 weights."""
    base, compared = comparison.backend(comparison.base).model_bytes, comparison.backend(backend).model_bytes
    return min(1.0, compared / base) if base and compared else 1.0
