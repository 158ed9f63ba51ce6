"""Records of the suites to RESULTS.md, and to the README's few figures and chart.

Every figure in them is taken from a record in benchmarks/results/; none is written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxpress.cli.inspection import size
from onnxpress.format.files import write_file
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.errors import BenchError
from onnxpress_bench.measures import Row, summarize
from onnxpress_bench.noise import findings
from onnxpress_bench.record import read_record
from onnxpress_bench.report.tables import figure, times
from onnxpress_bench.suites import SUITES, Case, cases, summary
from onnxpress_bench.suites.targets import Outcome, Target, Verdict, outcome
from onnxpress_exporter.judging.wrong import is_wrong

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
    known = [case for case in cases(suite) if case.name in records]
    if not known:
        return "Not measured yet: `make bench`.\n"
    first = records[known[0].name]
    machine = first.machine
    parts = [
        f"Measured {first.created[:10]} on {machine.processor}, {first.settings.threads} threads, {machine.system}, by "
        f"`make bench`; {_versions(records)}. Medians, and ratios with 95% intervals. Raw samples: "
        f"benchmarks/results/{suite}/."
    ]
    parts += [part for case in known if (part := _latencies(case, records[case.name]))]
    parts += [part for case in known if (part := _quality(case, records[case.name]))]
    parts += [part for case in known if (part := _distances(case, records[case.name]))]
    parts += [part for case in known if (part := _bandwidth(case, records[case.name]))]
    parts += [part for case in known if (part := _cold_start(case, records[case.name]))]
    if any(case.targets for case in known):
        parts.append(_targets([(case, records[case.name]) for case in known]))
    parts.append(_trust([(case.name, records[case.name]) for case in known]))
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


def figures_by_hand(text: str) -> list[str]:
    """What looks like a measured figure outside the markers: ratios, times, rates, memory, shares.

    What a command printed, below its prompt in a block of the console, was not written by hand either.
    """
    text = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", "", text, flags=re.DOTALL)
    text = re.sub(r"^```console\n\$ .*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    units = r"(?:x\b|×|ms\b|s\b|seconds?\b|minutes?\b|[kMG]i?B\b|%|(?:texts|tokens)/s\b|times\b|GFLOP/s\b)"
    return [match.group() for match in re.finditer(rf"(?<![\w.-])\d+(?:\.\d+)?\s?{units}(?![\w-])", text)]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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


def _latencies(case: Case, record: Comparison) -> str:
    """Latency by shape, or throughput: what each backend took, and how many times better ours is than each."""
    rows = [row for row in summarize(record) if row.name.startswith(_SHOWN)]
    if not rows:
        return ""
    header = [f"{case.model}, {case.name}" if case.name != case.model else case.model, *record.names]
    return _table(header, [[row.title, *(_cell(record, row, name) for name in record.names)] for row in rows])


def _cell(record: Comparison, row: Row, name: str) -> str:
    if name not in row.values:
        return "failed"
    text = figure(row.values[name], row.unit)
    gain = row.gains.get(name)
    if gain is not None:
        interval = "" if gain.low is None or gain.high is None else f" [{gain.low:.2f}, {gain.high:.2f}]"
        text += f", {times(gain.ratio)}{interval}"
    wrong = [key for key, value in record.backend(name).quality.items() if is_wrong(key, value)]
    return f"{text} **wrong answers**" if wrong else text


def _quality(case: Case, record: Comparison) -> str:
    """What is beside speed where variants are compared: answers against the base's, and sizes."""
    if tuple(case.precisions) == ("fp32",):
        return ""
    backends = [record.backend(name) for name in record.names]
    figures = dict.fromkeys(key for backend in backends for key in backend.quality)
    lines = [[key, *(_figure(backend.quality.get(key)) for backend in backends)] for key in figures]
    lines.append(
        ["model files", *("-" if backend.model_bytes is None else size(backend.model_bytes) for backend in backends)]
    )
    return _table([f"{case.name}, answers", *record.names], lines)


def _distances(case: Case, record: Comparison) -> str:
    """How far each backend is from what the machine can do: the time that a query's operations take at the rate of the
    best int8 product measured here, over the backend's time. Attention's own products are fp32 in all of them."""
    limits = record.limits
    if tuple(case.precisions) == ("fp32",) or limits is None or limits.int8_gemm_gops is None or not record.flops:
        return ""
    lines = []
    for row in summarize(record):
        shape = row.name.partition(" ")[2]
        if row.name.startswith("latency_p50") and shape in record.flops:
            best = record.flops[shape] / limits.int8_gemm_gops / 1e6  # ms
            shares = (f"{best / row.values[name]:.0%}" if name in row.values else "-" for name in record.names)
            lines.append([shape, figure(best, "ms"), *shares])
    peaks = f"int8 {limits.int8_gemm_gops:.0f} GOP/s, fp32 {limits.fp32_gemm_gflops:.0f} GFLOP/s"
    return _table([f"{case.name}, best products here: {peaks}", "at that int8 rate", *record.names], lines)


def _bandwidth(case: Case, record: Comparison) -> str:
    """How much of what memory can deliver each backend draws while it decodes: a token needs all weights once, and the
    keys and values of all tokens before it, which are left out."""
    limits = record.limits
    if limits is None or case.task != "text-generation":
        return ""
    lines = []
    for row in summarize(record):
        if row.name.startswith("decode"):
            shares = []
            for name in record.names:
                size_bytes, rate = record.backend(name).model_bytes, row.values.get(name)
                drawn = size_bytes * rate / 1e9 if size_bytes and rate else None
                shares.append("-" if drawn is None else f"{drawn:.1f} GB/s, {drawn / limits.read_gb_per_s:.0%}")
            lines.append([row.title, *shares])
    title = f"{case.name}, bytes of weights read; memory delivers {limits.read_gb_per_s:.1f} GB/s"
    return _table([title, *record.names], lines) if lines else ""


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.5f}"


def _cold_start(case: Case, record: Comparison) -> str:
    if record.settings.scenarios:
        return ""
    rows = {row.name: row for row in summarize(record)}
    wanted = ("cold_start", "cold_import", "cold_load", "cold_first_call", "memory_first")
    lines = [
        [rows[name].title.strip(), *(_cell(record, rows[name], backend) for backend in record.names)] for name in wanted
    ]
    installed = [record.backend(name).install_bytes for name in record.names]
    lines.append(["installation", *("-" if size_bytes is None else size(size_bytes) for size_bytes in installed)])
    return _table([f"{case.model}, {case.name}", *record.names], lines)


def _targets(measured: Sequence[tuple[Case, Comparison]]) -> str:
    lines = []
    for case, record in measured:
        for target in case.targets:
            reached = outcome(record, target)
            lines.append([target.title, _limit(target), _value(target, reached), _VERDICTS[reached.verdict(target)]])
    return f"{_table(['target', 'wanted', 'measured', ''], lines)}\n\n{_RULE_OF_TARGETS}"


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
