"""What threads import while a model is opened. ONNX Runtime imports numpy from within: of two threads that do so at
once, one gets half of it, now and then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ..fixtures.artifacts import write_artifact

_OPENED = """
import sys, threading

class Watched:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "numpy":
            assert threading.current_thread() is threading.main_thread(), name
        if name == "onnxruntime":
            assert not sys.modules["numpy"].__spec__._initializing, "numpy is half imported"
            assert threading.current_thread() is not threading.main_thread(), "it is imported beside the rest"
            print("seen")

sys.meta_path.insert(0, Watched())
import onnxpress
with onnxpress.pipeline(model=sys.argv[1]) as pipe:
    print(pipe("a good film")[0]["label"])
"""


def test_numpy_is_there_before_threads_import_what_needs_it(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "artifact", external=True)
    done = subprocess.run([sys.executable, "-c", _OPENED, folder], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["seen", "good"], done.stdout + done.stderr
