"""Type checkers accept the Python that README and the pages of docs show, and know what calls return."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", "docs/usage.md", "docs/production.md")
CALLS = ROOT / "tests" / "fixtures" / "typed_calls.py"

#: A module with functions, whose arguments the page leaves untyped to stay short.
UNTYPED = "docs/production.md"

CHECKERS = [
    pytest.param(name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed"))
    for name in ("mypy", "pyright")
]


def _snippets(folder: Path, page: str) -> list[Path]:
    """Each block that opens a model, as a file."""
    paths = []
    for number, block in enumerate(re.findall(r"```python\n([\s\S]*?)```", (ROOT / page).read_text("utf-8"))):
        if "= onnxpress." in block:
            path = folder / f"{Path(page).stem}_{number}.py"
            path.write_text(block if "import onnxpress" in block else f"import onnxpress\n\n{block}", "utf-8")
            paths.append(path)
    assert paths
    return paths


def _check(checker: str, paths: list[Path], *, strict: bool = True) -> None:
    loose = [] if strict else ["--allow-untyped-defs", "--allow-untyped-calls"]
    options = {"mypy": ["--strict", *loose], "pyright": ["--pythonpath", sys.executable]}[checker]
    command = [sys.executable, "-m", checker, *options, *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.nightly
@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("page", PAGES)
def test_the_snippets_are_typed(checker: str, page: str, tmp_path: Path) -> None:
    if page == UNTYPED:
        pytest.importorskip("starlette")
    _check(checker, _snippets(tmp_path, page), strict=page != UNTYPED)


@pytest.mark.nightly
@pytest.mark.parametrize("checker", CHECKERS)
def test_results_have_the_types_of_their_tasks(checker: str) -> None:
    _check(checker, [CALLS])


@pytest.mark.nightly
@pytest.mark.parametrize("checker", CHECKERS)
def test_a_wrong_use_of_a_result_is_told(checker: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(
        "import onnxpress\n\npipe = onnxpress.pipeline('ner', 'folder')\n"
        "print(pipe('a', aggregation_strategy='simple')[0]['entity'])\n"
    )
    with pytest.raises(AssertionError, match="entity"):
        _check(checker, [path])
