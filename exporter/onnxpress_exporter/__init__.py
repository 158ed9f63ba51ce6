"""onnxpress_exporter: from a Hugging Face checkpoint to a verified ONNX artifact.

>>> export("checkpoint-folder-or-hub-id", "artifact-folder")  # doctest: +SKIP
"""

from onnxpress_exporter.export import export

__all__ = ["export"]
