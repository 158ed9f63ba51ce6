"""`onnxpress compare`: what counts as a regression, what does not, and what is said of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxpress.errors import InputError, OnnxpressError
from onnxpress_bench.compare_cli import compare_command
from onnxpress_bench.comparison import BackendInfo, Comparison, Failure, Run, Settings
from onnxpress_bench.errors import BenchError
from onnxpress_bench.limits import Limits
from onnxpress_bench.machine import Machine
from onnxpress_bench.measures import MEASURES, Row
from onnxpress_bench.record import write_record
from onnxpress_bench.report.regression import Change, Differences, differences
from onnxpress_bench.statistics import Gain
from tests.fixtures.bench import MACHINE, SPEEDS, quiet_comparison

BLOCKS = 10


def run_of(seed: int, **options: Any) -> Comparison:
    """Of a machine so quiet that what is found was put there."""
    quiet = {"blocks": BLOCKS, "noise": 0.01, "limits": False, "control": False, "server_per_s": None}
    return quiet_comparison(**{**quiet, "seed": seed, **options})


@pytest.fixture(scope="module")
def before() -> Comparison:
    return run_of(1)


def verdicts(found: Differences, backend: str) -> dict[str, str]:
    return {change.measure: change.verdict for change in found.changes if change.backend == backend}


def with_quality(comparison: Comparison, quality: Mapping[str, float | None]) -> Comparison:
    def changed(one: BackendInfo) -> BackendInfo:
        return replace(one, quality=quality) if one.name == "onnxpress int8" else one

    return replace(comparison, backends=tuple(map(changed, comparison.backends)))


def with_runs(comparison: Comparison, change: Any) -> Comparison:
    kept = (change(run) for run in comparison.runs)
    return replace(comparison, runs=tuple(run for run in kept if run is not None))


def test_the_same_work_again_is_no_regression(before: Comparison) -> None:
    found = differences(run_of(1, control=True), run_of(2, control=True))
    assert not found.regressed
    assert found.missing == found.broken == ()
    assert {change.backend for change in found.changes} == set(SPEEDS)  # and not the control
    measures = {change.measure for change in found.changes}
    assert {
        "latency_p50 1x16",
        "latency_p99 8x32",
        "mixed",
        "offline",
        "cold_start",
        "memory_peak",
    } <= measures
    assert not any(name.startswith(("cold_import", "memory_model")) for name in measures)
    for change in found.changes:
        assert change.gain.low is not None and change.gain.high is not None and change.gain.low < change.gain.high


def test_one_backend_that_became_slower_is_found_and_only_that(before: Comparison) -> None:
    slower = {**SPEEDS, "onnxpress fp32": SPEEDS["onnxpress fp32"] / 1.2}
    found = differences(before, run_of(2, speeds=slower))
    assert found.regressed
    assert set(verdicts(found, "onnxpress fp32").values()) <= {"regressed", "no difference shown"}
    for measure in ("latency_p50 1x128", "mixed", "cold_start", "memory_peak"):
        assert verdicts(found, "onnxpress fp32")[measure] == "regressed"
    assert "regressed" not in {*verdicts(found, "pytorch").values(), *verdicts(found, "onnxpress int8").values()}
    change = next(one for one in found.changes if (one.backend, one.measure) == ("onnxpress fp32", "mixed"))
    assert change.gain.ratio == pytest.approx(1 / 1.2, rel=0.05) and change.before > change.after

    back = differences(run_of(2, speeds=slower), before)
    assert not back.regressed and verdicts(back, "onnxpress fp32")["mixed"] == "improved"


@pytest.mark.parametrize(("threshold", "verdict"), [(0.05, "worse, within the threshold"), (0.01, "regressed")])
def test_what_is_worse_by_less_than_the_threshold_is_none(before: Comparison, threshold: float, verdict: str) -> None:
    found = differences(before, run_of(2, factor=1.03), threshold=threshold, measures=["latency_p50"])
    assert verdict in verdicts(found, "pytorch").values()
    assert found.regressed is (verdict == "regressed")


def test_noise_larger_than_the_difference_shows_none(before: Comparison) -> None:
    noisy = quiet_comparison(blocks=4, seed=3, noise=0.5, factor=1.1, limits=False)
    assert not differences(before, noisy, measures=["cold_start", "mixed"]).regressed


def test_a_slower_machine_cancels_out_relative_to_a_backend(before: Comparison) -> None:
    slower = run_of(2, factor=1.5)
    assert differences(before, slower).regressed
    found = differences(before, slower, relative_to="pytorch")
    assert not found.regressed
    assert {change.backend for change in found.changes} == {"onnxpress fp32", "onnxpress int8"}
    change = next(one for one in found.changes if one.measure == "latency_p50 1x16")
    assert (change.unit, round(change.before, 1)) == ("x", 2.4)
    worse = run_of(2, factor=1.5, speeds={**SPEEDS, "onnxpress int8": 3.3})
    assert "regressed" in verdicts(differences(before, worse, relative_to="pytorch"), "onnxpress int8").values()
    with pytest.raises(BenchError, match="openvino was not measured"):
        differences(before, slower, relative_to="openvino")


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ({"cosine, worst": 0.998}, {"cosine, worst": 0.98}, "regressed"),
        ({"cosine, worst": 0.998}, {"cosine, worst": None}, "regressed"),
        ({"cosine, worst": 0.998}, {"cosine, worst": 0.9965}, "regressed"),
        ({"cosine, worst": 0.998}, {"cosine, worst": 0.9975}, "no difference shown"),
        ({"cosine, worst": 0.98}, {"cosine, worst": 0.998}, "improved"),
        ({"cosine, worst": None}, {"cosine, worst": None}, "no difference shown"),
        ({"largest score difference": 0.01}, {"largest score difference": 0.02}, "regressed"),
        ({"largest score difference": 0.02}, {"largest score difference": 0.01}, "improved"),
        ({"cosine, mean": 0.9}, {"cosine, mean": 0.8}, "no difference shown"),
        ({"accuracy": 0.96}, {"accuracy": 0.95}, "regressed"),
        ({"accuracy": 0.96}, {"accuracy": 0.956}, "no difference shown"),
        ({"entity F1": 0.95}, {"entity F1": 0.96}, "improved"),
    ],
)
def test_answers_that_became_wrong_or_dropped_are_regressions(
    before: Comparison, old: dict[str, float | None], new: dict[str, float | None], verdict: str
) -> None:
    found = differences(with_quality(before, old), with_quality(before, new), measures=["mixed"])
    assert [one.verdict for one in found.qualities if one.backend == "onnxpress int8"] == [verdict]
    assert found.regressed is (verdict == "regressed")


def test_what_the_second_record_lacks_is_listed_and_what_broke_is_a_regression(before: Comparison) -> None:
    def without(run: Run) -> Run | None:
        kept = {name: some for name, some in run.samples.items() if name != "mixed_per_s"}
        return None if run.backend == "onnxpress int8" else replace(run, samples=kept)

    less = with_runs(run_of(2), without)
    found = differences(before, less)
    assert "onnxpress int8, all of it" in found.missing
    assert "pytorch: mixed lengths, 39 tokens on average" in found.missing
    assert not found.regressed
    failed = replace(less, failures=(Failure("onnxpress int8", None, "out of memory"),))
    found = differences(before, failed)
    assert found.broken == ("onnxpress int8 fails: out of memory",) and found.regressed
    assert not differences(replace(before, failures=failed.failures), failed).broken


def test_a_rate_that_is_not_sustained_any_more_is_a_regression(before: Comparison) -> None:
    def sustains(run: Run) -> Run:
        return replace(run, samples={**run.samples, "server_rate_per_s": (50.0 + run.block / 10,)})

    def fails(run: Run) -> Run:
        lost = run.backend == "onnxpress fp32"
        return replace(run, samples={**run.samples, "server_unsustained": (1.0,)}) if lost else sustains(run)

    found = differences(with_runs(before, sustains), with_runs(before, fails), measures=["server_rate"])
    assert found.regressed
    assert found.broken == ("onnxpress fp32 sustains no rate within the server's bound any more, in 10 blocks",)


def test_other_machines_settings_inputs_and_versions_are_warned_about(before: Comparison) -> None:
    other = replace(
        run_of(2, machine=replace(MACHINE, processor="Another CPU", busy_share=0.9)),
        settings=replace(before.settings, threads=4, seed=9),
        versions={**before.versions, "onnxruntime": "1.40.0"},
        stream_items=77,
        interrupted=True,
    )
    said = "\n".join(differences(before, other, measures=["mixed"]).warnings)
    for expected in (
        "The machines differ, so this compares machines: processor Example CPU -> Another CPU.",
        "The settings differ: threads 2 -> 4, seed 1 -> 9.",
        "The inputs differ",
        "Versions differ: onnxruntime 1.31.1 -> 1.40.0.",
        "In the second record: The machine was busy",
        "The second run was interrupted.",
    ):
        assert expected in said


def test_one_block_finds_nothing_and_says_so() -> None:
    one = [quiet_comparison(blocks=1, seed=seed, factor=factor, limits=False) for seed, factor in ((1, 1), (2, 3))]
    found = differences(*one)
    assert not found.regressed and any("use --blocks" in warning for warning in found.warnings)


def test_records_with_nothing_in_common_are_refused(before: Comparison) -> None:
    with pytest.raises(BenchError, match="two tasks"):
        differences(before, replace(before, task="fill-mask"))
    with pytest.raises(BenchError, match="no measure of any backend in common"):
        differences(before, run_of(2, speeds={"llama.cpp": 1.0, "faster-whisper": 2.0}))
    with pytest.raises(InputError, match=r"no measure 'latency'\. It has: cold_start"):
        differences(before, before, measures=["latency"])


# As people run it.


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, before: Comparison) -> Path:
    folder = tmp_path_factory.mktemp("records")
    write_record(before, folder / "a.jsonl")
    write_record(run_of(2), folder / "same.jsonl")
    write_record(run_of(2, speeds={**SPEEDS, "onnxpress fp32": 1.9}), folder / "slower.jsonl")
    return folder


def compare(*arguments: str | Path) -> Result:
    return CliRunner().invoke(compare_command, [str(one) for one in arguments])


def test_the_exit_code_says_whether_anything_regressed(files: Path) -> None:
    same, slower = (compare(files / "a.jsonl", files / f"{name}.jsonl") for name in ("same", "slower"))
    assert (same.exit_code, slower.exit_code) == (0, 3)
    assert same.output.rstrip().endswith("No regression.")
    assert "REGRESSED: onnxpress fp32: latency p50, 1 x 16 tokens, 0.79" in slower.output
    assert compare(files / "a.jsonl", files / "slower.jsonl", "--threshold", "80", "--measure", "mixed").exit_code == 0
    assert compare(files / "a.jsonl", files / "slower.jsonl", "--threshold", "-1").exit_code == 2
    only = compare(
        files / "a.jsonl", files / "slower.jsonl", "--measure", "mixed,cold_start", "--measure", "memory_peak"
    )
    assert "latency" not in only.output.partition("WARNING")[0] and only.exit_code == 3
    relative = compare(files / "a.jsonl", files / "slower.jsonl", "--relative-to", "pytorch", "--measure", "mixed")
    assert "what, relative to pytorch" in relative.output and relative.exit_code == 3
    assert "0  nothing regressed" in compare("--help").output


def test_json_is_for_programs(files: Path) -> None:
    result = compare(files / "a.jsonl", files / "slower.jsonl", "--json")
    value = json.loads(result.output)
    assert (value["format"], value["format_version"], value["regressed"]) == ("onnxpress-bench-compare", 1, True)
    assert {"backend", "measure", "title", "unit", "before", "after", "gain", "verdict"} == set(value["changes"][0])
    assert {one["backend"] for one in value["changes"] if one["verdict"] == "regressed"} == {"onnxpress fp32"}


def test_what_is_no_record_is_an_error_of_ours(files: Path, tmp_path: Path) -> None:
    (tmp_path / "no.jsonl").write_text("{}", encoding="utf-8")
    for wrong in ("no.jsonl", "gone.jsonl"):
        error = compare(files / "a.jsonl", tmp_path / wrong).exception
        assert isinstance(error, OnnxpressError) and wrong in str(error)


RECORD = (Path(__file__).resolve().parents[2] / "docs" / "bench-record.md").read_text(encoding="utf-8")
#: A group of a measure's pattern -> how the document writes it.
GROUPS = {
    "rows": "ROWS",
    "length": "TOKENS",
    "prompt": "PROMPT",
    "new": "NEW",
    "batch": "BATCH",
    "beams": "BEAMS",
    "seconds": "SECONDS",
    "scenario": "SCENARIO",
    "streams": "STREAMS",
}
KINDS = (Comparison, Settings, Run, BackendInfo, Failure, Machine, Limits, Row, Gain, Change, Differences)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_the_record_is_described(kind: type) -> None:
    missing = [one.name for one in fields(kind) if f"`{one.name}`" not in RECORD and one.name != "runs"]
    assert not missing


def test_the_described_way_to_read_a_record_works(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(files)
    code = RECORD.partition("```python\n")[2].partition("```")[0].replace("record.jsonl", "a.jsonl")
    exec(code, {})
    assert [line.split(" ms")[0].rpartition(" ")[0] for line in capsys.readouterr().out.splitlines()] == list(SPEEDS)
    for measure in MEASURES:
        literal = re.sub(r"\(\?P<(\w+)>[^)]*\)", lambda found: GROUPS[found[1]], measure.samples)
        assert f"`{literal}`" in RECORD, literal
