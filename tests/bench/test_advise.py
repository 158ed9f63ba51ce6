"""`onnxpress advise` with real processes on a tiny artifact: it chooses, confirms, and admits when nothing holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from onnxpress_bench.advise import BATCHES, candidates
from tests.fixtures.console import complaints
from tests.fixtures.embedder import write_embedder
from tests.fixtures.processes import HANG_S


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("advise") / "artifact")


def advise(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onnxpress", "advise", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)


def test_a_demand_that_can_be_met_gets_a_recommendation_with_its_evidence(artifact: Path) -> None:
    done = advise(artifact, "--p99-ms", "2000", "--rate", "200", "--cores", "1", "--trial-s", "0.5", "--json")
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    advice = json.loads(done.stdout)
    assert advice["best"]["precision"] == "fp32" and advice["best"]["threads"] == advice["best"]["replicas"] == 1
    assert advice["highest_per_s"] >= 200
    assert len(advice["trials"]) >= len(BATCHES) + len(advice["confirmations"]) == len(BATCHES) + 3
    tried = {(one["candidate"]["rows"], one["candidate"]["budget_tokens"]) for one in advice["trials"]}
    assert tried == set(BATCHES)
    for trial in advice["trials"]:
        assert trial["requests"] > 0 and (not trial["within"] or trial["p99_ms"] <= 2000)


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
