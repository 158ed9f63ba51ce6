"""A comparison as text for people. Pure: a record in, text out."""

from __future__ import annotations

from collections.abc import Sequence

from onnxpress.cli.inspection import size, table
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import Row, summarize
from onnxpress_bench.noise import Findings, findings
from onnxpress_bench.report import tables
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
    parts += [part for part in (_answers(comparison), _sizes(comparison), _limits(comparison, rows)) if part]
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
            ", ".join(f"{name} {version}" for name, version in tables.all_versions(comparison).items()),
        ]
    )


def _row(row: Row, base: str, others: list[str]) -> list[str]:
    cells = [row.title]
    for backend in (base, *others):
        cells.append(tables.figure(row.values[backend], row.unit) if backend in row.values else "-")
        if backend != base:
            cells.append(tables.gain_text(row.gains[backend]) if backend in row.gains else "")
    return cells


def _answers(comparison: Comparison) -> str:
    """Without the backends that have no figures."""
    held = tables.answers(comparison)
    places = [place for place in range(len(comparison.names)) if any(cells[place] != "-" for cells in held.values())]
    names = [comparison.names[place] for place in places]
    shown = {title: [cells[place] for place in places] for title, cells in held.items()}
    return _set(tables.answers_title(comparison), names, shown)


def _sizes(comparison: Comparison) -> str:
    return _set("size", comparison.names, tables.sizes(comparison))


def _set(corner: str, names: Sequence[str], shown: tables.Table) -> str:
    return table([corner, *names], [[title, *cells] for title, cells in shown.items()]) if shown else ""


def _limits(comparison: Comparison, rows: list[Row]) -> str:
    limits, text = comparison.limits, _set("achieved", comparison.names, tables.achievements(comparison, rows))
    if limits is None or not text:
        return text
    int8 = ""
    if limits.int8_gemm_gops is not None:
        int8 = f", int8 product {limits.int8_gemm_gops:.4g} GOP/s ({limits.int8_gemm_by})"
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
