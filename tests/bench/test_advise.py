"""`onnxpress advise` with real processes on a tiny artifact: it chooses, confirms, and admits when nothing holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from onnxpress import Artifact
from onnxpress_bench.advise import BATCHES, PRECISION, Candidate, Demand, Trial, candidates
from onnxpress_bench.advise import advise as choose
from tests.fixtures.console import complaints
from tests.fixtures.embedder import write_embedder
from tests.fixtures.processes import HANG_S


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("advise") / "artifact")


def advise(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onnxpress", "advise", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)


@pytest.mark.nightly
def test_a_demand_that_can_be_met_gets_a_recommendation_with_its_evidence(artifact: Path) -> None:
    done = advise(artifact, "--p99-ms", "20000", "--rate", "200", "--cores", "1", "--trial-s", "0.5", "--json")
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    advice = json.loads(done.stdout)
    assert advice["best"]["precision"] == "fp32" and advice["best"]["threads"] == advice["best"]["replicas"] == 1
    assert advice["highest_per_s"] >= 200
    assert len(advice["trials"]) >= len(BATCHES) + len(advice["confirmations"]) == len(BATCHES) + 3
    tried = {(one["candidate"]["rows"], one["candidate"]["budget_tokens"]) for one in advice["trials"]}
    assert tried == set(BATCHES)
    for trial in advice["trials"]:
        assert trial["requests"] > 0 and (not trial["within"] or trial["p99_ms"] <= 20000)


def test_the_one_with_most_room_is_chosen_pushed_and_confirmed(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With trials that are computed: each candidate sustains 40 requests a second for each row that it takes."""
    seeds = []

    def run(trials: object, candidate: Candidate, rate_per_s: float, seed: int) -> Trial:
        seeds.append(seed)
        room = 40.0 * candidate.rows - rate_per_s
        return Trial(candidate, rate_per_s, room > 0, 100, 1.0, 2.0, 1000 / room if room > 0 else 1e4)

    monkeypatch.setattr("onnxpress_bench.advise._Trials._run", run)
    advice = choose(Artifact.open(artifact), Demand(200.0, 2000.0, seed=7), cores=1, trial_s=0.5)
    assert advice.best == Candidate("fp32", 1, 1, *BATCHES[-1])
    most = 40.0 * BATCHES[-1][0]
    assert most / PRECISION <= advice.highest_per_s < most
    assert [trial.within for trial in advice.trials[: len(BATCHES)]] == [40 * rows > 200 for rows, _ in BATCHES]
    assert [trial.rate_per_s for trial in advice.confirmations] == [200.0] * 3
    assert (set(seeds[:-3]), seeds[-3:]) == ({7}, [8, 9, 10])


def test_a_bound_out_of_reach_is_said_to_be_so(artifact: Path) -> None:
    done = advise(artifact, "--p99-ms", "0.001", "--rate", "200", "--cores", "1", "--trial-s", "0.5")
    assert (done.returncode, complaints(done.stderr)) == (3, "")
    assert "does not meet the bound at any rate" in done.stdout and "RECOMMENDED" not in done.stdout


def test_wrong_arguments_are_named(artifact: Path) -> None:
    done = advise(artifact, "--p99-ms", "10", "--rate", "5", "--precision", "int8")
    assert done.returncode == 1 and "no int8 variant" in done.stderr
    done = advise(artifact, "--rate", "5")
    assert done.returncode == 2 and "--p99-ms" in done.stderr


def test_the_cores_are_shared_evenly_in_every_way() -> None:
    found = {(one.replicas, one.threads) for one in candidates(["fp32"], 6)}
    assert found == {(1, 6), (2, 3), (3, 2), (6, 1)}
    assert len(candidates(["fp32", "int8"], 4)) == 2 * 3 * len(BATCHES)
