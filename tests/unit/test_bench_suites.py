"""Suites, their targets, and the README's figures, which come from records and from nowhere else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner

from onnxpress.engine.machine import FEATURES
from onnxpress_bench.backends import kind_of
from onnxpress_bench.errors import BenchError
from onnxpress_bench.record import write_record
from onnxpress_bench.report import terminal
from onnxpress_bench.report.verdict import was_compared
from onnxpress_bench.scenarios import SCENARIOS
from onnxpress_bench.suites import SUITES, Case, cases, summary
from onnxpress_bench.suites import cli as suites_cli
from onnxpress_bench.suites.processors import KINDS, kind_of_processor
from onnxpress_bench.suites.results import BEGIN, END, documents, load, results_page, update
from onnxpress_bench.suites.shapes import MODELS
from onnxpress_bench.suites.targets import Kind, Outcome, Target, outcome
from tests.fixtures.bench import quiet_comparison

ROOT = Path(__file__).resolve().parents[2]
ALL = [(suite, case) for suite in SUITES for case in cases(suite)]


@pytest.mark.parametrize(("suite", "case"), ALL, ids=[f"{suite}/{case.name}" for suite, case in ALL])
def test_a_case_names_what_exists(suite: str, case: Case) -> None:
    assert case.model in MODELS
    assert set(case.settings.get("scenarios", ())) <= set(SCENARIOS)
    known = {name.partition("@")[0] for name in case.backends}
    assert all(kind_of(name) for name in known)
    for target in case.targets:
        assert (target.at_least is None) != (target.at_most is None)
        assert set(target.processors) <= {kind.name for kind in KINDS}
        for shown in (target.backend, target.base):
            kind, _, rest = shown.partition(" ")
            assert not shown or kind in known
            assert not rest or rest in case.precisions or rest.startswith("batch ")


def test_case_names_are_unique() -> None:
    assert len({(suite, case.name) for suite, case in ALL}) == len(ALL)


def test_a_row_over_lists_stands_for_every_way_to_take_their_entries() -> None:
    translators = {case.name: case for case in cases("generation")[-2:]}
    assert list(translators) == ["t5-small", "marian"] == [case.model for case in translators.values()]
    titles = [target.title for target in translators["marian"].targets]
    assert len(titles) == len(set(titles)) == 8 and "marian int8, batch 16, 1 beams, against transformers" in titles
    first, last = translators["marian"].targets[0], translators["marian"].targets[-1]
    assert (first.row, first.base, first.at_least) == ("translate 1 1", "ctranslate2-int8", 1.0)
    assert (last.row, last.base, last.at_least) == ("translate 16 4", "pytorch", 4.0)


HELD = documents(ROOT, ROOT / "benchmarks" / "results")


@pytest.mark.parametrize("path", HELD, ids=lambda path: path.name)
def test_a_document_s_figures_are_those_of_the_records(path: Path) -> None:
    """Regenerate them with `make bench`, or `python -m onnxpress_bench --readme` after a change of the tables."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".svg":  # what is written in it; how it is drawn, matplotlib's version decides
        assert re.findall(r"<text[^>]*>([^<]*)", text) == re.findall(r"<text[^>]*>([^<]*)", HELD[path])
    else:
        assert text == HELD[path]


def test_the_readme_has_a_row_for_each_line_and_a_chart_that_loads_nothing() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = readme.partition(BEGIN)[2].partition(END)[0].splitlines()
    assert sum(row.startswith("| ") for row in rows) == 2 + len(summary.LINES)
    chart = HELD[ROOT / "benchmarks" / "chart.svg"]
    assert "](benchmarks/chart.svg)" in readme and len(chart) < 40_000
    assert not re.search(r"<script|<image|href=.(?!#)|url\((?!#)", chart)
    words = re.findall(r"<text[^>]*>([^<]*)", chart)
    assert {"transformers", "onnxpress", "cold start, s", "memory, MB"} <= set(words)


