"""Runs graphs, by name or role, on one device: takes named arrays and returns named arrays.

A session opens its graphs at the first run, may be used from several threads, reopens in a forked child and after
unpickling, and frees its memory when closed. Sessions of one process share the graphs that they have in common. It
knows nothing of text, tokens or tasks.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from onnxpress.engine.apart import is_apart
from onnxpress.engine.bounds import check_bounds
from onnxpress.engine.capture import numbered
from onnxpress.engine.failures import dtype_name, explain
from onnxpress.engine.held_memory import HeldMemory
from onnxpress.engine.open_graphs import OpenGraph, Unsaved, open_graph
from onnxpress.engine.providers import (
    GRAPH_CAPTURE,
    import_onnxruntime,
    index_of,
    parse_device,
    provider_of,
    require_device,
)
from onnxpress.engine.stopping import run_options
from onnxpress.engine.threads import MOST_THREADS, default_threads
from onnxpress.errors import InputError, OnnxpressError, SessionClosed

if TYPE_CHECKING:  # numpy too: `import onnxpress` does without it
    from numpy.typing import NDArray
    from onnxruntime import RunOptions

    from onnxpress.format.model import Adapter
    from onnxpress.layouts.artifact import Artifact

    Arrays = Mapping[str, NDArray[Any]]

#: Sessions of a parent process, kept in a forked child: destroying one would wait for threads that fork did not copy.
_of_parent: list[object] = []


class Watcher(Protocol):
    """Anything that keeps an opened graph and lets go of it when the session closes."""

    def disconnect(self, *, apart_alone: bool = False) -> None:
        """Let go of the graph: its session is being closed, or what it has open for runs apart."""


@dataclass(eq=False, slots=True)
class _Opening:
    """The graphs that a session has open, by name and by role, and what is held while one of them is opened."""

    graphs: dict[str | None, OpenGraph] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Session:
    """Runs one or more graphs on one device.

    Args:
        graphs: graph name -> `.onnx` file. The files are trusted: `Artifact.graphs` checks them. Or graphs that
            were not written. Or an artifact, its folder or its Hub id, whose variant is chosen as a pipeline chooses.
        device: "cpu", "cuda", "cuda:N" or "openvino"; also what transformers takes: -1 (CPU) or the number of a GPU.
        threads: threads of one run; None: what the environment says, or else the cores this process may use.
        roles: role -> the name of the graph that has it. A role names its graph wherever a graph is named.
        crowded: whether other sessions of this process want the cores, too.
        alternates: whether its runs alternate with those of other sessions, as where they are compared: threads that
            spin after one's run would take a core from the next one's.
        many_shapes: whether its runs are of ever other shapes, as a server's: nothing is kept for each of them.
        bounds: graph -> input -> rows of the table that its whole numbers are read from.
        adapters: graph -> what stands between a graph of another tool and those who call it.
        provider_options: what to say to the device's execution provider, such as {"gpu_mem_limit": 2**32}, in place of
            what is usual here; docs/usage.md lists what there is.

    Raises:
        InputError: there is no such device or option.
        DeviceUnavailable: the device is not here. Never a silent fall to the CPU.
        MissingDependency: onnxruntime is not installed.
    """

    def __init__(
        self,
        graphs: Mapping[str, Path | Unsaved] | Artifact | str | Path,
        *,
        device: object = None,
        threads: int | None = None,
        roles: Mapping[str, str] | None = None,
        crowded: bool = False,
        alternates: bool = False,
        many_shapes: bool = False,
        bounds: Mapping[str, Mapping[str, int]] | None = None,
        adapters: Mapping[str, Adapter] | None = None,
        provider_options: Mapping[str, object] | None = None,
    ) -> None:
        if threads is not None and (not isinstance(threads, int) or isinstance(threads, bool) or threads < 1):
            raise InputError(f"threads must be a positive integer or None, not {threads!r}.")
        if threads is not None and threads > MOST_THREADS:
            raise InputError(f"threads={threads} are more than any machine has use for: at most {MOST_THREADS}.")
        self.device = parse_device(device)
        self.provider_options = provider_of(self.device).chosen(provider_options or {})
        if not isinstance(graphs, Mapping):
            graphs, roles, bounds, adapters = _of_artifact(graphs, self.device)
        self.graphs = dict(graphs)
        self.roles = dict(roles or {})
        self.bounds = dict(bounds or {})
        self.adapters = {name: adapter for name, adapter in (adapters or {}).items() if adapter}
        self.threads = threads
        self._crowded, self._alternates, self._many_shapes = crowded, alternates, many_shapes
        require_device(self.device)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        #: Held by every run where some are captured: ONNX Runtime captures for one thread at a time.
        self._capturing = threading.Lock()
        self._pid = os.getpid()
        #: Of runs as they come, and of those that are apart (`apart`).
        self._usual, self._apart = _Opening(), _Opening()
        self._watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
        self._closed = False
        self._held = HeldMemory()

    def run(self, inputs: Arrays, graph: str | None = None) -> dict[str, NDArray[Any]]:
        """Run one graph; every output by name.

        Args:
            graph: its name or its role; None: the session's only graph.

        Raises:
            InputError: an input is missing, unknown, of the wrong dtype or shape, or holds what the graph refuses, or
                an id that no table has a row for.
            EngineError: the engine failed: there is too little memory, or a kernel or the device failed.
            CorruptFile: ONNX Runtime cannot load the graph.
            SessionClosed: the session was closed.
            Cancelled, TimeoutExceeded: the call that the run is part of has to end.
        """
        opened = self.opened(graph)
        _check_arrays(inputs)
        if self.bounds:
            check_bounds(inputs, self.bounds.get(self.name_of(graph), {}))
        adapter, outputs = self.adapter(graph), opened.outputs
        if adapter is not None:
            inputs, outputs = self._adapted(adapter, inputs, opened)
        try:
            with self.running(inputs) as options:
                results = opened.session.run(opened.outputs, inputs, options)
        except OnnxpressError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            raise explain(error, opened.session, inputs, self.name_of(graph)) from None
        return dict(zip(outputs, results, strict=True))

    def adapter(self, graph: str | None) -> Adapter | None:
        """What stands between a graph and its callers; None: nothing, as with every graph of ours."""
        return self.adapters.get(self.name_of(graph)) if self.adapters else None

    @staticmethod
    def _adapted(adapter: Adapter, inputs: Arrays, opened: OpenGraph) -> tuple[Arrays, tuple[str, ...]]:
        from onnxpress.engine.adapting import adapt_inputs, adapt_outputs

        dtypes = {tensor.name: dtype_name(tensor.type) for tensor in opened.session.get_inputs()}
        return adapt_inputs(adapter, inputs, dtypes), tuple(adapt_outputs(adapter, opened.outputs))

    @contextmanager
    def running(self, inputs: Arrays = MappingProxyType({}), number: int | None = None) -> Iterator[RunOptions | None]:
        """The options of a run, for the engine's own modules. `number`: of a run that is captured.

        Where runs are captured there is one at a time, and no memory is given back: what is captured goes on writing
        there.
        """
        if self.captures:
            with self._capturing, run_options(numbered(number)) as options:
                yield options
        else:
            with run_options(self._giving_back(inputs) if inputs else None) as options:
                yield options

    def _giving_back(self, inputs: Arrays) -> RunOptions | None:
        """Options of a run after which ONNX Runtime gives memory back; None: it does not."""
        if self._opening is self._apart:  # whoever has runs apart closes what is open for them
            return None
        if not self._held.gives_back(max((array.size for array in inputs.values()), default=0)):
            return None
        options = import_onnxruntime().RunOptions()
        row = provider_of(self.device)
        name = "gpu" if row.own_memory else "cpu"
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", f"{name}:{index_of(self.device)}")
        return options

    def input_dtype(self, name: str, graph: str | None = None) -> str:
        """numpy's name of the dtype that an input has in this variant of a graph.

        Raises:
            InputError: there is no such input.
        """
        tensors = {tensor.name: tensor for tensor in self.opened(graph).session.get_inputs()}
        if (adapter := self.adapter(graph)) is not None:
            name = adapter.names.get(name, name)
        if name not in tensors:
            raise InputError(f"Graph {self.name_of(graph)!r} has no input {name!r}; it has: {', '.join(tensors)}.")
        return dtype_name(tensors[name].type)

    def name_of(self, graph: str | None) -> str:
        """The name of a graph that is called by its name or its role; None: the session's only graph.

        Raises:
            InputError: there is no such graph, or there are several and none is named.
        """
        name = next(iter(self.graphs)) if graph is None and len(self.graphs) == 1 else graph
        if name in self.graphs:
            return name
        if name in self.roles:
            return self.roles[name]
        there_are = ", ".join(self.graphs)
        if name is None:
            raise InputError(f"Name the graph to run; there are: {there_are}.")
        raise InputError(f"There is no graph {name!r}; there are: {there_are}.")

    def warm(self) -> None:
        """Open every graph now, in this process, instead of at the first run."""
        for graph in self.graphs:
            self.opened(graph)

    @property
    def captures(self) -> bool:
        """Whether runs that are numbered are captured."""
        return self.provider_options.get(GRAPH_CAPTURE) == "1"

    @property
    def may_be_apart(self) -> bool:
        """Whether runs can be apart from others (`apart`)."""
        row = provider_of(self.device)
        return not (row.own_memory or row.compiles or self.captures)

    @property
    def has_apart(self) -> bool:
        """Whether graphs are open for runs that are apart."""
        return bool(self._apart.graphs)

    @property
    def used_threads(self) -> int:
        """Threads of one run, whoever chose their number."""
        return self.threads or default_threads()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def ready(self) -> bool:
        """Whether every graph is open in this process: after a fork they are not, until the first run or `warm`."""
        return (
            self._pid == os.getpid() and not self._closed and all(graph in self._usual.graphs for graph in self.graphs)
        )

    def close(self) -> None:
        """Free the memory of graphs that no other session has open, and give it back to the system. A closed session
        cannot run again."""
        with self._lock:
            self._closed = True
        self.rest()

    def rest(self, *, apart_alone: bool = False) -> None:
        """Free the memory of its graphs until the next run, which opens them again.

        Args:
            apart_alone: of what is open for runs apart, while no run is there; the others go on.
        """
        for opening in (self._apart,) if apart_alone else (self._usual, self._apart):
            with opening.lock:
                opening.graphs.clear()
        with self._lock:
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.disconnect(apart_alone=apart_alone)
        _return_memory()

    def watch(self, watcher: Watcher) -> None:
        """Note a watcher, which is told when the session closes."""
        with self._lock:
            self._watchers.add(watcher)

    def opened(self, graph: str | None) -> OpenGraph:
        """Open a graph, for the engine's own modules. A forked child opens its own.

        Raises:
            InputError: there is no such graph.
            SessionClosed: the session was closed.
        """
        if self._pid != os.getpid():  # a forked child: the threads of these sessions stayed in the parent
            closed = self._closed
            _of_parent.extend((self._usual, self._apart))
            self._reset()
            self._closed = closed
        opening = self._opening
        opened = opening.graphs.get(graph)
        if opened is not None:
            return opened
        with opening.lock:
            if self._closed:
                raise SessionClosed("This session was closed. Make a new pipeline.")
            name = self.name_of(graph)
            if name not in opening.graphs:
                opening.graphs[name] = open_graph(
                    *(self.graphs[name], self.device, self.threads),
                    alternates=self._alternates or len(self.graphs) > 1,
                    crowded=self._crowded,
                    many_shapes=self._many_shapes,
                    apart=opening is self._apart,
                    options=self.provider_options,
                )
            opening.graphs[graph] = opening.graphs[name]
            return opening.graphs[name]

    @property
    def _opening(self) -> _Opening:
        """Where this thread's runs are."""
        return self._apart if is_apart() and self.may_be_apart else self._usual

    def __getstate__(self) -> dict[str, Any]:
        return {
            "graphs": self.graphs,
            "roles": self.roles,
            "device": self.device,
            "provider_options": self.provider_options,
            "threads": self.threads,
            "closed": self._closed,
            "crowded": self._crowded,
            "alternates": self._alternates,
            "many_shapes": self._many_shapes,
            "bounds": self.bounds,
            "adapters": self.adapters,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.graphs, self.roles = state["graphs"], state["roles"]
        self.device, self.threads = state["device"], state["threads"]
        self.provider_options, self.bounds = state["provider_options"], state["bounds"]
        self.adapters = state["adapters"]
        self._reset()
        self._closed, self._crowded, self._alternates = state["closed"], state["crowded"], state["alternates"]
        self._many_shapes = state["many_shapes"]


def _of_artifact(
    source: Artifact | str | Path, device: str
) -> tuple[dict[str, Path], dict[str, str], dict[str, dict[str, int]], Mapping[str, Adapter]]:
    """The graphs of an artifact's usual variant on a device, the names of their roles, their inputs' bounds, and what
    adapts them."""
    from onnxpress.engine.choice import choose
    from onnxpress.layouts.artifact import Artifact

    artifact = source if isinstance(source, Artifact) else Artifact.open(source)
    manifest = artifact.manifest
    choice = choose(manifest, None, device)
    graphs = artifact.graphs(choice.precision, choice.form.form)
    roles = {graph.role: name for name, graph in manifest.graphs.items()}
    return graphs, roles, manifest.table_rows(), artifact.adapters


def _check_arrays(inputs: object) -> None:
    """Refuse what is no array, before anything asks for its size.

    Raises:
        InputError: what it is, and how to pass it.
    """
    if not isinstance(inputs, Mapping):
        raise InputError(f"A graph's inputs are arrays by name, {{'input_ids': array}}, not {type(inputs).__name__}.")
    for name, array in inputs.items():
        # Of its type: an array makes its interface anew for whoever asks, and Python keeps room for each of its names.
        kind = type(array)
        if not all(hasattr(kind, attribute) for attribute in ("dtype", "shape", "nbytes", "__array_interface__")):
            raise InputError(
                f"{name}: a {type(array).__name__}, and a graph takes arrays of numpy: pass numpy.asarray(value), of "
                "the dtype that Session.input_dtype(name) tells; onnxpress.load(...) takes lists and tensors."
            )


def _return_memory() -> None:
    """glibc keeps freed memory for itself; give it back to the system, where that is possible."""
    if sys.platform == "linux":
        try:
            ctypes.CDLL(None).malloc_trim(0)
        except (OSError, AttributeError):  # another C library, such as musl
            return
