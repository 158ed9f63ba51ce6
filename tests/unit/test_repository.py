"""What no tracked file may hold."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MARKER = re.compile(rb"^(?:<{7}|>{7}|\|{7})(?: |$)", re.MULTILINE)


def test_no_file_has_conflict_markers() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name.decode() for name in listed.stdout.split(b"\0") if name]
    assert [str(path) for path in paths if path.is_file() and MARKER.search(path.read_bytes())] == []


def test_markers_are_recognized() -> None:
    assert MARKER.search(b"a\n<" + b"<" * 6 + b" HEAD\n")
    assert not MARKER.search(b"Title\n=======\n")
