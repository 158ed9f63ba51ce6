"""MatMul(x, W) -> MatMulNBits(x, packed W): weights of 4 or 8 bits in blocks, activations left to the kernel.

Each output's weights are cut into blocks of input channels with a scale of their own, and a zero of their own where
they are not symmetric. With accuracy level 4 the kernel rounds activations to 8 bits per block of a row, so that a
row's result depends on that row alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from onnxpress_exporter.passes.graph import MICROSOFT, add_constant, add_node, axes, nodes, remove_dead, replace

Bytes = NDArray[np.uint8]

#: MatMulNBits' accuracy_level: 0 as the kernel likes, 1 fp32, 4 activations in int8.
INT8_ACTIVATIONS = 4


@dataclass(frozen=True, slots=True)
class BlockWeights:
    """`integers` uint8 (inputs, outputs) of 0 .. 2**bits - 1; `scales` float32, `zeros` int32 (blocks, outputs)."""

    integers: NDArray[np.uint8]
    scales: NDArray[np.float32]
    zeros: NDArray[np.int32]
    bits: int
    block: int

    def columns(self, places: NDArray[np.int64]) -> BlockWeights:
        """The weights of these outputs alone."""
        integers = np.ascontiguousarray(self.integers[:, places])
        scales, zeros = np.ascontiguousarray(self.scales[:, places]), np.ascontiguousarray(self.zeros[:, places])
        return BlockWeights(integers, scales, zeros, self.bits, self.block)

    @property
    def symmetric(self) -> bool:
        """Whether every zero is the middle, which need not be stored."""
        return bool((self.zeros == 1 << (self.bits - 1)).all())


def weight_only(model: onnx_ir.Model, weights: Mapping[str, BlockWeights]) -> int:
    """Rewrite products of `model`, by their outputs' names, in place; how many."""
    count = 0
    for node in nodes(model, "MatMul"):
        name = str(node.outputs[0].name)
        if name in weights:
            _rewrite(model.graph, node, name, weights[name])
            count += 1
    if count:
        model.opset_imports[MICROSOFT] = 1
        remove_dead(model)
    return count


def _rewrite(graph: onnx_ir.Graph, node: onnx_ir.Node, name: str, weights: BlockWeights) -> None:
    rows, columns = weights.integers.shape
    arrays = block_arrays(weights)
    inputs = [node.inputs[0], *(add_constant(graph, f"{name}_{part}", array) for part, array in arrays.items())]
    output = node.outputs[0]
    product = add_node(
        node,
        "MatMulNBits",
        inputs,
        dtype=output.dtype,
        shape=axes(output),
        domain=MICROSOFT,
        attributes={
            "K": rows,
            "N": columns,
            "bits": weights.bits,
            "block_size": weights.block,
            "accuracy_level": INT8_ACTIVATIONS,
        },
    )
    replace(output, product)


def block_arrays(weights: BlockWeights) -> dict[str, NDArray[Any]]:
    """The constants that MatMulNBits reads, in its order: blocks, scales and, where they are not the middle, zeros."""
    arrays: dict[str, NDArray[Any]] = {
        "blocks": pack_blocks(weights),
        "scales": np.ascontiguousarray(weights.scales.T).ravel(),
    }
    if not weights.symmetric:
        zeros = np.ascontiguousarray(weights.zeros.T).astype(np.uint8)
        arrays["zeros"] = pack(zeros, weights.bits).ravel()
    return arrays


def pack_blocks(weights: BlockWeights) -> Bytes:
    """uint8 (outputs, blocks, block * bits / 8), as MatMulNBits wants it; the last block filled up with zeros."""
    rows, columns = weights.integers.shape
    blocks = -(-rows // weights.block)
    full = np.zeros((columns, blocks * weights.block), np.uint8)
    full[:, :rows] = weights.integers.T
    return pack(full, weights.bits).reshape(columns, blocks, -1)


def pack(values: Bytes, bits: int) -> Bytes:
    """Values of `bits` bits side by side in bytes along the last axis, the first one lowest."""
    if bits == 8:
        return values
    if values.shape[-1] % 2:
        values = np.concatenate([values, np.zeros((*values.shape[:-1], 1), np.uint8)], axis=-1)
    return (values[..., 0::2] | (values[..., 1::2] << 4)).astype(np.uint8)
