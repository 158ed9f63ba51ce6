"""Records of the suites to RESULTS.md, and to the README's few figures and chart.

Every figure in them is taken from a record in benchmarks/results/; none is written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxpress.format.files import write_file
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.errors import BenchError
from onnxpress_bench.measures import summarize
from onnxpress_bench.noise import findings
from onnxpress_bench.record import read_record
from onnxpress_bench.report.layout import fill
from onnxpress_bench.report.table import NONE, Cell, Table, figure, table_of
from onnxpress_bench.report.tables import answers, figures, sizes_of
from onnxpress_bench.suites import SUITES, Case, cases, summary
from onnxpress_bench.suites.processors import KINDS, ProcessorKind
from onnxpress_bench.suites.targets import Target, outcome

#: Around the README's figures.
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

Records = Mapping[str, Comparison]


def load(folder: Path) -> dict[str, dict[str, dict[str, Comparison]]]:
    """Kind of processor -> suite -> case -> record, of what is there.

    Raises:
        BenchError: a record cannot be read.
    """
    kinds = [kind.name for kind in KINDS if (folder / kind.name).is_dir()]
    return {kind: {suite: _of_suite(folder / kind / suite, suite) for suite in SUITES} for kind in kinds}


def _of_suite(folder: Path, suite: str) -> dict[str, Comparison]:
    paths = {case.name: folder / f"{case.name}.jsonl" for case in cases(suite)}
    return {name: read_record(path) for name, path in paths.items() if path.is_file()}


def update(text: str, section: str) -> str:
    """`text` with what stands between the markers replaced.

    Raises:
        BenchError: the markers are missing.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise BenchError(f"The document needs the lines {BEGIN} and {END} once each, around its figures.")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{section}{END}{rest.partition(END)[2]}"


def documents(root: Path, results: Path) -> dict[Path, str]:
    """Every file that shows figures of the records -> what it is to hold."""
    records = load(results)
    readme = root / "README.md"
    held = {
        root / "benchmarks" / "RESULTS.md": results_page(records),
        readme: update(readme.read_text(encoding="utf-8"), summary.render_lines(records)),
    }
    chart = summary.render_chart(records)
    return held if chart is None else {**held, root / "benchmarks" / "chart.svg": chart}


def write_documents(root: Path, results: Path) -> None:
    """Regenerate the figures of all documents from the records."""
    for path, text in documents(root, results).items():
        write_file(path, text.encode())


def results_page(records: Mapping[str, Mapping[str, Records]]) -> str:
    """RESULTS.md, by the layout results.md: a section for each suite, and in it one for each kind of processor."""
    suites = [
        {
            "heading": heading,
            "kinds": [_section(suite, kind, held) for kind in KINDS if (held := records.get(kind.name, {}).get(suite))],
        }
        for suite, heading in SUITES.items()
    ]
    return fill("results.md", suites=suites, findings=findings) + "\n"


def _section(suite: str, kind: ProcessorKind, records: Records) -> dict[str, Any]:
    """What the layout shows of a suite on a kind of processor: machine, latency, resources, targets."""
    measured = [(case, records[case.name]) for case in cases(suite) if case.name in records]
    versions = {
        name: version
        for record in records.values()
        for backend in record.backends
        for name, version in backend.versions.items()
    }
    return {
        "folder": f"{kind.name}/{suite}",
        "title": kind.title,
        "records": [(case.name, record) for case, record in measured],
        "versions": [f"{name} {version}" for name, version in sorted(versions.items())],
        "tables": [
            make(case, record) for make in (_figures, _quality, _distances, _bandwidth) for case, record in measured
        ],
        "targets": _targets(kind, measured),
    }


#: What is shown of a case, and of one that measures the start alone.
_SHOWN = (
    *("latency_p50", "mixed", "server_rate", "server_p99", "offline"),
    *("beyond_pipeline", "short_", "capacity", "overload", "streams ", "beside_prompt"),
    *("first_token", "prefill", "between_tokens ", "decode", "translate", "real_time"),
)
_COLD = ("cold_start", "cold_import", "cold_load", "cold_first_call", "memory_first")


