"""The record of one run: settings, what was measured, what failed. Data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxpress_bench.limits import Limits
from onnxpress_bench.machine import Machine

#: The backend that the others are compared with.
BASE = "pytorch"


@dataclass(frozen=True, slots=True)
class Settings:
    """`blocks`: fresh processes per backend. The seconds are per block: for each shape, and for the stream as the
    slowest backend runs it, which decides how many items the stream has. `tokenization` "apart" leaves it out of
    latencies. `control`: whether one backend ran twice, under two names. `lengths`: where the stream's lengths come
    from."""

    blocks: int
    latency_s: float
    warm_up_s: float
    stream_s: float
    threads: int
    seed: int
    device: str = "cpu"
    scenarios: tuple[str, ...] = ("single-stream", "mixed")
    shapes: tuple[str, ...] = ("1x16", "1x128")
    tokenization: str = "included"
    lengths: str = "mixed"
    control: bool = True
    server_p99_ms: float | None = None
    server_rate_per_s: float | None = None
    server_queries: int = 300


@dataclass(frozen=True, slots=True)
class Run:
    """One process: its samples by name, each name ending in its unit, and what disturbed it (`resources.between`)."""

    backend: str
    block: int
    samples: Mapping[str, tuple[float, ...]]
    noise: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """A worker that failed; `block` is None in the pilot. Its backend is left out from there on."""

    backend: str
    block: int | None
    message: str


@dataclass(frozen=True, slots=True)
class BackendInfo:
    """What is known of a backend before anything is timed.

    `batching`: how it ran the stream; `rates`: items per second of each batching that the pilot tried. `quality`:
    figures against the base's answers, which the base has none of, and with labelled rows the task's own metric, which
    all have; None for what is no number. `model_bytes` and `install_bytes` on disk.
    `padding_share`: of all tokens it computed for the stream, those that were padding. `control_of`: the backend that
    this one is a copy of.
    """

    name: str
    kind: str
    about: str
    batching: str = ""
    rates: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, float | None] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    model_bytes: int | None = None
    install_bytes: int | None = None
    padding_share: float | None = None
    control_of: str | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that one run measured.

    `base`: the backend that the others are compared with. `same_weights`: whether the checkpoint's weights are those
    that the artifact was made from; None: not known. `tokens`: mean tokens of an item, by shape, and of "stream" and
    "uniform". `flops`: floating point operations of one query, by shape, and `product_bytes`: the float32 weights that
    they read (PyTorch's count). `cache_bytes`: keys and values in float32 of the longest text that is written. `order`:
    the backends of each block, in the order they ran.
    """

    task: str
    model: str
    checkpoint: str
    same_weights: bool | None
    command: str
    created: str
    machine: Machine
    versions: Mapping[str, str]
    settings: Settings
    base: str
    unit: str
    stream_items: int
    tokens: Mapping[str, float]
    flops: Mapping[str, float]
    product_bytes: float | None
    limits: Limits | None
    backends: tuple[BackendInfo, ...]
    order: tuple[tuple[str, ...], ...]
    runs: tuple[Run, ...]
    failures: tuple[Failure, ...]
    interrupted: bool
    cache_bytes: float | None = None

    def backend(self, name: str) -> BackendInfo:
        """The backend of that name."""
        return next(backend for backend in self.backends if backend.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """All backends, the base first, without the control."""
        names = [backend.name for backend in self.backends if backend.control_of is None]
        return tuple(sorted(names, key=lambda name: name != self.base))

    @property
    def control(self) -> BackendInfo | None:
        """The copy of another backend, if one ran."""
        return next((backend for backend in self.backends if backend.control_of is not None), None)
