"""Records of the suites to RESULTS.md, and to the README's few figures and chart.

Every figure in them is taken from a record in benchmarks/results/; none is written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxpress.format.files import write_file
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.errors import BenchError
from onnxpress_bench.measures import summarize
from onnxpress_bench.noise import findings
from onnxpress_bench.record import read_record
from onnxpress_bench.report.table import NONE, Cell, Table, figure, table_of, to_markdown
from onnxpress_bench.report.tables import answers, figures, sizes_of
from onnxpress_bench.suites import SUITES, Case, cases, summary
from onnxpress_bench.suites.targets import Outcome, Target, Verdict, outcome

#: Around the README's figures.
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

Records = Mapping[str, Comparison]


def load(folder: Path) -> dict[str, dict[str, Comparison]]:
    """suite -> case -> record, of what is there.

    Raises:
        BenchError: a record cannot be read.
    """
    records: dict[str, dict[str, Comparison]] = {}
    for suite in SUITES:
        paths = {case.name: folder / suite / f"{case.name}.jsonl" for case in cases(suite)}
        records[suite] = {name: read_record(path) for name, path in paths.items() if path.is_file()}
    return records


def render(suite: str, records: Records) -> str:
    """The section of a suite as Markdown: machine, latency, resources, targets."""
    measured = [(case, records[case.name]) for case in cases(suite) if case.name in records]
    if not measured:
        return "Not measured yet: `make bench`.\n"
    first = measured[0][1]
    machine = first.machine
    parts = [
        f"Measured {first.created[:10]} on {machine.processor}, {first.settings.threads} threads, {machine.system}, by "
        f"`make bench`; {_versions(records)}. Medians, and ratios with 95% intervals. Raw samples: "
        f"benchmarks/results/{suite}/."
    ]
    for make in (_latencies, _quality, _distances, _bandwidth, _cold_start):
        parts += [to_markdown(table) for case, record in measured if (table := make(case, record))]
    targets = _targets(measured)
    parts += [to_markdown(targets), _RULE_OF_TARGETS] if targets else []
    parts.append(_trust([(case.name, record) for case, record in measured]))
    return "\n\n".join(parts) + "\n"


def update(text: str, section: str) -> str:
    """`text` with what stands between the markers replaced.

    Raises:
        BenchError: the markers are missing.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise BenchError(f"The document needs the lines {BEGIN} and {END} once each, around its figures.")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{section}{END}{rest.partition(END)[2]}"


def results_page(records: Mapping[str, Records]) -> str:
    """RESULTS.md: a section for each suite."""
    parts = [_INTRODUCTION]
    parts += [f"## {SUITES[suite]}\n{render(suite, records.get(suite, {}))}" for suite in SUITES]
    return "\n".join(parts)


_INTRODUCTION = """# Results

Written by `make bench` from the records in `benchmarks/results/`, raw samples included; nothing is written by hand. How
it is measured, and how to repeat it: [README.md](README.md).
"""


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


def _versions(records: Records) -> str:
    versions: dict[str, str] = {}
    for record in records.values():
        for backend in record.backends:
            versions |= backend.versions
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


_SHOWN = (
    *("latency_p50", "mixed", "server_rate", "server_p99", "offline"),
    *("first_token", "prefill", "between_tokens ", "decode", "translate", "real_time"),
)


def _title(case: Case) -> str:
    return f"{case.model}, {case.name}" if case.name != case.model else case.model


def _latencies(case: Case, record: Comparison) -> Table:
    """Latency by shape, or throughput: what each backend took, and how many times better ours is than each."""
    rows = [row for row in summarize(record) if row.name.startswith(_SHOWN)]
    return table_of(_title(case), record.names, [(row.title, figures(record, row, "failed", True)) for row in rows])


def _quality(case: Case, record: Comparison) -> Table | None:
    """What is beside speed where variants are compared: answers against the base's, and sizes."""
    if tuple(case.precisions) == ("fp32",):
        return None
    table = answers(record, 5, f"{case.name}, answers")
    files = ("model files", sizes_of(record, "model on disk"))
    return table_of(table.title, table.columns, [*table.rows, files])


def _distances(case: Case, record: Comparison) -> Table | None:
    """How far each backend is from what the machine can do: the time that a query's operations take at the rate of the
    best int8 product measured here, over the backend's time. Attention's own products are fp32 in all of them."""
    limits = record.limits
    if tuple(case.precisions) == ("fp32",) or limits is None or limits.int8_gemm_gops is None or not record.flops:
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


def _cold_start(case: Case, record: Comparison) -> Table | None:
    if record.settings.scenarios:
        return None
    rows = {row.name: row for row in summarize(record)}
    wanted = ("cold_start", "cold_import", "cold_load", "cold_first_call", "memory_first")
    shown: list[tuple[str, Sequence[Cell | str]]] = [
        (rows[name].title, figures(record, rows[name], "failed", True)) for name in wanted
    ]
    return table_of(_title(case), record.names, [*shown, ("installation", sizes_of(record, "installation"))])


def _targets(measured: Sequence[tuple[Case, Comparison]]) -> Table:
    rows = []
    for case, record in measured:
        for target in case.targets:
            reached = outcome(record, target)
            rows.append((target.title, [_limit(target), _value(target, reached), _VERDICTS[reached.verdict(target)]]))
    return table_of("target", ["wanted", "measured", ""], rows)


_RULE_OF_TARGETS = (
    "Met, or missed: the whole 95% interval lies on that side of what is wanted. Not shown: it reaches past it, or one "
    "block gave none, so that this run does not tell. Sizes and answers to given items have no interval."
)

_VERDICTS: Mapping[Verdict, str] = {
    "met": "met",
    "missed": "**missed**",
    "not shown": "not shown",
    "not measured": "not measured",
}


def _limit(target: Target) -> str:
    sign, limit = ("at least", target.at_least) if target.at_least is not None else ("at most", target.at_most)
    assert limit is not None
    return f"{sign} {_number(target, limit)}"


def _value(target: Target, measured: Outcome) -> str:
    if measured.value is None:
        return "-"
    interval = ""
    if measured.low is not None and measured.high is not None:
        interval = f" [{_number(target, measured.low)}, {_number(target, measured.high)}]"
    return _number(target, measured.value) + interval


def _number(target: Target, value: float) -> str:
    return _FORMATS.get(target.kind, "{:.2f}x").format(value)


#: kind of target -> how its numbers are written; the rest are ratios.
_FORMATS: Mapping[str, str] = {
    "overhead": "{:.1%}",
    "efficiency": "{:.1%}",
    "quality": "{:.4f}",
    "difference": "{:+.4f}",
}


def _trust(measured: Sequence[tuple[str, Comparison]]) -> str:
    """What the runs say of themselves."""
    lines = []
    for name, record in measured:
        trust = findings(record)
        if trust.floor is not None:
            outside = f"{len(trust.false_alarms)} of {len(trust.controls)}"
            lines.append(f"- {name}: the A/A control differed by {trust.floor:.1%}, {outside} intervals exclude 1.")
        lines += [f"- {name}: {warning}" for warning in trust.warnings]
        lines += [f"- {name}: {failure.backend} failed: {failure.message}" for failure in record.failures]
    return "\n".join(["What the runs say of themselves:", "", *lines])
