"""`python -m onnxpress_bench ARTIFACT` is `onnxpress bench ARTIFACT`."""

import sys

from onnxpress.cli import main

sys.argv[:] = ["onnxpress", "bench", *sys.argv[1:]]
main()
