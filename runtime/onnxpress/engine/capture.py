"""Runs that a device records once and plays again, without asking the host for each kernel.

What is played again reads and writes the addresses of the first run, and takes its numbers on the host for constants: a
captured run has every input and output in buffers on the device, and those that it reads on the host never change. Only
runs whose caller numbers them are captured. (docs/decisions/0045-capture.md)
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from onnxpress.engine.providers import import_onnxruntime

if TYPE_CHECKING:
    from onnxruntime import RunOptions

#: ONNX Runtime's name of the number, and that of a run which is not captured.
NUMBER = "gpu_graph_id"
_NOT_CAPTURED = -1

_numbers = count(1)


def new_number() -> int:
    """A number that no captured run of this process has."""
    return next(_numbers)


def numbered(number: int | None) -> RunOptions:
    """The options of a run in a session that captures; None: the run is not captured."""
    options: RunOptions = import_onnxruntime().RunOptions()
    options.add_run_config_entry(NUMBER, str(_NOT_CAPTURED if number is None else number))
    return options
