"""The project's own results: tables of cases, run by `make bench`, that back every figure in RESULTS.md and the README.

A suite is a file NAME.toml of cases; SUITES names them. Add a case, or a suite, and it is run, recorded in
benchmarks/results/, by kind of processor, and shown. This module knows nothing of how a case is run.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

from onnxpress.format.schema import decode
from onnxpress_bench.suites.targets import Target

#: The repository: suites run in a working copy.
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the harness. `model`: a row of shapes.MODELS. `settings`: what differs from a full run's settings.
    `precisions`: variants of the artifact that are measured. `heldout`: measure the task's metric on labelled rows made
    for the model; `judged_docstrings`: compare answers on so many docstrings, in place of a few texts of the stream.

    `inputs`: as `workloads.Sizes` names them. A `task` without an artifact takes the checkpoint.

    In the file, a case or a target with `over` stands for many: one for each way to take an entry of each of its lists.
    An entry's texts fill the places with their names, its numbers are fields."""

    name: str
    model: str
    backends: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    measure_limits: bool = False
    task: str = "sentence-similarity"
    precisions: tuple[str, ...] = ("fp32",)
    heldout: bool = False
    judged_docstrings: int = 0
    inputs: Mapping[str, Any] = field(default_factory=dict)


#: name, which is that of the file with its cases -> its heading in RESULTS.md.
SUITES: Mapping[str, str] = {
    "fp32": "Encoders in float32",
    "int8": "Encoders, quantized",
    "generation": "Models that write",
    "speech": "Speech",
    "vit": "Pictures, by transformers",
    "resnet": "Pictures, by convolutions",
    "clip": "Pictures, by labels that a call names",
    "serving": "Servers",
    "peers": "Every peer",
}


@cache
def cases(suite: str) -> tuple[Case, ...]:
    """The cases of a suite, in the order they run.

    Raises:
        ArtifactError: the file has a field that a case does not have, or one of the wrong type.
    """
    path = Path(__file__).with_name(f"{suite}.toml")
    rows = tomllib.loads(path.read_text(encoding="utf-8"))["case"]
    return tuple(_case(case, path.name) for row in rows for case in _expanded(row, {}))


def _case(row: Mapping[str, Any], where: str) -> Case:
    options: dict[str, Any] = {
        name: {option: tuple(value) if isinstance(value, list) else value for option, value in row[name].items()}
        for name in ("settings", "inputs")
        if name in row
    }
    return replace(decode(Case, {name: value for name, value in row.items() if name not in options}, where), **options)


def _expanded(row: Mapping[str, Any], known: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for entries in product(*row.get("over", ())):
        chosen = {name: value for entry in entries for name, value in entry.items()}
        texts = {**known, **{name: value for name, value in chosen.items() if isinstance(value, str)}}
        numbers = {name: value for name, value in chosen.items() if not isinstance(value, str)}
        case = {
            name: value.format(**texts) if isinstance(value, str) else value
            for name, value in row.items()
            if name not in ("over", "targets")
        }
        targets = [target for child in row.get("targets", ()) for target in _expanded(child, texts)]
        yield {**case, **numbers, **({"targets": targets} if targets else {})}
