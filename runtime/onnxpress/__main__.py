"""`python -m onnxpress` is `onnxpress`."""

from onnxpress.cli import main

main()
