"""M2M100 and NLLB: of BART's kin."""

from onnxpress_exporter.graphs.build.readers.bart import read

__all__ = ["read"]
