"""Positions of grids of patches: computed for a whole batch, they are those that SigLIP2's class resizes one by one."""

from __future__ import annotations

import pytest
import torch
from transformers.models.siglip2.modeling_siglip2 import Siglip2VisionEmbeddings

from onnxpress_exporter.graphs.patch_grids import resized_positions


@pytest.mark.parametrize("side", [1, 4, 7])
def test_positions_are_those_of_the_class(side: int) -> None:
    table = torch.randn(side, side, 6, generator=torch.Generator().manual_seed(side))
    # Of one column of several patches PyTorch's kernel gives something else than its definition.
    grids = torch.tensor([(1, 1), (4, 5), (2, 10), (10, 2), (1, 20), (3, 3), (5, 4), (1, 2)])
    expected = Siglip2VisionEmbeddings.resize_positional_embeddings(table, grids, 20)
    assert torch.allclose(resized_positions(table, grids, 20), expected, atol=1e-5)


def test_a_column_of_patches_has_the_positions_of_its_definition() -> None:
    table = torch.randn(4, 4, 6, generator=torch.Generator().manual_seed(0))
    (column,) = resized_positions(table, torch.tensor([(8, 1)]), 8)
    (beside,) = resized_positions(table.transpose(0, 1), torch.tensor([(1, 8)]), 8)
    assert torch.allclose(column, beside, atol=1e-6)
