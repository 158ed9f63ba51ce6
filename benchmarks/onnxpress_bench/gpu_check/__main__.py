"""`python -m onnxpress_bench.gpu_check` (`make gpu-check`)."""

from __future__ import annotations

import sys

from onnxpress_bench.gpu_check.requirements import CANNOT, missing_module

if __name__ == "__main__":
    reason = missing_module()
    if reason is not None:  # before anything is imported that may be missing
        sys.stderr.write(f"{reason}\n")
        sys.exit(CANNOT)
    from onnxpress_bench.gpu_check.cli import main

    main(prog_name="make gpu-check")
