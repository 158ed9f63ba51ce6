"""A few channels of what is between two products -> products of their own: the rest has an even range.

    y = MatMul(f(MatMul(x, A) + a), B)
    -> y = MatMul(f(MatMul(x, A') + a'), B') + MatMul(f(MatMul(x, A'') + a''), B'')

where A'' and a'' are the columns of these channels, B'' their rows, and A', a', B' the rest. `f` treats every channel
for itself, so that the answers are the same. Where a few channels are many times larger than all others, the rest bears
integers that all together would not. Nothing is copied, unlike where channels are taken out of their rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import (
    add_constant,
    add_node,
    axes,
    constant,
    consumers,
    remove_dead,
    replace,
    weights_of,
)

Places = NDArray[np.int64]

_REST, _APART = "rest", "apart"
#: What treats every channel for itself: of one value, or of one with a constant vector beside it.
_ALONE = frozenset({"Gelu", "FastGelu", "QuickGelu", "BiasGelu", "Relu", "Add"})


@dataclass(frozen=True, slots=True)
class Between:
    """What is between two products: `first`, the one that makes the channels; `steps`, in order, from it to the value;
    `readers`, the products that read the value."""

    first: onnx_ir.Node
    steps: tuple[onnx_ir.Node, ...]
    readers: tuple[onnx_ir.Node, ...]


def between(model: onnx_ir.Model, name: str) -> Between | None:
    """What makes and reads a value, if its channels can be split."""
    value = next((out for node in model.graph for out in node.outputs if out.name == name), None)
    if value is None or value.is_graph_output():
        return None
    readers = consumers(value)
    if not readers or not all(_multiplies(node, value) for node in readers):
        return None
    steps: list[onnx_ir.Node] = []
    node = value.producer()
    while node is not None and node.op_type in _ALONE:
        inner = [put for put in node.inputs if put is not None and constant(put) is None]
        if len(inner) != 1 or len(consumers(inner[0])) != 1 or inner[0].is_graph_output():
            return None
        if any(put is not None and put is not inner[0] and not _is_vector(put, value) for put in node.inputs):
            return None
        steps.insert(0, node)
        node = inner[0].producer()
    if node is None or not steps or not _multiplies(node, node.inputs[0]):
        return None
    return Between(node, tuple(steps), readers)


def split_channels(model: onnx_ir.Model, name: str, apart: Places) -> None:
    """Split these channels, (channels) in order, from a value that `between` found, in place.

    What is made of the rest is called as what was made of all, with `rest_of`.
    """
    known = between(model, name)
    if known is None:
        raise ValueError(f"the channels of {name} cannot be split")
    rest = rest_of(_width(known), apart)
    parts = [_part(model.graph, known, places, kind) for places, kind in ((rest, _REST), (apart, _APART))]
    for reader in known.readers:
        _read_both(model.graph, reader, parts, (rest, apart))
    remove_dead(model)


def rest_of(width: int, apart: Places) -> Places:
    """int64 (channels): all but these, in order."""
    return np.setdiff1d(np.arange(width), apart)


def name_of_rest(name: str) -> str:
    """What a value or a product is called that has all channels but those apart."""
    return f"{name}_{_REST}"


def _width(known: Between) -> int:
    weights = weights_of(known.first.inputs[1])
    assert weights is not None
    return int(weights.shape[1])


def _multiplies(node: onnx_ir.Node, value: onnx_ir.Value | None) -> bool:
    """Whether a node is a product of this value by constant weights of two axes."""
    if node.op_type != "MatMul" or node.domain or node.inputs[0] is not value:
        return False
    weights = weights_of(node.inputs[1])
    return weights is not None and weights.ndim == 2


def _is_vector(value: onnx_ir.Value, like: onnx_ir.Value) -> bool:
    array, width = constant(value), axes(like)
    return array is not None and width is not None and array.shape == (width[-1],)


def _part(graph: onnx_ir.Graph, known: Between, places: Places, kind: str) -> onnx_ir.Value:
    """Make these channels of the value."""
    first = known.first
    weights = weights_of(first.inputs[1])
    assert weights is not None
    value = _product(graph, first, first.inputs[0], weights[:, places], kind)
    for step in known.steps:
        inputs = [_of_step(graph, put, value, places, kind) for put in step.inputs]
        shape = (*(axes(step.outputs[0]) or ())[:-1], len(places))
        copy = add_node(
            known.steps[-1],
            step.op_type,
            inputs,
            dtype=step.outputs[0].dtype,
            shape=shape,
            attributes={name: attribute.value for name, attribute in step.attributes.items()},
            domain=step.domain,
        )
        copy.name = f"{step.outputs[0].name}_{kind}"
        value = copy
    return value


def _of_step(
    graph: onnx_ir.Graph, put: onnx_ir.Value | None, value: onnx_ir.Value, places: Places, kind: str
) -> onnx_ir.Value | None:
    array = None if put is None else constant(put)
    if put is None or array is None:
        return put if put is None else value
    return add_constant(graph, f"{put.name}_{kind}", array[places])


def _product(
    graph: onnx_ir.Graph, node: onnx_ir.Node, value: onnx_ir.Value | None, weights: NDArray[Any], kind: str
) -> onnx_ir.Value:
    name = f"{node.outputs[0].name}_{kind}"
    shape = (*(axes(node.outputs[0]) or ())[:-1], weights.shape[1])
    inputs = [value, add_constant(graph, f"{name}_weights", np.ascontiguousarray(weights))]
    product = add_node(node, "MatMul", inputs, dtype=node.outputs[0].dtype, shape=shape)
    product.name = name
    return product


def _read_both(
    graph: onnx_ir.Graph, reader: onnx_ir.Node, parts: Sequence[onnx_ir.Value], places: Sequence[Places]
) -> None:
    """Let a product be the sum of two, and take part in the sum that reads it, if it is one."""
    weights = weights_of(reader.inputs[1])
    assert weights is not None
    output = reader.outputs[0]
    products = [
        _product(graph, reader, part, weights[of_part], kind)
        for part, of_part, kind in zip(parts, places, (_REST, _APART), strict=True)
    ]
    others = consumers(output)
    if len(others) == 1 and others[0].op_type == "Sum" and not output.is_graph_output():
        (total,) = others
        terms = [term for term in total.inputs if term is not output]
        replace(total.outputs[0], add_node(total, "Sum", [*products, *terms], like=total.outputs[0]))
    else:
        replace(output, add_node(reader, "Add", products, like=output))
