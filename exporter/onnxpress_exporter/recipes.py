"""Which passes make a precision, in order. Knows no pass from inside."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir

from onnxpress_exporter.errors import PassError

Pass = Callable[[onnx_ir.Model], int]

RECIPES: Mapping[str, tuple[Pass, ...]] = {
    "fp32": (),
}


def apply_recipe(model: onnx_ir.Model, precision: str) -> dict[str, int]:
    """Run the passes of `precision` on `model`, in place; how often each applied, by its name.

    Raises PassError if there is no such recipe or a pass fails.
    """
    if precision not in RECIPES:
        raise PassError(f"There is no recipe for {precision!r}. Known: {', '.join(RECIPES)}.")
    counts: dict[str, int] = {}
    for one in RECIPES[precision]:
        name = one.__module__.rpartition(".")[2]
        try:
            counts[name] = one(model)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise PassError(f"The pass {name} failed: {error} ({type(error).__name__}).") from error
    return counts