def _figures(case: Case, record: Comparison) -> Table:
    """Latency by shape, or throughput, or the start: what each backend took, and how many times better ours is."""
    alone = not record.settings.scenarios
    rows: list[tuple[str, Sequence[Cell | str]]] = [
        (row.title, figures(record, row, marked=True))
        for row in summarize(record)
        if row.name.startswith(_COLD if alone else _SHOWN)
    ]
    rows += [("installation", sizes_of(record, "installation"))] if alone else []
    return table_of(f"{case.model}, {case.name}" if case.name != case.model else case.model, record.names, rows)


def _quality(case: Case, record: Comparison) -> Table | None:
    """What is beside speed where variants are compared: answers against the base's, and sizes."""
    if case.precisions == ("fp32",):
        return None
    table = answers(record, 5, f"{case.name}, answers")
    files = ("model files", [Cell(cell) for cell in sizes_of(record, "model on disk")])
    return Table(table.title, table.columns, [*table.rows, files])


def _distances(case: Case, record: Comparison) -> Table | None:
    """How far each backend is from what the machine can do: the time that a query's operations take at the rate of the
    best int8 product measured here, over the backend's time. Attention's own products are fp32 in all of them."""
    limits = record.limits
    if case.precisions == ("fp32",) or limits is None or limits.int8_gemm_gops is None or not record.flops:
        return None
    rows = []
    for row in summarize(record):
        shape = row.name.partition(" ")[2]
        if row.name.startswith("latency_p50") and shape in record.flops:
            best = record.flops[shape] / limits.int8_gemm_gops / 1e6  # ms
            shares = [f"{best / row.values[name]:.0%}" if name in row.values else NONE for name in record.names]
            rows.append((shape, [figure(best, "ms"), *shares]))
    peaks = f"int8 {limits.int8_gemm_gops:.0f} GOP/s, fp32 {limits.fp32_gemm_gflops:.0f} GFLOP/s"
    return table_of(f"{case.name}, best products here: {peaks}", ["at that int8 rate", *record.names], rows)


def _bandwidth(case: Case, record: Comparison) -> Table | None:
    """How much of what memory can deliver each backend draws while it decodes: a token needs all weights once, and the
    keys and values of all tokens before it, which are left out."""
    limits = record.limits
    if limits is None or case.task != "text-generation":
        return None
    rows = []
    for row in (row for row in summarize(record) if row.name.startswith("decode")):
        shares = []
        for name in record.names:
            size_bytes, rate = record.backend(name).model_bytes, row.values.get(name)
            drawn = size_bytes * rate / 1e9 if size_bytes and rate else None
            shares.append(NONE if drawn is None else f"{drawn:.1f} GB/s, {drawn / limits.read_gb_per_s:.0%}")
        rows.append((row.title, shares))
    title = f"{case.name}, bytes of weights read; memory delivers {limits.read_gb_per_s:.1f} GB/s"
    return table_of(title, record.names, rows)


def _targets(kind: ProcessorKind, measured: Sequence[tuple[Case, Comparison]]) -> Table:
    rows = []
    for case, record in measured:
        for target in (target for target in case.targets if target.holds_on(kind.name)):
            reached = outcome(record, target)
            ends = [_number(target, end) for end in (reached.low, reached.high) if end is not None]
            shown = NONE if reached.value is None else _number(target, reached.value)
            verdict = reached.verdict(target)
            wanted = "at least" if target.at_least is not None else "at most"
            limit = _number(target, target.at_least if target.at_least is not None else target.at_most or 0.0)
            cells = [
                f"{wanted} {limit}",
                f"{shown} [{', '.join(ends)}]" if ends else shown,
                "**missed**" if verdict == "missed" else verdict,
            ]
            rows.append((target.title, cells))
    return table_of("target", ["wanted", "measured", ""], rows)


def _number(target: Target, value: float) -> str:
    return _FORMATS.get(target.kind, "{:.2f}x").format(value)


#: kind of target -> how its numbers are written; the rest are ratios.
_FORMATS: Mapping[str, str] = {
    "overhead": "{:.1%}",
    "efficiency": "{:.1%}",
    "int8 efficiency": "{:.1%}",
    "quality": "{:.4f}",
    "difference": "{:+.4f}",
    "value": "{:.4g}",
    "more installed": "{:.2f} MB",
}
