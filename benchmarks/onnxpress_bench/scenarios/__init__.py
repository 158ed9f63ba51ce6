"""What is measured of a loaded backend, in MLPerf's terms. A new scenario is one function and one row in SCENARIOS.

single-stream: one item at a time. multi-stream: queries of several items at once. offline: everything handed over at
once, texts of one length. mixed: the same with a real distribution of lengths. server: arrivals that do not wait.
rate, single, neighbours, overload and streams: of servers over HTTP. generation, translation and audio: what their
protocols in backends add. (Reddi et al., MLPerf Inference Benchmark, ISCA 2020.)

Samples are named with their unit; measures.py says how they become figures. This module knows no backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from onnxpress_bench.backends import Backend, Batching

Samples = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Work:
    """The items, and how long to work on them.

    `shapes`: "rows x tokens" -> queries, each of so many items. `stream`: items of mixed length; `uniform`: of one.
    `latency_s` and `warm_up_s` count for each shape. `tokenization` "apart": only the model's part is timed.
    `parameters`: scenario -> what it alone needs.
    """

    shapes: Mapping[str, Sequence[Sequence[Any]]]
    stream: Sequence[Any]
    uniform: Sequence[Any]
    batching: Batching
    latency_s: float
    warm_up_s: float
    tokenization: str = "included"
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


Scenario = Callable[[Backend, Work], Samples]

#: name -> module and function; a worker imports only what it is asked for.
SCENARIOS: Mapping[str, tuple[str, str]] = {
    "single-stream": ("closed", "single_stream"),
    "multi-stream": ("closed", "multi_stream"),
    "offline": ("closed", "offline"),
    "mixed": ("closed", "mixed"),
    "server": ("server", "server"),
    "rate": ("serving", "rate"),
    "single": ("serving", "single"),
    "neighbours": ("serving", "neighbours"),
    "overload": ("serving", "overload"),
    "streams": ("serving", "streams"),
    "generation": ("writing", "generation"),
    "audio": ("writing", "audio"),
    "translation": ("writing", "translation"),
}


def scenario(name: str) -> Scenario:
    """The function of a row of SCENARIOS."""
    module, function = SCENARIOS[name]
    function_of_row: Scenario = getattr(import_module(f"onnxpress_bench.scenarios.{module}"), function)
    return function_of_row
