"""Graphs that OpenVINO has compiled, with the few methods that the engine asks of ONNX Runtime's sessions.

The only importer of openvino. It reads the graphs of variants that have a form for it, and of others those whose
operators are all ONNX's own. A run cannot be ended while it computes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxpress.errors import MissingDependency

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class DeclaredTensor:
    """An input or output: `type` as ONNX Runtime calls it; `shape`, None for an axis of any size."""

    name: str
    type: str
    shape: list[int | None]


class CompiledGraph:
    """A graph that OpenVINO runs on a processor.

    Args:
        path: its `.onnx` file.
        threads: of one run.
        options: further properties, as OpenVINO names them.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int, options: Mapping[str, str]) -> None:
        openvino = import_openvino()
        properties = {"INFERENCE_NUM_THREADS": str(threads), "PERFORMANCE_HINT": "LATENCY", **options}
        core = openvino.Core()
        self._compiled = core.compile_model(core.read_model(os.fspath(path)), "CPU", properties)
        self._inputs = [_declared(port) for port in self._compiled.inputs]
        self._outputs = [_declared(port) for port in self._compiled.outputs]
        self._types = {tensor.name: tensor.type for tensor in self._inputs}
        #: Requests that no thread runs: one holds the memory of one run.
        self._idle: list[Any] = []
        self._lock = threading.Lock()

    def get_inputs(self) -> list[DeclaredTensor]:
        """What it takes."""
        return self._inputs

    def get_outputs(self) -> list[DeclaredTensor]:
        """What it returns."""
        return self._outputs

    def run(self, names: Sequence[str], inputs: Mapping[str, NDArray[Any]], options: object = None) -> list[Any]:
        """The outputs of these names. `options`: ONNX Runtime's, which mean nothing here.

        Raises:
            ValueError: an input is missing, unknown, or of another type: OpenVINO would convert it.
        """
        if self._types != {name: _onnx_type(str(array.dtype)) for name, array in inputs.items()}:
            raise ValueError("the inputs are not those of the graph")
        with self._lock:
            request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
        try:
            results = request.infer(dict(inputs), share_inputs=True)
            arrays = {tensor.name: results[place] for place, tensor in enumerate(self._outputs)}
        finally:
            with self._lock:
                self._idle.append(request)
        return [arrays[name] for name in names]


def import_openvino() -> ModuleType:
    """The openvino module.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise MissingDependency("OpenVINO is not installed: `pip install openvino`.") from error
    module: ModuleType = openvino
    return module


def _declared(port: Any) -> DeclaredTensor:
    kind = str(port.get_element_type().to_dtype())
    shape = [None if axis.is_dynamic else axis.get_length() for axis in port.get_partial_shape()]
    return DeclaredTensor(port.get_any_name(), _onnx_type(kind), shape)


def _onnx_type(dtype: str) -> str:
    """ONNX Runtime's name of numpy's dtype."""
    kind = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    return f"tensor({kind})"
