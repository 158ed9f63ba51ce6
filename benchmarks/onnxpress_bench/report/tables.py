"""The tables of a comparison, for a terminal, a page and RESULTS.md alike. Pure: a record in, tables out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnxpress_bench.comparison import BackendInfo, Comparison
from onnxpress_bench.limits import attainable_gflops
from onnxpress_bench.measures import Row
from onnxpress_bench.noise import Findings
from onnxpress_bench.report.table import NONE, Cell, Table, figure, gain_text, table_of
from onnxpress_bench.report.verdict import wrong_figures
from onnxpress_exporter.judging.metrics import METRICS
from onnxpress_exporter.judging.wrong import is_wrong


def all_versions(comparison: Comparison) -> dict[str, str]:
    """Of our environment, and of the backends that have their own."""
    versions = dict(comparison.versions)
    for backend in comparison.backends:
        for name, version in backend.versions.items():
            known = versions.setdefault(name, version)
            if known != version:
                versions[f"{name} ({backend.name})"] = version
    return versions


def measures(comparison: Comparison, rows: Sequence[Row], title: str = "what") -> Table:
    """Each backend's figure, and its gain over the base."""
    return table_of(title, comparison.names, [(row.title, figures(comparison, row)) for row in rows], "measure")


def figures(comparison: Comparison, row: Row, marked: bool = False) -> list[Cell]:
    """A row's cells; of a backend that failed, they say so where there is no figure. `marked`: figures of backends with
    wrong answers say so, too."""
    failed = {failure.backend for failure in comparison.failures}
    wrong = [name for name in comparison.names if marked and wrong_figures(comparison.backend(name))]
    return [
        Cell(figure(row.values[name], row.unit), row.gains.get(name), name in wrong)
        if name in row.values
        else Cell("failed" if name in failed else NONE)
        for name in comparison.names
    ]


def answers(comparison: Comparison, digits: int = 6, title: str = "") -> Table:
    """Figures of quality; what is so far off that speed means little beside it is called wrong."""
    backends = [comparison.backend(name) for name in comparison.names]
    labelled = any(name in METRICS for backend in comparison.backends for name in backend.quality)
    title = title or f"answers, against {comparison.base}'s" + (" and the right ones" if labelled else "")
    # From the last: the base, which is first, has the metric alone.
    names = dict.fromkeys(name for backend in reversed(backends) for name in backend.quality)
    return table_of(
        title,
        comparison.names,
        [(name, [_answer(comparison, backend, name, digits) for backend in backends]) for name in names],
        "figure",
    )


def _answer(comparison: Comparison, backend: BackendInfo, name: str, digits: int) -> Cell:
    if name not in backend.quality:
        return Cell("reference" if backend.name == comparison.base else NONE)
    value = backend.quality[name]
    return Cell("none" if value is None else f"{value:.{digits}f}", wrong=is_wrong(name, value))


_SIZES: Mapping[str, Callable[[BackendInfo], str]] = {
    "model on disk": lambda backend: figure(backend.model_bytes, "B"),
    "installation": lambda backend: figure(backend.install_bytes, "B"),
    "padding in the stream": lambda backend: NONE if backend.padding_share is None else f"{backend.padding_share:.1%}",
    "batches in the stream": lambda backend: backend.batching or NONE,
}


def sizes(comparison: Comparison) -> Table:
    """Bytes on disk, padding and batches; only what is known of a backend at least."""
    return table_of("size", comparison.names, [(title, sizes_of(comparison, title)) for title in _SIZES], "size")


def sizes_of(comparison: Comparison, title: str) -> list[str]:
    """A row of `sizes`."""
    return [_SIZES[title](comparison.backend(name)) for name in comparison.names]


def achievements(comparison: Comparison, rows: Sequence[Row]) -> Table:
    """What each backend achieved in each query, and how near to the machine's limit; empty without operations."""
    return table_of(
        "achieved",
        comparison.names,
        [
            (
                row.title.removeprefix("latency p50, "),
                [_achievement(comparison, row, name) for name in comparison.names],
            )
            for row in rows
        ],
        "query",
    )


def _achievement(comparison: Comparison, row: Row, name: str) -> str:
    point = achieved(comparison, row, name) if name in row.values else None
    if point is None:
        return NONE
    limits = comparison.limits
    share = "" if limits is None else f" ({point[0] / attainable_gflops(limits, point[2]):.0%} of the limit)"
    return f"{point[0]:.4g} GFLOP/s, {point[1]:.3g} GB/s{share}"


def achieved(comparison: Comparison, row: Row, backend: str) -> tuple[float, float, float] | None:
    """GFLOP/s, GB/s of weights, and operations per byte of a latency row; None where operations were not counted.

    Operations are PyTorch's count for the same query. The bytes are those of the weights in matrix products, read once
    for each query, at the backend's precision: a lower bound of what moves.
    """
    shape = row.name.partition(" ")[2]
    if not row.name.startswith("latency_p50") or shape not in comparison.flops or not comparison.product_bytes:
        return None
    # The backend's model file beside the base's: 0.25 for int8 weights.
    base, compared = comparison.backend(comparison.base).model_bytes, comparison.backend(backend).model_bytes
    moved = comparison.product_bytes * (min(1.0, compared / base) if base and compared else 1.0)
    seconds = row.values[backend] / 1000
    return comparison.flops[shape] / seconds / 1e9, moved / seconds / 1e9, comparison.flops[shape] / moved


def batchings(comparison: Comparison) -> Table:
    """What the pilot tried, where it had a choice; each backend's best is what was measured."""
    tried = [backend for backend in comparison.backends if len(backend.rates) > 1 and backend.control_of is None]
    names = list(dict.fromkeys(batching for backend in tried for batching in backend.rates))
    return table_of(
        "Batchings that a short pilot tried; each backend then ran with its fastest",
        names,
        [
            (backend.name, [figure(backend.rates.get(name), f"{comparison.unit}/s") for name in names])
            for backend in tried
        ],
        "backend",
    )


def backends(comparison: Comparison) -> Table:
    """Who ran, the control included."""
    rows = [
        (backend.name, [backend.about, f"a copy of {backend.control_of}" if backend.control_of else ""])
        for backend in comparison.backends
    ]
    return table_of("Backends", ["what it is", "note"], rows, "backend")


def controls(trust: Findings) -> Table:
    """One backend against its own copy."""
    rows = [(control.title, [gain_text(control.gain)]) for control in trust.controls]
    return table_of("A/A control", ["gain of the copy"], rows, "measure")
