"""The project's own results: tables of cases, run by `make bench`, that back every figure in RESULTS.md and the README.

A suite is a tuple of cases in one file; SUITES names them. Add a case, or a suite, and it is run, recorded in
benchmarks/results/ and shown. This module knows nothing of how a case is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from onnxpress_bench.suites.targets import Target
from onnxpress_exporter.judging.data import Table

#: The repository: suites run in a working copy.
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the harness. `model`: a row of shapes.MODELS. `settings`: what differs from a full run's settings.
    `precisions`: variants of the artifact that are measured. `eval_data`: makes labelled rows for the task's metric;
    `judged`: the items that answers are compared on, in place of a few of the stream's.

    A `task` without an artifact takes the checkpoint, with `inputs` as `workloads.Sizes` names them."""

    name: str
    model: str
    backends: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    targets: Sequence[Target] = ()
    measure_limits: bool = False
    task: str = "sentence-similarity"
    precisions: Sequence[str] = ("fp32",)
    eval_data: Callable[[], Table] | None = None
    judged: Callable[[], Sequence[Any]] | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)


#: name, which is that of the module with its CASES -> its heading in RESULTS.md.
SUITES: Mapping[str, str] = {
    "fp32": "Encoders in float32",
    "int8": "Encoders, quantized",
    "generation": "Models that write",
    "peers": "Every peer",
}


def cases(suite: str) -> tuple[Case, ...]:
    """The cases of a suite, in the order they run."""
    rows: tuple[Case, ...] = import_module(f"onnxpress_bench.suites.{suite}").CASES
    return rows
