"""Reads an .onnx file without trusting it."""
