"""How an artifact's files and graphs may be laid out: a table of layouts, one writer file each.

Every one carries the manifest, since this runtime runs the same graphs; they were verified as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnxpress.errors import InputError
from onnxpress.suggestions import did_you_mean
from onnxpress_exporter.layouts.genai import GENAI
from onnxpress_exporter.layouts.onnxpress import ONNXPRESS
from onnxpress_exporter.layouts.optimum import OPTIMUM
from onnxpress_exporter.layouts.row import WrittenLayout
from onnxpress_exporter.layouts.transformers_js import TRANSFORMERS_JS

__all__ = ["LAYOUTS", "USUAL", "WrittenLayout", "find_layout"]

#: By the names that people type.
LAYOUTS: Mapping[str, WrittenLayout] = {row.name: row for row in (ONNXPRESS, OPTIMUM, TRANSFORMERS_JS, GENAI)}
USUAL = ONNXPRESS


def find_layout(name: str, *, writes: bool) -> WrittenLayout:
    """The layout of that name.

    Args:
        writes: whether the model writes text.

    Raises:
        InputError: there is none, or it has no models that do not write.
    """
    if name not in LAYOUTS:
        raise InputError(
            f"There is no layout {name!r} here.{did_you_mean(name, LAYOUTS)} There are: {', '.join(LAYOUTS)}."
        )
    row = LAYOUTS[name]
    if not writes and not row.reads:
        raise InputError(
            f"The layout {name} is of models that write text, which this one does not: leave out --layout."
        )
    return row
