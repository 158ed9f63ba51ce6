"""Which passes make a precision, in order. Knows no pass from inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import onnx_ir

from onnxpress_exporter.errors import PassError
from onnxpress_exporter.passes.first_token_only import first_token_only
from onnxpress_exporter.passes.fuse_attention import fuse_attention
from onnxpress_exporter.passes.residual_sum import residual_sum
from onnxpress_exporter.passes.simplify_mask import simplify_mask


class Pass(Protocol):
    """A rewrite of a model in place that says how often it applied."""

    __name__: str

    def __call__(self, model: onnx_ir.Model, /) -> int: ...


RECIPES: Mapping[str, tuple[Pass, ...]] = {
    "fp32": (simplify_mask, fuse_attention, first_token_only, residual_sum),
}


def apply_recipe(model: onnx_ir.Model, precision: str) -> dict[str, int]:
    """Run the passes of `precision` on `model`, in place; how often each applied, by its name.

    Raises PassError if there is no such recipe or a pass fails.
    """
    if precision not in RECIPES:
        raise PassError(f"There is no recipe for {precision!r}. Known: {', '.join(RECIPES)}.")
    counts: dict[str, int] = {}
    for one in RECIPES[precision]:
        name = one.__name__
        try:
            counts[name] = one(model)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise PassError(f"The pass {name} failed: {error} ({type(error).__name__}).") from error
    return counts
