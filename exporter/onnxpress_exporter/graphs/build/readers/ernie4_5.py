"""Ernie 4.5: as Helium."""

from onnxpress_exporter.graphs.build.readers.helium import read

__all__ = ["read"]
