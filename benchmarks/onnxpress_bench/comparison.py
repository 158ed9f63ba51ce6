"""The record of one run: settings, what was measured, what failed. Data only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxpress_bench.machine import Machine

#: The backend that the others are compared with.
BASE = "pytorch"


@dataclass(frozen=True, slots=True)
class Settings:
    """`blocks`: fresh processes per backend. The seconds are per block: for each class of lengths, and for the stream
    as PyTorch runs it, which decides how many items the stream has."""

    blocks: int
    latency_s: float
    warm_up_s: float
    stream_s: float
    threads: int
    seed: int


@dataclass(frozen=True, slots=True)
class Run:
    """One process: its samples by name, each name ending in its unit."""

    backend: str
    block: int
    samples: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Failure:
    """A worker that failed; `block` is None in the pilot. Its backend is left out from there on."""

    backend: str
    block: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that one run measured.

    `same_weights`: whether the checkpoint's weights are those that the artifact was made from; None: not known.
    `tokens`: mean tokens of the texts, by class of lengths and for "stream". `batchings`: how each backend ran the
    stream; `rates`: items per second of each batching that the pilot tried. `quality`: figures against PyTorch, by
    backend. `order`: the backends of each block, in the order they ran.
    """

    task: str
    artifact: str
    checkpoint: str
    same_weights: bool | None
    command: str
    created: str
    machine: Machine
    versions: Mapping[str, str]
    settings: Settings
    unit: str
    stream_items: int
    tokens: Mapping[str, float]
    backends: Sequence[str]
    batchings: Mapping[str, str]
    rates: Mapping[str, Mapping[str, float]]
    quality: Mapping[str, Mapping[str, float]]
    order: Sequence[Sequence[str]]
    runs: Sequence[Run]
    failures: Sequence[Failure]
    interrupted: bool
