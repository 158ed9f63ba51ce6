"""A comparison as text for people. Pure: a record in, text out."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxpress.cli.inspection import size, table
from onnxpress_bench.comparison import BackendInfo, Comparison
from onnxpress_bench.limits import attainable_gflops
from onnxpress_bench.measures import Row, summarize
from onnxpress_bench.noise import Findings, findings
from onnxpress_bench.statistics import Gain
from onnxpress_exporter.judging.metrics import METRICS
from onnxpress_exporter.judging.wrong import is_wrong


def render(comparison: Comparison) -> str:
    """The tables of speed, quality and resources, and what a reader must know to trust them."""
    rows = summarize(comparison)
    trust = findings(comparison, rows)
    parts = [_heading(comparison)]
    if rows:
        others = [name for name in comparison.names if name != comparison.base]
        header = ["what", comparison.base, *(cell for name in others for cell in (name, "gain [95% interval]"))]
        parts.append(table(header, [_row(row, comparison.base, others) for row in rows]))
    parts += [part for part in (_quality(comparison), _resources(comparison), _limits(comparison, rows)) if part]
    return "\n\n".join([*parts, "\n".join([*_warnings(comparison, trust), *_notes(comparison, trust)])])


def _heading(comparison: Comparison) -> str:
    machine, settings = comparison.machine, comparison.settings
    against = f", PyTorch running {comparison.checkpoint}" if comparison.checkpoint else ""
    return "\n".join(
        [
            f"{comparison.task}: {comparison.model}{against}",
            f"{machine.processor}, {settings.threads} of {machine.usable_cores} usable cores, "
            f"{size(machine.memory_bytes)} memory, {machine.system}"
            + (", virtual" if machine.virtual else "")
            + (f", {machine.gpu}" if machine.gpu else ""),
            ", ".join(f"{name} {version}" for name, version in all_versions(comparison).items()),
        ]
    )


def all_versions(comparison: Comparison) -> dict[str, str]:
    """Of our environment, and of the backends that have their own."""
    versions = dict(comparison.versions)
    for backend in comparison.backends:
        for name, version in backend.versions.items():
            known = versions.setdefault(name, version)
            if known != version:
                versions[f"{name} ({backend.name})"] = version
    return versions


def _row(row: Row, base: str, others: list[str]) -> list[str]:
    cells = [row.title]
    for backend in (base, *others):
        cells.append(figure(row.values[backend], row.unit) if backend in row.values else "-")
        if backend != base:
            cells.append(gain_text(row.gains[backend]) if backend in row.gains else "")
    return cells


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


def _quality(comparison: Comparison) -> str:
    shown = [comparison.backend(name) for name in comparison.names]
    shown = [backend for backend in shown if backend.quality or backend.name == comparison.base]
    # Not `names[0]`'s own: the base has the metric alone.
    names = dict.fromkeys(name for backend in reversed(shown) for name in backend.quality)
    rows = [[name, *(_quality_cell(comparison, backend, name) for backend in shown)] for name in names]
    return table([answers_title(comparison), *(backend.name for backend in shown)], rows) if rows else ""


def answers_title(comparison: Comparison) -> str:
    """What answers were held against."""
    labelled = any(name in METRICS for backend in comparison.backends for name in backend.quality)
    return f"answers, against {comparison.base}'s" + (" and the right ones" if labelled else "")


def _quality_cell(comparison: Comparison, backend: BackendInfo, name: str) -> str:
    if name not in backend.quality:
        return "reference" if backend.name == comparison.base else "-"
    value = backend.quality[name]
    if value is None:
        return "none WRONG"
    return f"{value:.6f}" + (" WRONG" if is_wrong(name, value) else "")


_RESOURCES: Mapping[str, Callable[[BackendInfo], str]] = {
    "model on disk": lambda backend: "-" if backend.model_bytes is None else size(backend.model_bytes),
    "installation": lambda backend: "-" if backend.install_bytes is None else size(backend.install_bytes),
    "padding in the stream": lambda backend: "-" if backend.padding_share is None else f"{backend.padding_share:.1%}",
    "batches in the stream": lambda backend: backend.batching or "-",
}


def _resources(comparison: Comparison) -> str:
    shown = [comparison.backend(name) for name in comparison.names]
    rows = [[title, *(cell(backend) for backend in shown)] for title, cell in _RESOURCES.items()]
    rows = [row for row in rows if set(row[1:]) != {"-"}]
    return table(["size", *comparison.names], rows) if rows else ""


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


def _limits(comparison: Comparison, rows: list[Row]) -> str:
    limits = comparison.limits
    if not comparison.flops:
        return ""
    names = comparison.names
    lines = []
    for row in rows:
        cells = []
        for name in names:
            point = achieved(comparison, row, name) if name in row.values else None
            if point is None:
                cells.append("-")
                continue
            share = "" if limits is None else f" ({point[0] / attainable_gflops(limits, point[2]):.0%} of the limit)"
            cells.append(f"{point[0]:.4g} GFLOP/s, {point[1]:.3g} GB/s{share}")
        if set(cells) != {"-"}:
            lines.append([row.title.removeprefix("latency p50, "), *cells])
    if not lines:
        return ""
    text = table(["achieved", *names], lines)
    if limits is None:
        return text
    int8 = (
        ""
        if limits.int8_gemm_gops is None
        else f", int8 product {limits.int8_gemm_gops:.4g} GOP/s ({limits.int8_gemm_by})"
    )
    return (
        f"{text}\n\nThis machine, just now, {limits.threads} threads: best fp32 "
        f"product {limits.fp32_gemm_gflops:.4g} GFLOP/s ({limits.fp32_gemm_by}){int8}, memory "
        f"{limits.read_gb_per_s:.3g} GB/s."
    )


def _warnings(comparison: Comparison, trust: Findings) -> list[str]:
    lines = [f"WARNING: {warning}" for warning in trust.warnings]
    if comparison.same_weights is False:
        lines.append(
            f"WARNING: the weights of {comparison.checkpoint} are not those that the artifact was made from. Export it "
            "again, or name the right checkpoint."
        )
    for backend in comparison.backends:
        for name, value in backend.quality.items():
            if is_wrong(name, value):
                shown = "no number" if value is None else f"{value:.4f}"
                lines.append(f"WARNING: {backend.name} does not give {comparison.base}'s answers ({name} {shown}).")
    lines += [
        f"WARNING: {run.backend} sustains no rate within the bound (block {run.block + 1})."
        for run in comparison.runs
        if "server_unsustained" in run.samples
    ]
    for failure in comparison.failures:
        when = "pilot" if failure.block is None else f"block {failure.block + 1}"
        lines.append(f"FAILED: {failure.backend} in the {when}: {failure.message}")
    if comparison.interrupted:
        lines.append("INTERRUPTED: the figures are of what was measured until then.")
    return lines


def _notes(comparison: Comparison, trust: Findings) -> list[str]:
    settings = comparison.settings
    done = max((run.block + 1 for run in comparison.runs), default=0)
    blocks = "1 block" if done == 1 else f"{done} blocks"
    notes = [
        f"gain: how many times better than {comparison.base}, more than 1 is better; a difference is claimed only "
        "where the interval excludes 1.",
        f"Figures are medians of {blocks} (seed {settings.seed}), each a fresh process per backend, in random "
        f"order; tokenization {settings.tokenization}.",
    ]
    if "mixed" in settings.scenarios:
        notes.append(
            f"The stream: {comparison.stream_items} {comparison.unit} with {comparison.tokens['stream']:.0f} tokens on "
            f"average ({settings.lengths})."
        )
    if "server" in settings.scenarios:
        bound = f"the highest rate whose p99 is within {settings.server_p99_ms:g} ms" if settings.server_p99_ms else ""
        rate = f"{settings.server_rate_per_s:g} {comparison.unit}/s" if settings.server_rate_per_s else bound
        notes.append(
            f"Server: Poisson arrivals, {settings.server_queries} queries, {rate}; latency from the intended sending."
        )
    if trust.floor is not None and comparison.control is not None:
        notes.append(
            f"A/A control: {comparison.control.control_of} against its own copy differed by {trust.floor:.1%} (median "
            f"of {len(trust.controls)} measures); {len(trust.false_alarms)} intervals of {len(trust.controls)} "
            "exclude 1."
        )
    return notes