def test_each_case_is_announced_with_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured: list[str] = []
    tuned: list[bool] = []

    def measure(case: object, path: Path, blocks: int | None, place: str, *, tune: bool) -> bool:
        measured.append(place)
        tuned.append(tune)
        return False

    monkeypatch.setattr(suites_cli, "_measure", measure)
    done = CliRunner().invoke(suites_cli.main, ["--suite", "int8", "--tune", "--results", str(tmp_path)])
    assert done.exit_code == 0 and all(tuned), done.output
    assert measured == [f"case {i} of 5, int8/{case.name}" for i, case in enumerate(cases("int8"), start=1)]
    assert [line for line in done.output.splitlines() if line] == [f"=== {place}" for place in measured]


def figures_by_hand(text: str) -> list[str]:
    """What looks like a measured figure outside the markers: ratios, times, rates, memory, shares.

    What a command printed, below its prompt in a block of the console, was not written by hand either.
    """
    text = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", "", text, flags=re.DOTALL)
    text = re.sub(r"^```console\n\$ .*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    units = r"(?:x\b|×|ms\b|s\b|seconds?\b|minutes?\b|[kMG]i?B\b|%|(?:texts|tokens)/s\b|times\b|GFLOP/s\b)"
    return [match.group() for match in re.finditer(rf"(?<![\w.-])\d+(?:\.\d+)?\s?{units}(?![\w-])", text)]


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md"])
def test_no_figure_is_written_by_hand(file: str) -> None:
    assert figures_by_hand((ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text", ["2.3x faster", "takes 12 ms", "85 MB less", "in 0.3 s", "40% of it", "1,200 texts/s", "20 GFLOP/s"]
)
def test_a_figure_written_by_hand_is_found(text: str) -> None:
    assert figures_by_hand(f"onnxpress is {text}.")
    between = f"{BEGIN}\nonnxpress is {text}.\n{END}"
    assert figures_by_hand(between) == []


@pytest.mark.parametrize("text", ["Python 3.11", "8x128 tokens", "int8", "transformers 5", "p99 of 1x16", "2 cores"])
def test_what_is_no_measured_figure_passes(text: str) -> None:
    assert figures_by_hand(text) == []


def test_markers_must_be_there() -> None:
    with pytest.raises(BenchError, match=re.escape(BEGIN)):
        update("no markers", "figures")
    assert update(f"a\n{BEGIN}\nold\n{END}\nb", "new\n") == f"a\n{BEGIN}\nnew\n{END}\nb"


MET, MISSED, NOT_SHOWN, NOT_MEASURED = "met", "missed", "not shown", "not measured"


@pytest.mark.parametrize(
    ("reference", "own", "verdict"),
    [
        (0.96, 0.957, MET),
        (0.96, 0.97, MET),
        (0.96, 0.954, MISSED),
        (None, 0.96, NOT_MEASURED),
        (0.96, None, NOT_MEASURED),
    ],
)
def test_a_difference_of_two_backends_is_a_target(reference: float | None, own: float | None, verdict: str) -> None:
    quality = {"pytorch": {"accuracy": reference}, "onnxpress int8": {"cosine, worst": 0.999, "accuracy": own}}
    record = quiet_comparison(quality=quality, blocks=1, calls=2)
    target = Target("int8, accuracy over PyTorch's", "difference", "accuracy", "onnxpress int8", "pytorch", -0.005)
    assert outcome(record, target).verdict(target) == verdict


@pytest.mark.parametrize(
    ("low", "high", "at_least", "at_most"),
    [
        (2.1, 2.6, MET, MISSED),
        (2.0, 2.6, MET, NOT_SHOWN),
        (1.9, 2.6, NOT_SHOWN, NOT_SHOWN),
        (1.0, 1.99, MISSED, MET),
        (1.0, 2.0, NOT_SHOWN, MET),
        (2.3, float("inf"), MET, MISSED),
        (1.9, float("inf"), NOT_SHOWN, NOT_SHOWN),
        (None, None, NOT_SHOWN, NOT_SHOWN),
    ],
)
def test_a_target_is_met_only_where_the_whole_interval_is_within_the_limit(
    low: float | None, high: float | None, at_least: str, at_most: str
) -> None:
    measured = Outcome(2.3, low, high)
    assert measured.verdict(Target("", "gain", "", "a", "b", at_least=2.0)) == at_least
    assert measured.verdict(Target("", "share", "", "a", "b", at_most=2.0)) == at_most


@pytest.mark.parametrize("kind", get_args(Kind))
def test_what_blocks_measure_has_an_interval_and_one_block_shows_nothing(kind: Kind) -> None:
    rows = {"mean gain": "latency_p50 1x16; latency_p50 1x128", "kept": "mixed; offline", "footprint": "memory_peak"}
    rows |= dict.fromkeys(("quality", "less error", "difference"), "cosine, mean")
    target = Target("", kind, rows.get(kind, "latency_p50 1x16"), "onnxpress int8", "onnxpress fp32", at_least=-1.0)
    counted = kind in ("install", "more installed", "size", "quality", "less error", "difference")
    several, single = (replace(quiet_comparison(blocks=count), cache_bytes=1e6) for count in (6, 1))
    shown = outcome(several, target)
    assert shown.value is not None and shown.counted is counted and (shown.low is None) is counted
    if shown.low is not None and shown.high is not None:
        assert shown.low < shown.value < shown.high
    assert shown.verdict(target) == MET
    assert outcome(single, target).verdict(target) == (shown.verdict(target) if counted else NOT_SHOWN)


def test_values_over_blocks_are_what_they_are_called() -> None:
    record = replace(quiet_comparison(noise=1e-9), cache_bytes=1e6)
    ours = "onnxpress fp32"

    def value(kind: Kind, row: str) -> float | None:
        return outcome(record, Target("", kind, row, ours, "pytorch", at_least=1.0)).value

    assert value("gain", "latency_p50 1x16") == pytest.approx(2.4)
    assert value("mean gain", "latency_p50 1x16; latency_p50 1x128") == pytest.approx(2.4)
    assert value("mean gain", "mixed; offline") == pytest.approx(2.4)
    assert value("share", "memory_first") == pytest.approx(1 / 2.4)
    assert value("overhead", "latency_p50 1x16") == pytest.approx(1 / 2.4 - 1)
    assert value("kept", "mixed; offline") == pytest.approx(70 / 30)
    assert value("footprint", "memory_peak") == pytest.approx(6e8 / 2.4 / (90_300_000 + 1e6))
    # 3.4e8 operations in 8 ms / 2.4, over 166 GFLOP/s.
    assert value("efficiency", "latency_p50 1x16") == pytest.approx(3.4e8 / (8e-3 / 2.4) / 166e9)
    assert record.limits is not None
    by_integers = 3.4e8 / (8e-3 / 2.4) / 1e9 / (record.limits.int8_gemm_gops or 0)
    assert value("int8 efficiency", "latency_p50 1x16") == pytest.approx(by_integers)


def test_the_task_s_metric_is_shown_for_all_and_says_nothing_of_equal_answers() -> None:
    quality = {
        "pytorch": {"accuracy": 0.9625},
        "onnxpress fp32": {"label agreement": 1.0, "accuracy": 0.9625},
        "onnxpress int8": {"label agreement": 0.995, "accuracy": 0.96},
    }
    record = quiet_comparison(quality=quality, blocks=2, calls=2)
    lines = [line.split("  ") for line in terminal.render(record).splitlines()]
    shown = {cells[0]: [cell.strip() for cell in cells[1:] if cell.strip()] for cells in lines}
    assert shown["accuracy"] == ["0.962500", "0.962500", "0.960000"]
    assert shown["label agreement"] == ["reference", "1.000000", "0.995000"]
    assert "answers, against pytorch's and the right ones" in shown
    assert [was_compared(record.backend(name)) for name in record.names] == [False, True, True]


def test_every_kind_of_processor_has_a_feature_that_the_machine_tells() -> None:
    assert {kind.feature for kind in KINDS} - {""} == set(FEATURES) - {"sve"}
    assert len({kind.name for kind in KINDS}) == len({kind.title for kind in KINDS}) == len(KINDS)
    assert kind_of_processor({"avx2", "avx512", "avx512_vnni", "avx_vnni"}).name == "avx512-vnni"
    assert kind_of_processor({"avx2"}).name == "avx2" and kind_of_processor(()).name == "other"


def test_a_record_lies_in_the_folder_of_its_kind_of_processor() -> None:
    """Records from before features were kept are of AVX2 without VNNI: all machines were of that kind."""
    for kind, suites in load(ROOT / "benchmarks" / "results").items():
        for record in (record for suite in suites.values() for record in suite.values()):
            assert kind == kind_of_processor(record.machine.features or ("avx2",)).name


def test_both_kinds_of_processor_are_shown_and_each_has_its_own_targets(tmp_path: Path) -> None:
    case = next(case for case in cases("int8") if case.name == "bert-base")
    record = quiet_comparison(blocks=3, calls=2)
    for kind, features, processor in (("avx2", ("avx2",), "Old"), ("avx512-vnni", ("avx512_vnni",), "New")):
        machine = replace(record.machine, processor=processor, features=features)
        path = tmp_path / kind / "int8" / f"{case.name}.jsonl"
        path.parent.mkdir(parents=True)
        write_record(replace(record, machine=machine), path)
    page = results_page(load(tmp_path))
    newer, older = page.partition("### AVX-512 with VNNI")[2].split("### AVX2 without VNNI")
    assert "on New" in newer and "on Old" in older and "results/avx512-vnni/int8/" in newer
    title = "int8 against ORT's dynamic int8, mean of the four"
    assert f"| {title} | at least 1.10x" in newer and f"| {title} | at least 0.97x" in older
    assert f"{title} | at least 0.97x" not in newer and f"{title} | at least 1.10x" not in older


def test_a_record_is_kept_with_its_kind_of_processor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    paths: list[Path] = []

    def measure(case: object, path: Path, blocks: int | None, place: str, *, tune: bool) -> bool:
        paths.append(path)
        return False

    monkeypatch.setattr(suites_cli, "_measure", measure)
    monkeypatch.setattr(suites_cli, "features", lambda: frozenset({"avx2", "avx512", "avx512_vnni"}))
    CliRunner().invoke(suites_cli.main, ["--case", "cold-start", "--results", str(tmp_path)])
    assert paths == [tmp_path / "avx512-vnni" / "fp32" / "cold-start.jsonl"]


def test_the_readme_has_columns_for_each_kind_of_processor() -> None:
    suites = load(ROOT / "benchmarks" / "results")["avx2"]
    alone, both = summary.render_lines({"avx2": suites}), summary.render_lines({"avx2": suites, "avx512-vnni": suites})
    assert alone.startswith("|  | PyTorch | onnxpress | gain, 95% interval |")
    assert both.startswith(
        "|  | AVX-512 with VNNI: PyTorch | onnxpress | gain, 95% interval | AVX2 without VNNI: PyTorch"
    )
    assert both.count("\n| ") == alone.count("\n| ")
    partial = {"avx2": suites, "avx512-vnni": {"fp32": {"bert-base": suites["fp32"]["bert-base"]}}}
    assert "| MiniLM, memory at the first answer | - | - | - | " in summary.render_lines(partial)


def test_a_suite_without_records_says_so(tmp_path: Path) -> None:
    records = load(tmp_path)
    assert results_page(records).count("Not measured yet: `make bench`.") == len(SUITES)
    assert "make bench" in summary.render_lines(records) and summary.render_chart(records) is None
