"""What passes share: look up who made a value, read constants, put nodes in, take dead ones out.

Knows no pattern of any model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir

MICROSOFT = "com.microsoft"


def producer(value: onnx_ir.Value | None, *op_types: str) -> onnx_ir.Node | None:
    """The node that makes `value`, if its operator is one of `op_types`."""
    node = None if value is None else value.producer()
    if node is None or node.op_type not in op_types or node.domain not in ("", MICROSOFT):
        return None
    return node


def constant(value: onnx_ir.Value | None) -> npt.NDArray[Any] | None:
    """The array of a constant; None for anything computed or given, among it a default that a caller may override."""
    if value is None or value.is_graph_input():
        return None
    node = value.producer()
    if node is not None:
        attribute = node.attributes.get("value") if node.op_type == "Constant" else None
        return None if attribute is None else attribute.as_tensor().numpy()
    return None if value.const_value is None else value.const_value.numpy()


def stored_weights(value: onnx_ir.Value | None) -> onnx_ir.Value | None:
    """The constant that a product's weights are, or are the transpose of: the same for all who share them."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "Transpose" and attribute_ints(node, "perm") in ((), (1, 0)):
        value = node.inputs[0]
    return None if value is None or constant(value) is None else value


def weights_of(value: onnx_ir.Value | None) -> npt.NDArray[Any] | None:
    """The array of a constant, or of a constant transposed, as tied and shared weights are read; None for the rest."""
    stored = stored_weights(value)
    array = constant(stored)
    return array.T if array is not None and array.ndim == 2 and stored is not value else constant(value)


def scalar(value: onnx_ir.Value | None) -> float | None:
    """The number in a constant of one element."""
    array = constant(value)
    return float(array.reshape(())) if array is not None and array.size == 1 else None


def ints(value: onnx_ir.Value | None) -> tuple[int, ...] | None:
    """A small constant of integers, such as axes or a permutation, flattened."""
    array = constant(value)
    if array is None or array.size > 16 or array.dtype.kind not in "iu":
        return None
    return tuple(int(number) for number in array.ravel())


def attribute_ints(node: onnx_ir.Node, name: str) -> tuple[int, ...]:
    """An attribute that is a list of integers; empty if the node does not have it."""
    attribute = node.attributes.get(name)
    return () if attribute is None else tuple(attribute.as_ints())


def attribute_int(node: onnx_ir.Node, name: str, default: int) -> int:
    """An attribute that is an integer."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def attribute_float(node: onnx_ir.Node, name: str, default: float) -> float:
    """An attribute that is a number."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_float()


def rank(value: onnx_ir.Value | None) -> int | None:
    """Number of axes, if known."""
    return None if value is None or value.shape is None else len(value.shape)


def axes(value: onnx_ir.Value | None) -> tuple[int | str | None, ...] | None:
    """Sizes and names of the axes, if the rank is known."""
    if value is None or value.shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape)


def consumers(value: onnx_ir.Value) -> tuple[onnx_ir.Node, ...]:
    """The nodes that read `value`, each once, in no particular order."""
    return tuple({id(use.node): use.node for use in value.uses()}.values())


def add_node(
    before: onnx_ir.Node,
    op_type: str,
    inputs: Sequence[onnx_ir.Value | None],
    *,
    like: onnx_ir.Value | None = None,
    shape: Sequence[int | str | None] | None = None,
    dtype: onnx_ir.DataType | None = None,
    attributes: Mapping[str, Any] | None = None,
    domain: str = "",
) -> onnx_ir.Value:
    """Insert a node of one output before `before`; its output, typed and shaped as `like` or as told."""
    node = onnx_ir.node(op_type, inputs, dict(attributes or {}), domain=domain)
    output = node.outputs[0]
    if like is not None:
        output.shape = like.shape
        dtype = dtype or like.dtype
    if shape is not None:
        output.shape = onnx_ir.Shape(shape)
    if dtype is not None:
        # A type object of its own: that of `like` belongs to that value.
        output.type = onnx_ir.TensorType(dtype)
    graph = before.graph
    if graph is None:
        raise ValueError(f"{before.op_type} is in no graph")
    graph.insert_before(before, node)
    return output


def add_constant(graph: onnx_ir.Graph, name: str, array: npt.NDArray[Any]) -> onnx_ir.Value:
    """An initializer holding `array`; one of that name is reused if it holds the same."""
    array = np.ascontiguousarray(array) if array.ndim else array
    known = graph.initializers.get(name)
    if known is not None:
        same = constant(known)
        if same is not None and same.dtype == array.dtype and np.array_equal(same, array):
            return known
        return add_constant(graph, f"{name}_", array)
    value = onnx_ir.Value(name=name, const_value=onnx_ir.tensor(array, name=name))
    value.dtype = onnx_ir.DataType.from_numpy(array.dtype)
    value.shape = onnx_ir.Shape(array.shape)
    graph.register_initializer(value)
    return value


def number(graph: onnx_ir.Graph, value: float) -> onnx_ir.Value:
    """A float32 constant of one number."""
    array = np.array(value, np.float32)
    return add_constant(graph, f"number_{array.item():.9g}", array)


def zero_point(graph: onnx_ir.Graph, zero: int, kind: npt.DTypeLike) -> onnx_ir.Value:
    """A constant of one integer of this type: which one stands for 0."""
    return add_constant(graph, f"zero_{np.dtype(kind).name}_{zero}", np.array(zero, kind))


def unused_name(graph: onnx_ir.Graph, name: str) -> str:
    """`name`, with as many underscores after it as make it no other value's."""
    taken = {output.name for node in graph.all_nodes() for output in node.outputs}
    taken |= {value.name for value in (*graph.inputs, *graph.initializers.values())}
    while name in taken:
        name += "_"
    return name


def replace(old: onnx_ir.Value, new: onnx_ir.Value) -> None:
    """Let everything that reads `old` read `new`; a graph output keeps its name."""
    name, is_output = old.name, old.is_graph_output()
    onnx_ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    if is_output:
        old.name, new.name = None, name


def remove_dead(model: onnx_ir.Model) -> None:
    """Take out nodes and initializers whose values nobody reads."""
    graph = model.graph
    for node in reversed(list(graph)):
        if not any(output.uses() or output.is_graph_output() for output in node.outputs):
            for inner in _nodes_within(node):  # branches and bodies read values of the graph around them
                for place in range(len(inner.inputs)):
                    inner.replace_input_with(place, None)
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]


def _nodes_within(node: onnx_ir.Node) -> list[onnx_ir.Node]:
    """The nodes of the graphs that a node has as attributes, at any depth."""
    graphs = [
        graph
        for attribute in node.attributes.values()
        for graph in (
            [attribute.as_graph()]
            if attribute.type == onnx_ir.AttributeType.GRAPH
            else attribute.as_graphs()
            if attribute.type == onnx_ir.AttributeType.GRAPHS
            else []
        )
    ]
    return [inner for graph in graphs for inner in onnx_ir.traversal.RecursiveGraphIterator(graph)]


def all_nodes(model: onnx_ir.Model) -> list[onnx_ir.Node]:
    """The nodes of the main graph and of all graphs inside it."""
    return list(onnx_ir.traversal.RecursiveGraphIterator(model.graph))


def nodes(model: onnx_ir.Model, *op_types: str) -> Iterator[onnx_ir.Node]:
    """The main graph's nodes of these operators, listed first so that the graph may change."""
    yield from [node for node in model.graph if node.op_type in op_types]
