"""Inputs that generating models are traced on: no two axes of one size, and none of size 1, which tracing would fix."""

from __future__ import annotations

import torch

from onnxpress.generation.decoders.graph import OF_PROMPT
from onnxpress_exporter.graphs.spec import GraphSpec

#: Axis -> its size. A text has two rows.
SIZES = {"rows": 6, "texts": 3, "sequence": 5, "past": 7, "total": 12, "kept": 2, "encoder_sequence": 11}
#: Tokens of padding in the first row, or the first text.
PADDING = 3


def inputs(spec: GraphSpec) -> dict[str, torch.Tensor]:
    """For each input of `spec` a tensor; the same at each call."""
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for tensor in spec.inputs:
        shape = [axis if isinstance(axis, int) else SIZES[axis] for axis in tensor.axes]
        if tensor.dtype == "float32":
            tensors[tensor.name] = torch.empty(shape).normal_(generator=generator)
        elif tensor.name.endswith("attention_mask"):
            tensors[tensor.name] = torch.ones(shape, dtype=torch.int64)
            # Texts are padded on the right, rows on the left.
            padding = slice(-PADDING, None) if tensor.axes[-1] == "encoder_sequence" else slice(PADDING)
            tensors[tensor.name][0, padding] = 0
        elif tensor.name == "position_ids":
            tensors[tensor.name] = (SIZES["past"] + torch.arange(shape[-1])).expand(shape).contiguous()
            tensors[tensor.name][0] -= PADDING
        elif tensor.name == OF_PROMPT:
            tensors[tensor.name] = torch.arange(shape[0])[:, None] % 2
        elif tensor.name == "logits_to_keep":
            tensors[tensor.name] = torch.arange(shape[0]) + 1
        else:
            tensors[tensor.name] = 4 + torch.arange(shape[0] * shape[1]).reshape(shape) % 29
    return tensors
