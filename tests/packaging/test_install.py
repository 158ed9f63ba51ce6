"""A fresh environment with the runtime alone: its size, and that it answers."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ..fixtures.artifacts import write_artifact

ROOT = Path(__file__).resolve().parents[2]
LIMIT_BYTES = 220_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT)
    (path,) = out.glob("*.whl")
    return path


def _run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names} == {
        "onnxpress",
        "onnxpress_exporter",
        "onnxpress_bench",
        next(name.partition("/")[0] for name in names if ".dist-info" in name),
    }
    assert {name for name in names if name.endswith("py.typed")} == {
        f"{package}/py.typed" for package in ("onnxpress", "onnxpress_exporter", "onnxpress_bench")
    }
    assert wheel.stat().st_size < 1_000_000


def test_the_runtime_alone_is_small_and_works(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    _run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    constraints = ROOT / "constraints.txt"
    _run(python, "-m", "pip", "install", "--quiet", "-c", constraints, f"onnxpress[cpu] @ {wheel.as_uri()}")
    packages = next(environment.glob("lib/python*/site-packages"))
    _run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "pip", "setuptools")
    size_bytes = sum(path.lstat().st_size for path in packages.rglob("*") if path.is_file())
    print(f"site-packages of onnxpress[cpu]: {size_bytes / 1e6:.0f} MB")
    assert size_bytes < LIMIT_BYTES
    assert not (packages / "torch").exists() and not (packages / "onnx").exists()
    folder = write_artifact(tmp_path / "artifact")
    assert '"label": "good"' in _run(environment / "bin" / "onnxpress", "run", folder, "a good film", "--json")
    assert "text-classification" in _run(environment / "bin" / "onnxpress", "inspect", folder)
