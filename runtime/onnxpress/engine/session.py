"""Graphs by name: named arrays in, named arrays out. The only importer of onnxruntime.

A session opens its graphs at the first run, may be used from several threads, reopens in a forked child and after
unpickling, and frees its memory when closed. It knows nothing of text, tokens or tasks.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.engine.machine import usable_cores
from onnxpress.errors import (
    CorruptFile,
    DeviceUnavailable,
    InputError,
    MissingDependency,
    OnnxpressError,
)

if TYPE_CHECKING:  # numpy too: `import onnxpress` does without it
    from types import ModuleType

    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    Arrays = Mapping[str, NDArray[Any]]

#: device family -> ONNX Runtime's name for what runs it.
PROVIDERS: Mapping[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

#: ONNX Runtime's names of types whose numpy name is another.
_DTYPES: Mapping[str, str] = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}

#: Sessions of a parent process, kept in a forked child: destroying one would wait for threads that fork did not copy.
_of_parent: list[object] = []


class Session:
    """Runs one or more graphs on one device.

    Args:
        graphs: graph name -> `.onnx` file. The files are trusted: `Artifact.graphs` checks them.
        device: "cpu", "cuda" or "cuda:N"; also what transformers takes: -1 (CPU) or the number of a GPU.
        threads: threads of one run; None: the cores this process may use.

    Raises:
        DeviceUnavailable: the device is not here. Never a silent fall to the CPU.
        MissingDependency: onnxruntime is not installed.
    """

    def __init__(self, graphs: Mapping[str, Path], *, device: object = None, threads: int | None = None) -> None:
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise InputError(f"threads must be a positive integer or None, not {threads!r}.")
        self.graphs = dict(graphs)
        self.device = parse_device(device)
        self.threads = threads
        require_device(self.device)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._open: dict[str, InferenceSession] = {}
        self._closed = False

    def run(self, inputs: Arrays, graph: str = "model") -> dict[str, NDArray[Any]]:
        """Run one graph; every output by name.

        Raises:
            InputError: an input is missing, unknown, or of the wrong dtype or rank.
            CorruptFile: ONNX Runtime cannot load the graph.
        """
        session = self.opened(graph)
        names = [output.name for output in session.get_outputs()]
        try:
            results = session.run(names, dict(inputs))
        except Exception as error:
            raise explain(error, session, inputs, graph) from None
        return dict(zip(names, results, strict=True))

    def input_dtype(self, name: str, graph: str = "model") -> str:
        """numpy's name of the dtype that an input has in this variant of a graph.

        Raises:
            InputError: there is no such input.
        """
        types = {one.name: one.type for one in self.opened(graph).get_inputs()}
        if name not in types:
            raise InputError(f"Graph {graph!r} has no input {name!r}; it has: {', '.join(types)}.")
        return _DTYPES.get(types[name], types[name])

    def warm(self) -> None:
        """Open every graph now instead of at the first run."""
        for graph in self.graphs:
            self.opened(graph)

    def close(self) -> None:
        """Free the graphs' memory. A closed session cannot run again."""
        with self._lock:
            self._open.clear()
            self._closed = True
        _return_memory()

    def opened(self, graph: str) -> InferenceSession:
        """ONNX Runtime's own session of a graph, for `session_binding`: another one in a forked child."""
        if self._pid != os.getpid():  # a forked child: the threads of these sessions stayed in the parent
            closed = self._closed
            _of_parent.append(self._open)
            self._reset()
            self._closed = closed
        session = self._open.get(graph)
        if session is not None:
            return session
        with self._lock:
            if self._closed:
                raise InputError("This session was closed. Make a new pipeline.")
            if graph not in self.graphs:
                raise InputError(f"There is no graph {graph!r}; there are: {', '.join(self.graphs)}.")
            if graph not in self._open:
                self._open[graph] = _open(self.graphs[graph], self.device, self.threads)
            return self._open[graph]

    def __getstate__(self) -> dict[str, Any]:
        return {
            "graphs": self.graphs,
            "device": self.device,
            "threads": self.threads,
            "closed": self._closed,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.graphs, self.device, self.threads = state["graphs"], state["device"], state["threads"]
        self._reset()
        self._closed = state["closed"]


def parse_device(device: object) -> str:
    """The canonical name of a device: "cpu" or "cuda:N".

    Raises:
        InputError: not the name of a device.
    """
    if device is None or device == -1:
        return "cpu"
    if isinstance(device, int) and not isinstance(device, bool) and device >= 0:
        return f"cuda:{device}"
    family, _, index = str(device).partition(":")
    if family == "cpu" and index in ("", "0"):
        return "cpu"
    if family == "cuda" and (index == "" or index.isdecimal()):
        return f"cuda:{int(index or 0)}"
    raise InputError(f'{device!r} is not a device. Use "cpu", "cuda" or "cuda:N".')


def require_device(device: str) -> None:
    """Make sure that the installed ONNX Runtime can use a device, named as `parse_device` names it.

    Raises:
        DeviceUnavailable: it cannot.
        MissingDependency: onnxruntime is not installed.
    """
    family = device.partition(":")[0]
    available = import_onnxruntime().get_available_providers()
    if PROVIDERS[family] not in available:
        raise DeviceUnavailable(
            f"{device} was asked for, but the installed ONNX Runtime cannot use it. Install onnxpress[gpu] instead of "
            'onnxpress[cpu] (the two exclude each other), or pass device="cpu".'
        )


def import_onnxruntime() -> ModuleType:
    """The onnxruntime module.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependency(
            "ONNX Runtime is not installed: `pip install onnxpress[cpu]`, or `pip install onnxpress[gpu]` for CUDA."
        ) from error
    module: ModuleType = onnxruntime
    return module


def _open(path: Path, device: str, threads: int | None) -> InferenceSession:
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors arrive as exceptions; nothing goes to stderr
    options.intra_op_num_threads = threads or usable_cores()
    options.inter_op_num_threads = 1
    family, _, index = device.partition(":")
    provider: Any = PROVIDERS[family]
    if family == "cuda":
        provider = (provider, {"device_id": int(index)})
    try:
        session = ort.InferenceSession(os.fspath(path), options, providers=[provider])
    except Exception as error:  # onnxruntime's exceptions have no common base but Exception
        if family != "cpu":
            raise DeviceUnavailable(f"{device}: ONNX Runtime cannot start there ({_first_line(error)}).") from None
        raise CorruptFile(
            f"{path}: ONNX Runtime {ort.__version__} cannot load this graph ({_first_line(error)}). Export again, or "
            "upgrade onnxruntime."
        ) from None
    if PROVIDERS[family] not in session.get_providers():
        raise DeviceUnavailable(f"{device}: ONNX Runtime could not start there. Check the driver and CUDA libraries.")
    return session


def explain(error: Exception, session: InferenceSession, inputs: Arrays, graph: str) -> OnnxpressError:
    """The error that says why a graph does not run on these inputs."""
    declared = {tensor.name: tensor for tensor in session.get_inputs()}
    missing, unknown = sorted(set(declared) - set(inputs)), sorted(set(inputs) - set(declared))
    if missing or unknown:
        return InputError(f"Graph {graph!r} takes {sorted(declared)}; missing: {missing}, unknown: {unknown}.")
    for name, tensor in declared.items():
        array = inputs[name]
        if array.ndim != len(tensor.shape):
            return InputError(f"{name}: {array.ndim} axes, but graph {graph!r} wants {tensor.shape}.")
    shapes = ", ".join(f"{name}: {array.dtype} {array.shape}" for name, array in inputs.items())
    return InputError(f"Graph {graph!r} cannot run on {shapes} ({_first_line(error)}).")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _return_memory() -> None:
    """glibc keeps freed memory for itself; give it back to the system, where that is possible."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (OSError, AttributeError):  # another C library, such as musl
            return
