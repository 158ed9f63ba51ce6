"""A graph bound to arrays that stay where they are: runs that allocate nothing and copy nothing.

On a CPU the graph reads and writes the arrays' own memory; the same array may be bound as an input and as an output. On
another device every run copies all inputs there and all outputs back. Knows nothing of what the arrays mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.session import Session, explain, import_onnxruntime
from onnxpress.errors import InputError

Array = NDArray[Any]


class Binding:
    """The arrays that one graph's runs read and write. Not for several threads at once; several bindings are.

    The graph must not return a shape or dtype other than that of the array bound to an output.
    """

    def __init__(self, session: Session, graph: str = "model") -> None:
        self._session = session
        self._graph = graph
        self._inputs: dict[str, Array] = {}
        self._outputs: dict[str, Array] = {}
        self._returned: frozenset[str] = frozenset()
        self._live: Any = None
        self._io: Any = None

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array] | None = None) -> None:
        """Bind arrays by name, in place of those bound to these names; an array that is bound already costs nothing.

        Raises:
            InputError: an array is not contiguous, or the graph has no such input or output.
        """
        outputs = outputs or {}
        values: dict[int, Any] = {}
        for new, bound in ((inputs, self._inputs), (outputs, self._outputs)):
            for name, array in new.items():
                if bound.get(name) is array:
                    continue
                if not array.flags.c_contiguous:
                    raise InputError(f"{name}: only a contiguous array can be bound; pass np.ascontiguousarray of it.")
                if self._io is not None:
                    self._attach(self._io, name, array, bound is self._outputs, values)
                bound[name] = array

    def run(self) -> None:
        """Run the graph on what the arrays hold now.

        Raises:
            InputError: an input is missing or of the wrong dtype or shape, or an output's shape differs from its
                array's; or the session was closed.
        """
        live = self._session.opened(self._graph)
        try:
            if self._session.device != "cpu":
                self._copy(live)
                return
            if live is not self._live:  # the first run, or the first one in a forked child
                self._connect(live)
            live.run_with_iobinding(self._io)
        except InputError:
            raise
        except Exception as error:  # onnxruntime's exceptions have no common base but Exception
            raise explain(error, live, self._inputs, self._graph) from None

    def close(self) -> None:
        """Let go of the arrays."""
        self._live = self._io = None
        self._inputs, self._outputs = {}, {}

    def _connect(self, live: Any) -> None:
        io = live.io_binding()
        self._returned = frozenset(tensor.name for tensor in live.get_outputs())
        values: dict[int, Any] = {}
        for bound in (self._inputs, self._outputs):
            for name, array in bound.items():
                self._attach(io, name, array, bound is self._outputs, values)
        self._live, self._io = live, io

    def _attach(self, io: Any, name: str, array: Array, output: bool, values: dict[int, Any]) -> None:
        value = values.get(id(array))
        if value is None:  # an OrtValue over the array's memory, which it keeps alive
            value = values[id(array)] = import_onnxruntime().OrtValue.ortvalue_from_numpy(array)
        if output:  # ONNX Runtime takes any name for an output, and fails when it runs
            if name not in self._returned:
                raise InputError(f"Graph {self._graph!r} has no output {name!r}.")
            io.bind_ortvalue_output(name, value)
            return
        try:
            io.bind_ortvalue_input(name, value)
        except RuntimeError:
            raise InputError(f"Graph {self._graph!r} has no input {name!r}.") from None

    def _copy(self, live: Any) -> None:
        results = live.run(list(self._outputs), self._inputs)
        for name, result in zip(self._outputs, results, strict=True):
            array = self._outputs[name]
            if array.shape != result.shape:
                raise InputError(f"Graph {self._graph!r} returned {name} {result.shape}, bound is {array.shape}.")
            np.copyto(array, result, casting="no")
