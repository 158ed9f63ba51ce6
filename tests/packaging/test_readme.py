"""README's commands and Python run as they stand there, and give what it says."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEXTS = "A phenomenal camera\nWhat a nightmare of an app.\n"


def _plain(text: str) -> list[str]:
    """The words of a text without its numbers, which differ from run to run."""
    words = re.sub(r"[\d.]+(e-\d+)?x?( to [\d.]+x)?|not measured|at \d+x\d+,?", " ", text).split()
    return [word for word in words if word.strip("-")]


@pytest.mark.nightly
def test_the_export_prints_what_the_readme_shows_and_the_python_runs(tmp_path: Path) -> None:
    console = re.search(r"```console\n\$ onnxpress (export .*)\n([\s\S]*?)```", README)
    python = re.search(r"```python\n([\s\S]*?)```", README)
    assert console and python
    shutil.copytree(ROOT / "models" / "tiny-sentiment", tmp_path / "models" / "tiny-sentiment")
    (tmp_path / "texts.txt").write_text(TEXTS)
    done = subprocess.run(
        [sys.executable, "-m", "onnxpress", *console[1].split()],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    shown, printed = (_plain(text.split("On this machine")[0]) for text in (console[2], done.stdout))
    assert [word for word in shown if word in set(printed)] == shown
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", python[1]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["positive", "negative"]
    assert ran.stderr == ""
