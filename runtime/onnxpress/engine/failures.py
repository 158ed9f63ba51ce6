"""Explains why a graph could not be opened or run: the caller's inputs, the file, the memory, or the engine.

ONNX Runtime's exceptions have no common base but Exception, and one of them (Fail) stands for almost everything. What
it is about is read from the declared inputs, from the exception's class and, last, from its message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from onnxpress.errors import EngineError, InputError, OnnxpressError, OutOfMemory

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, NodeArg

#: What messages about memory say: ONNX Runtime's arenas, the C++ library, CUDA and its libraries.
_OUT_OF_MEMORY = (
    "failed to allocate memory", "bad_alloc", "bad allocation", "out of memory", "outofmemory", "_alloc_failed",
    "available memory of",
)  # fmt: skip

#: What messages say of inputs that a kernel refuses: their shapes do not fit each other or the graph, or an id is
#: outside of its table. Bound runs fail with RuntimeError alone, so that nothing but the message tells.
_REFUSED = (
    "out of data bounds", "cannot be reshaped", "attempting to broadcast", "dimension mismatch",
    "dimensions must match", "mismatched dimensions", "incompatible dimensions", "invalid expand shape",
    "got invalid dimensions", "invalid rank", "shape mismatch", "unexpected input data type",
    "unexpected output data type", "output ortvalue provided",
)  # fmt: skip

#: Classes that say that the file cannot be used, on whatever device.
_BAD_FILE = frozenset({"InvalidGraph", "InvalidProtobuf", "NoSuchFile", "NotImplemented", "NoModel"})


class Shaped(Protocol):
    """An array, or a buffer."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


def explain(error: Exception, session: InferenceSession, inputs: Mapping[str, Shaped], graph: str) -> OnnxpressError:
    """The error that says why a graph does not run on these inputs.

    InputError where the inputs are wrong: one is missing, unknown, of the wrong dtype, rank or shape, or holds what the
    graph refuses, such as an id outside a table. OutOfMemory and EngineError otherwise.
    """
    reason = first_line(error)
    shapes = ", ".join(f"{name}: {array.dtype} {tuple(array.shape)}" for name, array in inputs.items())
    if is_out_of_memory(error):
        return OutOfMemory(f"Graph {graph!r} needs more memory than there is for {shapes} ({reason}).")
    misfit = _misfit({tensor.name: tensor for tensor in session.get_inputs()}, inputs, graph)
    if misfit is not None:
        return InputError(misfit)
    message = str(error).lower()
    if _class(error) == "InvalidArgument" or any(words in message for words in _REFUSED):
        return InputError(f"Graph {graph!r} cannot run on {shapes} ({reason}).")
    return EngineError(f"Graph {graph!r} failed on {shapes} ({reason}).")


def _misfit(declared: Mapping[str, NodeArg], inputs: Mapping[str, Shaped], graph: str) -> str | None:
    """Compare inputs with what a graph declares, and describe the first mismatch; None where there is none."""
    missing, unknown = sorted(set(declared) - set(inputs)), sorted(set(inputs) - set(declared))
    if missing or unknown:
        return f"Graph {graph!r} takes {sorted(declared)}; missing: {missing}, unknown: {unknown}."
    sizes: dict[str, tuple[str, int]] = {}  # axis -> an input that has it, and its size there
    for name, tensor in declared.items():
        array = inputs[name]
        wanted = dtype_name(tensor.type)
        if str(array.dtype) != wanted:
            return f"{name}: {array.dtype}, but graph {graph!r} wants {wanted}."
        shape = tuple(array.shape)
        if len(shape) != len(tensor.shape):
            return f"{name}: {len(shape)} axes, but graph {graph!r} wants {tensor.shape}."
        for axis, size in zip(tensor.shape, shape, strict=True):
            if isinstance(axis, int) and axis != size:
                return f"{name}: {shape}, but graph {graph!r} wants {tensor.shape}."
            if isinstance(axis, str) and sizes.setdefault(axis, (name, size))[1] != size:
                other, other_size = sizes[axis]
                return f"{name} and {other} do not fit each other: {axis} is {size} in one, {other_size} in the other."
    return None


def dtype_name(onnx_type: str) -> str:
    """numpy's name of a dtype that ONNX Runtime calls "tensor(float)"; ONNX Runtime's own where numpy has none."""
    kind = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64", "string": "object"}.get(kind, kind)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception of ONNX Runtime is about memory."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(words in message for words in _OUT_OF_MEMORY)


def is_bad_file(error: BaseException) -> bool:
    """Whether an exception of ONNX Runtime, on opening a graph, is about its file and not about the device."""
    return _class(error) in _BAD_FILE


def out_of_memory(graph: object, device: str, error: BaseException) -> OutOfMemory:
    """The error that says that a graph does not fit into memory."""
    return OutOfMemory(f"{graph}: there is not enough memory on {device} to open this graph ({first_line(error)}).")


def first_line(error: BaseException) -> str:
    """The first line of a message, shortened in the middle: it begins with the node, and ends with the reason."""
    lines = str(error).strip().splitlines()
    line = lines[0] if lines else type(error).__name__
    return line if len(line) <= 300 else f"{line[:120]} ... {line[-175:]}"


def _class(error: BaseException) -> str:
    return type(error).__name__
