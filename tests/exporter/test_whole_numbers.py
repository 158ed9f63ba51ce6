"""`int` in the modules of a model while it is traced: what is not known stays open, all else is as ever."""

from __future__ import annotations

import torch
from transformers.models.depth_anything import modeling_depth_anything

from onnxpress_exporter.graphs.whole_numbers import sizes_left_open


def test_int_is_as_ever_but_for_sizes_that_are_not_known() -> None:
    module = modeling_depth_anything
    part = module.DepthAnythingReassembleLayer.__new__(module.DepthAnythingReassembleLayer)
    torch.nn.Module.__init__(part)
    with sizes_left_open(part):
        whole = vars(module)["int"]
        assert (whole(3.7), whole("12"), whole(), whole("ff", 16)) == (3, 12, 0, 255)
        assert isinstance(3, whole) and not isinstance(3.0, whole) and issubclass(bool, whole)
        seen = []

        class Doubled(torch.nn.Module):
            def forward(self, values: torch.Tensor) -> torch.Tensor:
                seen.append(whole(values.shape[0] * 2))
                return values.new_zeros((seen[-1],))

        exported = torch.export.export(Doubled(), (torch.ones(5),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        assert isinstance(seen[0], torch.SymInt)
        assert exported.module()(torch.ones(7)).shape == (14,)
    assert "int" not in vars(module)


def test_tensors_of_sizes_are_computed_by_the_graph() -> None:
    class Places(torch.nn.Module):
        def forward(self, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            height, width = values.shape
            sizes = torch.as_tensor([(height, width), (height + 1, 2)], dtype=torch.long)
            return sizes, torch.tensor([width, 3]), torch.linspace(0.5, height - 0.5, height), torch.tensor([1.5])

    part, free = Places(), torch.export.Dim.DYNAMIC
    with sizes_left_open(part):
        exported = torch.export.export(part, (torch.ones(5, 6),), dynamic_shapes=({0: free, 1: free},)).module()
    for height, width in ((5, 6), (9, 4), (2, 7)):
        values = torch.ones(height, width)
        for answer, expected in zip(exported(values), part(values), strict=True):
            assert answer.dtype == expected.dtype and torch.equal(answer, expected)
