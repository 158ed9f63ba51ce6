"""Branches and bodies: the nodes of a graph inside another one, whose values they may read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir


@dataclass(slots=True)
class NewNodes:
    """The nodes of a graph that is being made. `prefix`: of the names of their values."""

    prefix: str
    nodes: list[onnx_ir.Node] = field(default_factory=list)

    def add(
        self,
        op_type: str,
        inputs: Sequence[onnx_ir.Value | None],
        dtype: onnx_ir.DataType | None,
        attributes: Mapping[str, Any] | None = None,
        shape: onnx_ir.Shape | None = None,
        domain: str = "",
    ) -> onnx_ir.Value:
        """Append a node of one output; its output."""
        node = onnx_ir.node(op_type, inputs, dict(attributes or {}), domain=domain)
        output = node.outputs[0]
        output.name = f"{self.prefix}_{len(self.nodes)}"
        output.shape = shape
        if dtype is not None:
            output.type = onnx_ir.TensorType(dtype)
        self.nodes.append(node)
        return output

    def copy(self, node: onnx_ir.Node, inputs: Sequence[onnx_ir.Value | None], *, shaped: bool = True) -> onnx_ir.Value:
        """Append the same operation on other values."""
        like = node.outputs[0]
        shape = like.shape if shaped else None
        return self.add(node.op_type, inputs, like.dtype, dict(node.attributes), shape, node.domain)

    def graph(self, name: str, inputs: Sequence[onnx_ir.Value], outputs: Sequence[onnx_ir.Value]) -> onnx_ir.Graph:
        """The graph of the nodes so far."""
        return onnx_ir.Graph(inputs, outputs, nodes=self.nodes, name=name)
