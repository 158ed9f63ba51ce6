"""Binds a graph to arrays and buffers that stay in place, so that runs allocate nothing and copy only what they must.

On a CPU a graph reads and writes the arrays' own memory, and nothing is copied; the same array may be bound as an input
and as an output. A device with memory of its own reads and writes buffers in place just so; what is bound to arrays on
the host is copied there before each run, and back after it. Knows nothing of what the arrays mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.adapting import adapt_outputs
from onnxpress.engine.buffers import Buffer, allocate, of_array
from onnxpress.engine.capture import new_number
from onnxpress.engine.device_memory import DeviceMemory
from onnxpress.engine.failures import dtype_name, explain
from onnxpress.engine.open_graphs import OpenGraph
from onnxpress.engine.providers import import_onnxruntime, index_of, provider_of
from onnxpress.engine.session import Session
from onnxpress.errors import DeviceUnavailable, InputError, OnnxpressError

Array = NDArray[Any]

#: Where arrays that share a block begin: at multiples of so many bytes, as vectors of a processor want them.
_ALIGNED = 64


class Binding:
    """The arrays and buffers that one graph reads and writes. Each thread needs a binding of its own, whose runs are
    apart from others where the thread's are (`apart`).

    The graph must not return a shape or dtype other than that of what is bound to an output. A buffer on a device is
    for inputs that the graph reads there: one that it reads on the host is copied when it is bound, and not later.

    Args:
        graph: its name or its role; None: the session's only graph.
        captured: whether the runs are captured, in a session that captures: outputs and inputs are buffers on the
            device, but for those that the graph reads on the host, whose numbers never change.
    """

    def __init__(self, session: Session, graph: str | None = None, *, captured: bool = False) -> None:
        self._session = session
        self._provider = provider_of(session.device)
        if self._provider.compiles:
            raise DeviceUnavailable(
                f"{session.device} runs models that read; nothing is bound there, as models that write need it. Pass "
                f'device="{self._provider.target}".'
            )
        self._graph = graph
        self._inputs: dict[str, Array | Buffer] = {}
        self._outputs: dict[str, Array | Buffer] = {}
        self._opened: OpenGraph | None = None
        self._io: Any = None
        self._captured = captured and session.captures
        self._number = new_number() if self._captured else None
        #: Inputs that travel in every run, as ONNX Runtime knows them: it copies an array when it is bound.
        self._travelling: dict[str, Any] = {}
        session.watch(self)

    def bind(self, inputs: Mapping[str, Array | Buffer], outputs: Mapping[str, Array | Buffer] | None = None) -> None:
        """Bind arrays or buffers by name, in place of those bound to these names; what is bound already costs nothing.

        Raises:
            InputError: an array is not contiguous, a buffer is on another device than the session, or the graph has no
                such input or output.
        """
        values: dict[int, Any] = {}
        for new, bound in ((inputs, self._inputs), (outputs or {}, self._outputs)):
            for name, value in new.items():
                if bound.get(name) is value:
                    continue
                self._check(name, value)
                if self._io is not None:
                    self._attach(name, value, bound is self._outputs, values)
                bound[name] = value
                self._number = new_number() if self._captured else None  # the captured run has other addresses

    def run(self) -> None:
        """Run the graph on what the arrays and buffers hold now.

        Raises:
            InputError: an input is missing or of the wrong dtype or shape, or an output's shape differs from that of
                what is bound to it.
            SessionClosed: the session was closed.
            Cancelled, TimeoutExceeded: the call that the run is part of has to end.
            EngineError: the engine failed, or there is too little memory.
        """
        self._run(())

    def run_to_device(self) -> dict[str, Any]:
        """Run the graph; every output by name, as a tensor of ONNX Runtime's that the device allocates for this run.

        For `run_to_buffers`. Raises what `run` does.
        """
        names = self._session.opened(self._graph).outputs
        self._run(names)
        adapter = self._session.adapter(self._graph)
        ours = names if adapter is None else adapt_outputs(adapter, names)
        return dict(zip(ours, self._io.get_outputs(), strict=True))

    def _run(self, allocated: Sequence[str]) -> None:
        """Run; the device allocates the outputs of these names."""
        opened = self._session.opened(self._graph)
        try:
            if opened is not self._opened:  # the first run, the first one in a forked child, or apart from others
                self._connect(opened)
            io = self._io
            for name, value in self._travelling.items():
                io.bind_ortvalue_input(name, value)
            for name in allocated:
                io.bind_output(name, self._provider.memory, index_of(self._session.device))
            with self._session.running(number=self._number) as options:
                opened.session.run_with_iobinding(io, options)
        except OnnxpressError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            raise explain(error, opened.session, self._inputs, self._session.name_of(self._graph)) from None

    def close(self) -> None:
        """Let go of the arrays and buffers."""
        self.disconnect()
        self._inputs, self._outputs = {}, {}

    def disconnect(self, *, apart_alone: bool = False) -> None:
        """Let go of the graph, whose session is being closed, or what it has open for runs apart."""
        if apart_alone and (self._opened is None or not self._opened.apart):
            return
        self._opened = self._io = None
        self._travelling = {}

    def _check(self, name: str, value: Array | Buffer) -> None:
        if isinstance(value, Buffer):
            if not value.on_host and value.device != self._session.device:
                raise InputError(f"{name}: a buffer on {value.device} cannot be bound on {self._session.device}.")
        elif not value.flags.c_contiguous:
            raise InputError(f"{name}: only a contiguous array can be bound; pass np.ascontiguousarray of it.")

    def _connect(self, opened: OpenGraph) -> None:
        self._opened, self._io, self._travelling = opened, opened.session.io_binding(), {}
        self._number = new_number() if self._captured else None
        values: dict[int, Any] = {}
        try:
            for bound in (self._inputs, self._outputs):
                for name, value in bound.items():
                    self._attach(name, value, bound is self._outputs, values)
        except BaseException:
            self.disconnect()
            raise

    def _attach(self, name: str, value: Array | Buffer, output: bool, values: dict[int, Any]) -> None:
        """Tell ONNX Runtime of an array or buffer; `values` holds, by id, the arrays that this call has told it of."""
        assert self._opened is not None
        if (adapter := self._session.adapter(self._graph)) is not None:
            name = adapter.names.get(name, name)
        # ONNX Runtime takes any name for an output, and fails when it runs.
        if name not in (self._opened.outputs if output else self._opened.inputs):
            graph = self._session.name_of(self._graph)
            raise InputError(f"Graph {graph!r} has no {'output' if output else 'input'} {name!r}.")
        self._travelling.pop(name, None)
        row = self._provider
        if isinstance(value, Buffer) and not value.on_host:
            place = (row.memory, index_of(value.device), value.dtype, value.shape, value.address)
            (self._io.bind_output if output else self._io.bind_input)(name, *place)
            return
        array = value.array if isinstance(value, Buffer) else value
        known = values.get(id(array))
        if known is None:  # an OrtValue over the array's memory, which it keeps alive
            known = values[id(array)] = import_onnxruntime().OrtValue.ortvalue_from_numpy(array)
        if output:
            self._io.bind_ortvalue_output(name, known)
        elif row.own_memory:
            self._travelling[name] = known
        else:
            self._io.bind_ortvalue_input(name, known)


def run_to_buffers(
    session: Session, inputs: Mapping[str, Array | Buffer], graph: str | None = None
) -> dict[str, Buffer]:
    """Run one graph; every output by name, as a buffer on the session's device, from which nothing is copied.

    Args:
        graph: its name or its role; None: the session's only graph.

    Raises:
        InputError: an input is missing, unknown, of the wrong dtype or shape, on another device, or holds what the
            graph refuses.
        EngineError: the engine failed, or there is too little memory.
    """
    row = provider_of(session.device)
    if not row.own_memory:
        arrays = {name: value.array if isinstance(value, Buffer) else value for name, value in inputs.items()}
        return {name: of_array(array) for name, array in session.run(arrays, graph).items()}
    binding = Binding(session, graph)
    binding.bind(inputs)
    values = binding.run_to_device()
    binding.close()
    return {name: _on_device(session.device, value) for name, value in values.items()}


def run_parts(session: Session, inputs: Mapping[str, Array], rows: int, graph: str | None = None) -> dict[str, Buffer]:
    """Run one graph for at most so many rows of its inputs after the other, on a device without memory of its own.

    Every output by name, those of all rows side by side. What the graph computes in between takes the memory of these
    rows.

    Raises: as `run_to_buffers`.
    """
    count = len(next(iter(inputs.values())))
    each = -(-count // -(-count // rows))  # as many parts, of about equal size
    places = [slice(start, start + each) for start in range(0, count, each)]
    parts = [{name: array[place] for name, array in inputs.items()} for place in places]
    joined = _room(session, graph, count)
    if joined is None:
        results = [session.run(part, graph) for part in parts]
        if len(results) == 1:
            return {name: of_array(array) for name, array in results[0].items()}
        return {name: of_array(np.concatenate([part.pop(name) for part in results])) for name in list(results[0])}
    binding = Binding(session, graph)
    try:
        for place, part in zip(places, parts, strict=True):  # each output is written where it stays
            binding.bind(part, {name: array[place] for name, array in joined.items()})
            binding.run()
    finally:
        binding.close()
    return {name: of_array(array) for name, array in joined.items()}


def _room(session: Session, graph: str | None, rows: int) -> dict[str, Array] | None:
    """Arrays for the outputs of so many rows; None: a row's shape depends on the inputs, or nothing can be bound.

    They are parts of one block: what is large goes back to the system with its last array, while the C library keeps
    arrays of less than 32 MB, in which those of the next call do not fit.
    """
    if provider_of(session.device).compiles or session.adapter(graph) is not None:
        return None
    tensors = session.opened(graph).session.get_outputs()
    if not all(isinstance(size, int) for tensor in tensors for size in tensor.shape[1:]):
        return None
    shapes = {tensor.name: (rows, *tensor.shape[1:]) for tensor in tensors}
    dtypes = {tensor.name: np.dtype(dtype_name(tensor.type)) for tensor in tensors}
    sizes = [-(-math.prod(shapes[name]) * dtypes[name].itemsize // _ALIGNED) * _ALIGNED for name in shapes]
    block = allocate((sum(sizes),), np.uint8)
    block.gather()
    starts = [0, *accumulate(sizes)]
    return {
        name: block.array[start : start + math.prod(shape) * dtypes[name].itemsize].view(dtypes[name]).reshape(shape)
        for start, (name, shape) in zip(starts, shapes.items(), strict=False)
    }


def _on_device(device: str, value: Any) -> Buffer:
    return Buffer(DeviceMemory(device, value), tuple(value.shape()), np.dtype(dtype_name(value.data_type())))
