"""Attention over long texts takes the memory of its result, not that of its scores.

More than 1,024 tokens -> a branch of its own, where attention
- in plain products goes through the queries block by block (`attention_blocks`);
- of one node, MultiHeadAttention, reads no mask unless something is padded: ONNX Runtime then goes through the keys
  block by block.

Scores are (heads, tokens, tokens): of a text of 8,000 tokens 3 GB at 12 heads, and several of these at once. The
branches hold no weights. Shorter texts are computed by the nodes that were there; `whole_attention` puts them back.
"""

from __future__ import annotations

import numpy as np
import onnx_ir

from onnxpress_exporter.passes import LONG_TOKENS
from onnxpress_exporter.passes.attention_blocks import (
    QUERIES,
    PlainAttention,
    attend,
    find_attention,
    in_blocks,
    is_of_all_pairs,
    whole_bias,
)
from onnxpress_exporter.passes.graph import add_constant, add_node, axes, nodes, remove_dead, replace
from onnxpress_exporter.passes.maskless_attention import mask_of_padding, without_mask
from onnxpress_exporter.passes.subgraph import NewNodes

#: The names of the branches, by which they are found again.
LONG, SHORT = "long", "short"

_INT64, _BOOL = onnx_ir.DataType.INT64, onnx_ir.DataType.BOOL


def long_attention(model: onnx_ir.Model) -> int:
    """Rewrite every attention over the tokens of an input, in place; how many there were."""
    branches = _Branches(model)
    count = 0
    for node in nodes(model, "Softmax", "MultiHeadAttention"):
        attention = find_attention(node)
        if attention is not None:
            count += branches.split_products(attention)
        elif mask_of_padding(node) is not None:
            count += branches.split_node(node)
    if count:
        remove_dead(model)
    return count


class _Branches:
    """Splits the attentions of one model."""

    def __init__(self, model: onnx_ir.Model) -> None:
        self._graph = model.graph
        self._long: dict[str, onnx_ir.Value | None] = {}
        self._biases: dict[int, onnx_ir.Value] = {}

    def split_products(self, attention: PlainAttention) -> bool:
        """Split one in plain products; whether it is over the tokens of an input."""
        is_long, output = self._is_long(attention.queries, QUERIES), attention.mixed.outputs[0]
        if is_long is None:
            return False
        short = NewNodes(f"{output.name}_{SHORT}")
        biases = {id(bias): self._short_bias(bias, attention.tokens, is_long) for bias in attention.biases}
        operands = attention.queries, attention.turned(short), attention.values
        result = attend(short, attention, *operands, biases, shaped=True)
        long = NewNodes(f"{output.name}_{LONG}")
        self._split(attention.mixed, is_long, long, in_blocks(self._graph, long, attention), short, result)
        return True

    def split_node(self, node: onnx_ir.Node) -> bool:
        """Split one of one node; whether it is over the tokens of an input."""
        queries, output = node.inputs[0], node.outputs[0]
        is_long = None if queries is None else self._is_long(queries, 1)
        if is_long is None:
            return False
        short, long = (NewNodes(f"{output.name}_{name}") for name in (SHORT, LONG))
        self._split(node, is_long, long, without_mask(self._graph, long, node), short, short.copy(node, node.inputs))
        return True

    def _split(
        self,
        node: onnx_ir.Node,
        is_long: onnx_ir.Value,
        long: NewNodes,
        long_result: onnx_ir.Value,
        short: NewNodes,
        short_result: onnx_ir.Value,
    ) -> None:
        attributes = {
            "then_branch": long.graph(LONG, [], [long_result]),
            "else_branch": short.graph(SHORT, [], [short_result]),
        }
        replace(node.outputs[0], add_node(node, "If", [is_long], like=node.outputs[0], attributes=attributes))

    def _is_long(self, value: onnx_ir.Value, axis: int) -> onnx_ir.Value | None:
        """bool (1): whether an axis is long; None: it is not that of an input."""
        tokens = (axes(value) or ())[axis]
        if not isinstance(tokens, str):
            return None
        if tokens not in self._long:
            self._long[tokens] = self._compared(tokens)
        return self._long[tokens]

    def _compared(self, tokens: str) -> onnx_ir.Value | None:
        for value in self._graph.inputs:
            names = axes(value) or ()
            if tokens in names:
                place, first = names.index(tokens), self._graph[0]
                limit = add_constant(self._graph, "long_tokens", np.array([LONG_TOKENS], np.int64))
                cut = {"start": place, "end": place + 1}
                size = add_node(first, "Shape", [value], shape=(1,), dtype=_INT64, attributes=cut)
                return add_node(first, "Greater", [size, limit], shape=(1,), dtype=_BOOL)
        return None

    def _short_bias(self, bias: onnx_ir.Value, tokens: str, is_long: onnx_ir.Value) -> onnx_ir.Value:
        """A bias of all queries by all keys, which is not computed where a text is long; once for all who read it."""
        maker = bias.producer()
        if maker is None or not is_of_all_pairs(bias, tokens):
            return bias
        if id(bias) not in self._biases:
            short, long = (NewNodes(f"{bias.name}_{name}") for name in (SHORT, LONG))
            nothing = onnx_ir.tensor(np.zeros((1, 1, 1, 1), np.float32 if bias.dtype is None else bias.dtype.numpy()))
            attributes = {
                "then_branch": long.graph(LONG, [], [long.add("Constant", [], bias.dtype, {"value": nothing})]),
                "else_branch": short.graph(SHORT, [], [whole_bias(short, bias, tokens)]),
            }
            # The branches' shapes differ.
            split = add_node(maker, "If", [is_long], shape=(None,) * 4, dtype=bias.dtype, attributes=attributes)
            self._biases[id(bias)] = split
        return self._biases[id(bias)]
