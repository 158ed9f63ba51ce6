"""Type checkers accept the Python that README and the pages of docs show."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/usage.md")


def _snippets(folder: Path) -> list[str]:
    """Each block that opens a model, as a file."""
    paths = []
    for page in PAGES:
        for number, block in enumerate(re.findall(r"```python\n([\s\S]*?)```", (ROOT / page).read_text("utf-8"))):
            if "= onnxpress." in block:
                path = folder / f"{Path(page).stem}_{number}.py"
                path.write_text(block if "import onnxpress" in block else f"import onnxpress\n\n{block}", "utf-8")
                paths.append(str(path))
    return paths


@pytest.mark.nightly
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_the_snippets_are_typed(checker: str, tmp_path: Path) -> None:
    if find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    snippets = _snippets(tmp_path)
    assert len(snippets) >= 3
    options = ["--strict"] if checker == "mypy" else ["--pythonpath", sys.executable]
    done = subprocess.run(
        [sys.executable, "-m", checker, *options, *snippets], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
