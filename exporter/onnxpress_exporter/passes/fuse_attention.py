"""softmax(scale * Q K^T + bias) V over heads -> com.microsoft MultiHeadAttention.

    q, k, v: (batch, sequence, heads * size), split into heads by Reshape and Transpose
    Softmax(Add(... Mul(MatMul(Q, K^T), scale) ..., bias ...)) @ V, merged by Transpose and Reshape
    -> MultiHeadAttention(q, k, v, [biases of the projections], key_padding_mask, attention_bias)

A padding mask becomes `key_padding_mask`: int32 (batch, keys), 1 to keep; every other bias is
added up as `attention_bias`: float (batch or 1, heads or 1, queries, keys). Attention whose heads
are rotated (RoPE) between split and product is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir

from onnxpress_exporter.passes.graph import (
    MICROSOFT,
    add_constant,
    add_node,
    attribute_int,
    attribute_ints,
    axes,
    constant,
    consumers,
    nodes,
    producer,
    rank,
    remove_dead,
    replace,
    scalar,
)
from onnxpress_exporter.passes.simplify_mask import MASKED


@dataclass(frozen=True, slots=True)
class _Attention:
    """One attention found: `merged` is its result, (batch, queries, heads, size)."""

    softmax: onnx_ir.Node
    q: onnx_ir.Value
    k: onnx_ir.Value
    v: onnx_ir.Value
    heads: int
    scale: float
    biases: tuple[onnx_ir.Value, ...]
    merged: onnx_ir.Node


def fuse_attention(model: onnx_ir.Model) -> int:
    """Fuse every attention of `model` that has this form, in place; how many were fused."""
    count = 0
    shared: dict[tuple[int, ...], onnx_ir.Value] = {}
    for softmax in nodes(model, "Softmax"):
        attention = _match(softmax)
        if attention is not None and _fuse(model, attention, shared):
            count += 1
    if count:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return count


def _match(softmax: onnx_ir.Node) -> _Attention | None:
    scores = softmax.inputs[0]
    if rank(scores) != 4 or attribute_int(softmax, "axis", -1) not in (-1, 3):
        return None
    product = _only_reader(softmax.outputs[0], "MatMul")
    if product is None or product.inputs[0] is not softmax.outputs[0]:
        return None
    biases: list[onnx_ir.Value] = []
    scale, scaled = 1.0, False
    node = producer(scores, "Add", "Mul", "Div", "MatMul")
    while node is not None and node.op_type != "MatMul":
        inner, other = _towards_product(node)
        if inner is None or other is None:
            return None
        if node.op_type == "Add":
            if scaled:  # the factor outside would multiply this bias too
                return None
            biases.insert(0, other)
        else:
            number = scalar(other)
            if not number:
                return None
            scale, scaled = scale * number if node.op_type == "Mul" else scale / number, True
        node = producer(inner, "Add", "Mul", "Div", "MatMul")
    if node is None:
        return None
    q = _heads(node.inputs[0], (0, 2, 1, 3))
    k = _heads(node.inputs[1], (0, 2, 3, 1))
    v = _heads(product.inputs[1], (0, 2, 1, 3))
    merged = _only_reader(product.outputs[0], "Transpose")
    if q is None or k is None or v is None or merged is None:
        return None
    if attribute_ints(merged, "perm") != (0, 2, 1, 3) or not q[1] == k[1] == v[1]:
        return None
    if any(reader.op_type != "Reshape" for reader in consumers(merged.outputs[0])):
        return None
    return _Attention(softmax, q[0], k[0], v[0], q[1][0], scale, tuple(biases), merged)


def _only_reader(value: onnx_ir.Value, op_type: str) -> onnx_ir.Node | None:
    readers = consumers(value)
    if len(readers) != 1 or readers[0].op_type != op_type or value.is_graph_output():
        return None
    return readers[0]


def _towards_product(
    node: onnx_ir.Node,
) -> tuple[onnx_ir.Value | None, onnx_ir.Value | None]:
    """The operand that leads to Q K^T, and the other one."""
    first, second = node.inputs
    if _leads_to_product(first):
        return first, second
    if node.op_type != "Div" and _leads_to_product(second):
        return second, first
    return None, None


def _leads_to_product(value: onnx_ir.Value | None) -> bool:
    node = producer(value, "Add", "Mul", "Div", "MatMul")
    if node is None:
        return False
    if node.op_type == "MatMul":
        return _heads(node.inputs[0], (0, 2, 1, 3)) is not None
    return _leads_to_product(node.inputs[0]) or _leads_to_product(node.inputs[1])


def _heads(value: onnx_ir.Value | None, perm: tuple[int, ...]) -> tuple[onnx_ir.Value, tuple[int, int]] | None:
    """The projection that `value` splits into heads, with (heads, size)."""
    transpose = producer(value, "Transpose")
    if transpose is None or attribute_ints(transpose, "perm") != perm:
        return None
    reshape = producer(transpose.inputs[0], "Reshape")
    if reshape is None:
        return None
    shape, source = axes(reshape.outputs[0]), reshape.inputs[0]
    flat = axes(source)
    if source is None or shape is None or flat is None or len(shape) != 4 or len(flat) != 3:
        return None
    heads, size = shape[2], shape[3]
    if not isinstance(heads, int) or not isinstance(size, int) or flat[2] != heads * size:
        return None
    return source, (heads, size)


def _fuse(model: onnx_ir.Model, attention: _Attention, shared: dict[tuple[int, ...], onnx_ir.Value]) -> bool:
    graph = model.graph
    scores = axes(attention.softmax.inputs[0])
    padding, rest = _padding_mask(attention.biases)
    for bias in rest:
        shape = axes(bias)
        if shape is None or scores is None or len(shape) != 4 or shape[2:] != scores[2:]:
            return False
    mask = None
    if padding is not None:
        mask = _shared_int_mask(padding, shared)
    attention_bias = _sum(rest, attention.softmax, shared)
    q, k, v, projections = _without_biases(graph, attention)
    merged = axes(attention.merged.outputs[0])
    if merged is None:
        return False
    queries, width = merged[:2], attention.heads * int(str(merged[3]))
    output = add_node(
        attention.merged,
        "MultiHeadAttention",
        [q, k, v, projections, mask, attention_bias],
        dtype=attention.q.dtype,
        shape=(*queries, width),
        attributes={
            "num_heads": attention.heads,
            "scale": float(np.float32(attention.scale)),
            "mask_filter_value": MASKED,
        },
        domain=MICROSOFT,
    )
    _read_merged(attention.merged, output)
    return True


def _padding_mask(
    biases: tuple[onnx_ir.Value, ...],
) -> tuple[onnx_ir.Value | None, tuple[onnx_ir.Value, ...]]:
    """Split off the bias that only hides padding: its mask, (batch, keys) of 0 and 1, and the rest."""
    for index, bias in enumerate(biases):
        where = producer(bias, "Where")
        if where is None or scalar(where.inputs[1]) != 0 or scalar(where.inputs[2]) != MASKED:
            continue
        unsqueeze = producer(where.inputs[0], "Unsqueeze")
        cast = None if unsqueeze is None else producer(unsqueeze.inputs[0], "Cast")
        shape = axes(bias)
        if cast is None or shape is None or shape[1:3] != (1, 1):
            continue
        mask = cast.inputs[0]
        if mask is not None and rank(mask) == 2 and mask.dtype == onnx_ir.DataType.INT64:
            return mask, (*biases[:index], *biases[index + 1 :])
    return None, biases


def _shared_int_mask(mask: onnx_ir.Value, shared: dict[tuple[int, ...], onnx_ir.Value]) -> onnx_ir.Value:
    key = (id(mask),)
    if key not in shared:
        reader = min(consumers(mask), key=_position)
        shared[key] = add_node(
            reader,
            "Cast",
            [mask],
            like=mask,
            dtype=onnx_ir.DataType.INT32,
            attributes={"to": int(onnx_ir.DataType.INT32)},
        )
    return shared[key]


def _position(node: onnx_ir.Node) -> int:
    graph = node.graph
    return -1 if graph is None else next(i for i, other in enumerate(graph) if other is node)


def _sum(
    biases: tuple[onnx_ir.Value, ...],
    before: onnx_ir.Node,
    shared: dict[tuple[int, ...], onnx_ir.Value],
) -> onnx_ir.Value | None:
    """The biases added up; layers that share them share the sum."""
    if not biases:
        return None
    total = biases[0]
    for bias in biases[1:]:
        key = (id(total), id(bias))
        if key not in shared:
            shape = [b if a == 1 else a for a, b in zip(axes(total) or (), axes(bias) or (), strict=True)]
            shared[key] = add_node(before, "Add", [total, bias], dtype=bias.dtype, shape=shape)
        total = shared[key]
    return total


def _without_biases(
    graph: onnx_ir.Graph, attention: _Attention
) -> tuple[onnx_ir.Value, onnx_ir.Value, onnx_ir.Value, onnx_ir.Value | None]:
    """The three projections before their biases, and these joined; as they are if one has none."""
    plain: list[onnx_ir.Value] = []
    vectors = []
    for value in (attention.q, attention.k, attention.v):
        add = producer(value, "Add")
        if add is None or len(consumers(value)) != 1:
            break
        pairs = ((add.inputs[0], add.inputs[1]), (add.inputs[1], add.inputs[0]))
        for source, other in pairs:
            vector = constant(other)
            if vector is not None and vector.ndim == 1 and source is not None:
                plain.append(source)
                vectors.append(vector)
                break
    if len(plain) != 3:
        return attention.q, attention.k, attention.v, None
    name = f"{plain[0].name}_qkv_bias"
    return plain[0], plain[1], plain[2], add_constant(graph, name, np.concatenate(vectors))


def _read_merged(merged: onnx_ir.Node, output: onnx_ir.Value) -> None:
    """Let the readers of the merged heads, (batch, queries, heads, size), read the flat `output`."""
    for node in consumers(merged.outputs[0]):
        flat = axes(node.outputs[0])
        if flat is not None and len(flat) == 3:
            replace(node.outputs[0], output)
        else:
            node.replace_input_with(0, output)
