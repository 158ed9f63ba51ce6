r"""The Python that the tests of this folder run snippets with: this one, or the one that the environment names.

    ONNXPRESS_TEST_PYTHON=/a/venv/bin/python \
        .venv/bin/python -m pytest -rs tests/packaging/test_snippets.py tests/packaging/test_production.py

tries every snippet with what is installed there; what it has not got is skipped and named. This Python exports the
artifacts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PYTHON = str(Path(os.environ.get("ONNXPRESS_TEST_PYTHON", sys.executable)).absolute())
#: Whatever the tests themselves run with must not be found by the other Python.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


@cache
def has(module: str) -> bool:
    """Whether the interpreter can find a top-level module."""
    code = "import sys; from importlib.util import find_spec; sys.exit(find_spec(sys.argv[1]) is None)"
    return subprocess.run([PYTHON, "-c", code, module], env=ENVIRONMENT, check=False).returncode == 0


def require(*modules: str) -> None:
    """Skip the test if the interpreter lacks one of the modules."""
    missing = [module for module in modules if not has(module)]
    if missing:
        pytest.skip(f"{PYTHON} has no {', '.join(missing)}")
