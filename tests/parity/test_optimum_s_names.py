"""The tables of docs/migration-optimum.md name all that optimum-onnx has, in an environment of its own."""

from __future__ import annotations

import json
import subprocess

import pytest

from onnxpress_bench.environments import interpreter, state
from tests.fixtures.migration_optimum import CLASSES, EXPORT

pytestmark = pytest.mark.nightly

PEER = "optimum-onnx"
_NAMES = (
    "import inspect, json, optimum.onnxruntime as o\n"
    "from optimum.exporters.onnx import main_export\n"
    "classes = [name for name in dir(o) if name.startswith('ORTModelFor')]\n"
    "print(json.dumps([classes, list(inspect.signature(main_export).parameters)]))"
)


def test_every_class_and_every_argument_of_an_export_has_a_line() -> None:
    if not any(peer.name == PEER and peer.installed for peer in state()):
        pytest.skip(f"The peer {PEER} is not installed: `onnxpress peers --install {PEER}`.")
    run = subprocess.run([interpreter(PEER), "-c", _NAMES], check=True, capture_output=True, text=True, timeout=300)
    classes, arguments = json.loads(run.stdout.strip().splitlines()[-1])
    assert (set(classes), set(arguments)) == (set(CLASSES), set(EXPORT))
