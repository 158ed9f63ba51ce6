"""TrOCR's decoder: as BART's."""

from onnxpress_exporter.graphs.build.readers.bart import read

__all__ = ["read"]
