"""A comparison as text for people. Pure: a record in, text out."""

from __future__ import annotations

from onnxpress.cli.inspection import size
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import summarize
from onnxpress_bench.noise import findings
from onnxpress_bench.report import tables
from onnxpress_bench.report.notes import cautions, notes
from onnxpress_bench.report.table import to_text


def render(comparison: Comparison) -> str:
    """The tables of speed, quality and resources, and what a reader must know to trust them."""
    rows = summarize(comparison)
    trust = findings(comparison, rows)
    shown = (
        tables.measures(comparison, rows),
        tables.answers(comparison),
        tables.sizes(comparison),
        tables.achievements(comparison, rows),
    )
    said = [f"{'WARNING' if kind == 'WRONG' else kind}: {sentence}" for kind, sentence in cautions(comparison, trust)]
    said += notes(comparison, trust)
    parts = [_heading(comparison), *(to_text(table) for table in shown if table), _limits(comparison), "\n".join(said)]
    return "\n\n".join(part for part in parts if part)


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


def _limits(comparison: Comparison) -> str:
    limits = comparison.limits
    if limits is None:
        return ""
    int8 = ""
    if limits.int8_gemm_gops is not None:
        int8 = f", int8 product {limits.int8_gemm_gops:.4g} GOP/s ({limits.int8_gemm_by})"
    return (
        f"This machine, just now, {limits.threads} threads: best fp32 product {limits.fp32_gemm_gflops:.4g} GFLOP/s "
        f"({limits.fp32_gemm_by}){int8}, memory {limits.read_gb_per_s:.3g} GB/s."
    )
