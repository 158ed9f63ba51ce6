"""`python -m onnxpress` is `onnxpress`."""

from onnxpress.cli.main import main

main()
