"""Suites, their targets, and the README's figures, which come from records and from nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from onnxpress_bench.backends import kind_of
from onnxpress_bench.errors import BenchError
from onnxpress_bench.scenarios import SCENARIOS
from onnxpress_bench.suites import SUITES, Case, cases
from onnxpress_bench.suites.results import BEGIN, END, figures_by_hand, load, render, sections_of, update
from onnxpress_bench.suites.shapes import MODELS

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
        for shown in (target.backend, target.base):
            kind, _, rest = shown.partition(" ")
            assert not shown or kind in known
            assert not rest or rest in case.precisions or rest.startswith("batch ")


def test_case_names_are_unique() -> None:
    assert len({(suite, case.name) for suite, case in ALL}) == len(ALL)


@pytest.mark.parametrize("document", sorted(set(SUITES.values())))
def test_a_document_s_figures_are_those_of_the_records(document: str) -> None:
    """Regenerate them with `make bench`, or `python -m onnxpress_bench --readme` after a change of the tables."""
    text = (ROOT / document).read_text(encoding="utf-8")
    assert update(text, sections_of(document, ROOT / "benchmarks" / "results")) == text


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md"])
def test_no_figure_is_written_by_hand(file: str) -> None:
    assert figures_by_hand((ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text", ["2.3x faster", "takes 12 ms", "85 MB less", "in 0.3 s", "40% of it", "1,200 texts/s", "20 GFLOP/s"]
)
def test_a_figure_written_by_hand_is_found(text: str) -> None:
    assert figures_by_hand(f"onnxpress is {text}.")
    suite = next(iter(SUITES))
    between = f"{BEGIN.format(suite)}\nonnxpress is {text}.\n{END.format(suite)}"
    assert figures_by_hand(between) == []


@pytest.mark.parametrize("text", ["Python 3.11", "8x128 tokens", "int8", "transformers 5", "p99 of 1x16", "2 cores"])
def test_what_is_no_measured_figure_passes(text: str) -> None:
    assert figures_by_hand(text) == []


def test_markers_must_be_there() -> None:
    suite = next(iter(SUITES))
    with pytest.raises(BenchError, match=re.escape(BEGIN.format(suite))):
        update("no markers", {suite: "figures"})
    begin, end = BEGIN.format(suite), END.format(suite)
    assert update(f"a\n{begin}\nold\n{end}\nb", {suite: "new\n"}) == f"a\n{begin}\nnew\n{end}\nb"


def test_a_suite_without_records_says_so(tmp_path: Path) -> None:
    records = load(tmp_path)
    assert all("make bench" in render(suite, found) for suite, found in records.items())
