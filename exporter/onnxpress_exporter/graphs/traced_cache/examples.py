"""Inputs that generating models are traced on: no two axes of one size, and none of size 1, which tracing would fix."""

from __future__ import annotations

import torch

from onnxpress_exporter.graphs.spec import GraphSpec

#: Axis -> its size. A text has two rows.
SIZES = {"rows": 6, "texts": 3, "sequence": 5, "past": 7, "total": 12, "kept": 2, "encoder_sequence": 11}
#: Tokens of padding in the first row, or the first text.
PADDING = 3


def inputs(spec: GraphSpec) -> dict[str, torch.Tensor]:
    """For each input of `spec` a tensor; the same at each call."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for one in spec.inputs:
        shape = [axis if isinstance(axis, int) else SIZES[axis] for axis in one.axes]
        if one.dtype == "float32":
            found[one.name] = torch.empty(shape).normal_(generator=generator)
        elif one.name.endswith("attention_mask"):
            found[one.name] = torch.ones(shape, dtype=torch.int64)
            # Texts are padded on the right, rows on the left.
            padding = slice(-PADDING, None) if one.axes[-1] == "encoder_sequence" else slice(PADDING)
            found[one.name][0, padding] = 0
        elif one.name == "position_ids":
            found[one.name] = (SIZES["past"] + torch.arange(SIZES["sequence"])).expand(shape).contiguous()
            found[one.name][0] -= PADDING
        elif one.name == "logits_to_keep":
            found[one.name] = torch.arange(shape[0]) + 1
        else:
            found[one.name] = 4 + torch.arange(shape[0] * shape[1]).reshape(shape) % 29
    return found
