"""Whether the method can be trusted, on this machine: `make bench-test`, some minutes, on a machine that does nothing
else.

Real processes, a real model. Not part of `make test`, where nothing is timed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from onnxpress import Artifact
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.measures import summarize
from onnxpress_bench.run import run, settings_for
from onnxpress_bench.subject import of_artifact

HERE = Path(__file__).parent
REPETITIONS = 20


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    """all-MiniLM-L6-v2, as the suites use it."""
    from onnxpress_bench.suites.cli import ROOT
    from onnxpress_bench.suites.shapes import artifact_of

    return Artifact.open(artifact_of("minilm", ROOT / "models" / "artifacts")[0])


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers find the backends beside this file."""
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.syspath_prepend(str(HERE))
    yield


def compare(artifact: Artifact, backends: tuple[str, ...], seed: int, **settings: object) -> Comparison:
    chosen = replace(settings_for(quick=True, blocks=8, seed=seed), shapes=("1x16",), scenarios=("single-stream",))
    chosen = replace(chosen, **{"warm_up_s": 0.5, **settings})  # type: ignore[arg-type]
    return run(of_artifact(artifact, None, chosen, backends=backends), chosen)


def test_identical_backends_do_not_differ_in_19_of_20_runs(artifact: Artifact) -> None:
    verdicts: dict[str, list[str]] = {}
    for seed in range(REPETITIONS):
        comparison = compare(artifact, ("onnxpress",), seed, control=True)
        for row in summarize(comparison):
            for verdict in row.verdicts.values():
                verdicts.setdefault(row.name, []).append(verdict)
    alarms = {name: len(some) - some.count("no difference shown") for name, some in verdicts.items()}
    print(f"\nfalse alarms of {REPETITIONS}: {alarms}")
    assert alarms["latency_p50 1x16"] <= REPETITIONS // 20
    assert sum(alarms.values()) <= sum(map(len, verdicts.values())) / 10


def test_a_backend_slower_by_a_tenth_is_found(artifact: Artifact) -> None:
    comparison = compare(artifact, ("onnxpress", "method_backends:Slower"), 0, control=False, blocks=15)
    row = next(row for row in summarize(comparison) if row.name == "latency_p50 1x16")
    gain = row.gains["Slower fp32"]
    print(f"\nslower by a tenth: {gain}")
    assert gain.verdict == "worse"
    assert gain.low is not None and gain.high is not None and gain.low <= 1 / 1.1 <= gain.high


def test_a_stall_shows_in_the_server_s_p99_and_hides_in_a_closed_loop(artifact: Artifact) -> None:
    comparison = compare(
        artifact,
        ("onnxpress", "method_backends:Stalling"),
        0,
        control=False,
        blocks=3,
        scenarios=("single-stream", "server"),
        server_rate_per_s=25.0,
        server_queries=300,
        latency_s=4.0,
        lengths="queries",
    )
    rows = {row.name: row.values for row in summarize(comparison)}
    print({name: rows[name] for name in rows if name.startswith(("server", "latency"))})
    assert rows["server_p99"]["Stalling fp32"] > 180 > rows["server_p99"]["onnxpress fp32"]
    assert rows["latency_p99 1x16"]["Stalling fp32"] < 100, "the closed loop omits what the stall held up"
