"""Graphs by role, on a device: the only importer of onnxruntime."""
