"""Graphs that ONNX Runtime has opened. Those of one process share the memory and the threads of a graph that several
sessions have open: same file, device, options and number of threads, all apart or none (`apart`). Its last session to
let go frees it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary

from onnxpress.engine.failures import first_line, is_bad_file, is_out_of_memory, out_of_memory
from onnxpress.engine.providers import GRAPH_CAPTURE, import_onnxruntime, index_of, provider_of
from onnxpress.engine.threads import Spinning, default_threads, spinning_of
from onnxpress.errors import CorruptFile, DeviceUnavailable, InputError, OnnxpressError, UnsupportedFormat

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

_log = logging.getLogger("onnxpress.engine")


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class OpenGraph:
    """ONNX Runtime's session of a graph, or what OpenVINO made of it, and the names of what it takes and returns, which
    every run asks for. `apart`: it is for runs that are apart from others."""

    session: InferenceSession
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    threads: int
    apart: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Unsaved:
    """A graph that lies in no file, and is not shared: `content`, a serialized ModelProto below 2 GB, whose external
    weights are in `weights`, by name, or else are mapped from the files in `folder`.

    `packed`: whether weights are copied in the order in which products read them: faster, and as large once more.
    """

    content: bytes
    folder: Path
    weights: Mapping[str, NDArray[Any]]
    packed: bool = True

    def __str__(self) -> str:
        return f"a graph beside {self.folder}"


@dataclass(slots=True)
class _Process:
    """The graphs that are open in one process, and a lock for each that is being opened."""

    graphs: WeakValueDictionary[Hashable, OpenGraph] = field(default_factory=WeakValueDictionary)
    locks: dict[Hashable, threading.Lock] = field(default_factory=dict)


#: By process: a forked child may use neither the graphs of its parent nor their locks.
_processes: dict[int, _Process] = {}


def open_graph(
    path: Path | Unsaved,
    device: str,
    threads: int | None,
    *,
    alternates: bool,
    crowded: bool,
    many_shapes: bool = False,
    apart: bool = False,
    options: Mapping[str, str] = MappingProxyType({}),
) -> OpenGraph:
    """The graph of a file, opened once for all who ask for it with the same arguments and keep it.

    Args:
        threads: None: as `default_threads` says.
        alternates: whether runs of it alternate with runs of other graphs of its session.
        crowded: whether other sessions want the cores, too. A graph that is open already stays as it was opened.
        many_shapes: whether runs are of ever other shapes.
        apart: whether it is opened a second time, for runs that are apart from the others: shared with such alone.
        options: of the execution provider, as `Provider.chosen` made them.

    Raises:
        CorruptFile, DeviceUnavailable, OutOfMemory, InputError: as `Session`.
    """
    process = _processes.setdefault(os.getpid(), _Process())
    threads = threads or default_threads()
    alternates = alternates or apart  # with the runs of the first opening
    patterns = not (alternates or many_shapes)
    if isinstance(path, Unsaved):
        alone = spinning_of(threads, alternates=alternates, crowded=crowded)
        return _load(path, device, threads, alone, options, patterns=patterns, apart=apart)
    key = (_identity(path), device, threads, apart, frozenset(options.items()))
    with process.locks.setdefault(key, threading.Lock()):
        graph = process.graphs.get(key)
        if graph is not None:
            _log.debug("%s: shared with another session", path)
            return graph
        # Where a process was forked that had graphs open, there are processes beside it that do the same.
        spinning = spinning_of(threads, alternates=alternates, crowded=crowded or len(_processes) > 1)
        started = time.perf_counter()
        graph = _load(path, device, threads, spinning, options, patterns=patterns, apart=apart)
        process.graphs[key] = graph
        _log.debug(
            "%s: opened on %s%s, threads %d, spinning %s, %.2f s", path, device, " apart" if apart else "", threads,
            spinning.name.lower(), time.perf_counter() - started,
        )  # fmt: skip
        return graph


def _identity(path: Path) -> Hashable:
    """What is another one where a file was replaced or changed."""
    try:
        status = path.stat()
    except OSError:
        return str(path)  # ONNX Runtime says why
    return str(path.resolve()), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _load(
    path: Path | Unsaved,
    device: str,
    threads: int,
    spinning: Spinning,
    chosen: Mapping[str, str],
    *,
    patterns: bool,
    apart: bool,
) -> OpenGraph:
    """Open a graph. `patterns`: whether what a run computes in between is laid out once for all runs of its shapes, in
    memory beside that of the first run, which stays with the graph, as the layout of every shape does."""
    row = provider_of(device)
    if row.compiles:
        return _compile(path, device, threads, row.options_of(index_of(device), chosen, threads))
    ort = import_onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # errors arrive as exceptions; nothing goes to stderr
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = patterns
    for entry in spinning.value:
        options.add_session_config_entry(*entry)
    if isinstance(path, Unsaved):
        # ONNX Runtime reads the arrays where they are, and as long as its session lives.
        values = [ort.OrtValue.ortvalue_from_numpy(array) for array in path.weights.values()]
        options.add_external_initializers(list(path.weights), values)
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.folder))
        if not path.packed:
            options.add_session_config_entry("session.disable_prepacking", "1")
    source = path.content if isinstance(path, Unsaved) else os.fspath(path)
    providers = [(row.name, row.options_of(index_of(device), chosen, threads))]
    try:
        # Without this, a device that fails makes ONNX Runtime print to stdout and go on with the CPU.
        session = ort.InferenceSession(source, options, providers=providers, enable_fallback=False)
    except Exception as error:  # onnxruntime's exceptions have no common base but Exception
        if is_out_of_memory(error):
            raise out_of_memory(path, device, error) from None
        if chosen.get(GRAPH_CAPTURE) == "1" and "graph capture" in str(error).lower():
            raise InputError(
                f"{path}: {device} cannot capture runs of this graph ({first_line(error)}). Leave {GRAPH_CAPTURE} out "
                "of provider_options."
            ) from None
        if row.own_memory and not is_bad_file(error):
            raise DeviceUnavailable(f"{device}: ONNX Runtime cannot start there ({first_line(error)}).") from None
        raise CorruptFile(
            f"{path}: ONNX Runtime {ort.__version__} cannot load this graph ({first_line(error)}). Export again, or "
            "upgrade onnxruntime."
        ) from None
    if row.name not in session.get_providers():
        raise DeviceUnavailable(f"{device}: ONNX Runtime could not start there. Check the driver and CUDA libraries.")
    takes, returns = (
        tuple(tensor.name for tensor in tensors) for tensors in (session.get_inputs(), session.get_outputs())
    )
    return OpenGraph(session, takes, returns, threads, apart)


def _compile(path: Path | Unsaved, device: str, threads: int, options: Mapping[str, str]) -> OpenGraph:
    """Open a graph through OpenVINO."""
    from onnxpress.engine.openvino_graphs import CompiledGraph

    if isinstance(path, Unsaved):
        raise InputError(f"{path}: {device} opens graphs in files alone.")
    try:
        graph = CompiledGraph(path, threads, options)
    except OnnxpressError:
        raise
    except Exception as error:  # openvino raises RuntimeError alone
        if is_out_of_memory(error):
            raise out_of_memory(path, device, error) from None
        if not path.is_file():
            raise CorruptFile(f"{path}: there is no such file.") from None
        raise UnsupportedFormat(
            f"{path}: OpenVINO cannot read this graph ({first_line(error)}). A tuned variant has a form for it: "
            "`onnxpress quantize ARTIFACT --precision fp32,int8 --tune`."
        ) from None
    takes, returns = (tuple(tensor.name for tensor in tensors) for tensors in (graph.get_inputs(), graph.get_outputs()))
    return OpenGraph(cast("InferenceSession", graph), takes, returns, threads)
