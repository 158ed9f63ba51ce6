"""onnxpress_exporter: from a Hugging Face checkpoint to a verified ONNX artifact.

>>> from onnxpress_exporter import export
>>> export("checkpoint-folder-or-hub-id", "artifact-folder")  # doctest: +SKIP

torch and transformers are imported when `export` is first looked up, not with the package: the command line can then
say which of them is missing, and show its help at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxpress_exporter.flow import adopt, export

__all__ = ["adopt", "export"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from onnxpress_exporter import flow

    value = globals()[name] = getattr(flow, name)
    return value
