"""What is built: the wheel, the source distribution, and fresh environments with the runtime or `quantize` alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ..fixtures.artifacts import write_artifact
from ..fixtures.colours import write_colours

ROOT = Path(__file__).resolve().parents[2]
LIMIT_BYTES = 220_000_000
#: Of `onnxpress[cpu,vision]`, byte code apart.
VISION_BYTES = 215_000_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, ROOT)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, built by what pyproject.toml asks for and unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt")
    _run(*pip, "--target", folder / "tools", "hatchling")
    environment = {**os.environ, "PYTHONPATH": str(folder / "tools")}
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT, env=environment)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    (project,) = folder.glob("onnxpress-*/")
    return project


def _run(*command: object, **options: Any) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
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
    assert wheel.stat().st_size < 2_000_000


def test_the_wheel_says_where_its_project_is_and_its_links_work_elsewhere(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_bytes(archive.read(name))
    assert {url.partition(",")[0] for url in metadata.get_all("Project-URL", [])} >= {"Homepage", "Changelog", "Issues"}
    described = metadata.get_payload(decode=True)
    assert isinstance(described, bytes)
    links = re.findall(r"\]\(([^)]+)\)", described.decode())
    assert links and [link for link in links if not link.startswith("https://")] == []
    for link in links:
        path = link.partition("/main/")[2].partition("#")[0]
        assert not path or (ROOT / path).exists(), link
    engines = [line for line in metadata.get_all("Requires-Dist", []) if line.startswith("onnxruntime")]
    assert len(engines) == 4 and all("!=1.24.0,!=1.24.1" in line for line in engines)
    assert not any("torch" in line for line in metadata.get_all("Requires-Dist", []) if "'quantize'" in line)


@pytest.mark.nightly
def test_the_source_distribution_tests_itself(unpacked: Path) -> None:
    for name in ("Makefile", "constraints.txt", "README.md", "tests/conftest.py", "models/train.py", "docs/usage.md"):
        assert (unpacked / name).is_file(), name
    paths = os.pathsep.join(str(unpacked / name) for name in ("runtime", "exporter", "benchmarks"))
    code = (
        "import onnxpress, pytest, sys; assert sys.argv[1] in onnxpress.__file__; sys.exit(pytest.main(sys.argv[2:]))"
    )
    tests = ("-q", "-p", "no:cacheprovider", "tests/unit/test_choice.py", "tests/unit/test_docs.py")
    _run(sys.executable, "-c", code, unpacked, *tests, cwd=unpacked, env={**os.environ, "PYTHONPATH": paths})


@pytest.mark.nightly
def test_the_source_distribution_builds_the_same_wheel(unpacked: Path, wheel: Path, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, unpacked)
    (again,) = tmp_path.glob("*.whl")
    assert zipfile.ZipFile(again).namelist() == zipfile.ZipFile(wheel).namelist()


@pytest.mark.nightly
def test_quantize_installs_without_pytorch_and_works(wheel: Path, tmp_path: Path) -> None:
    from onnxpress_exporter import export

    export(ROOT / "models" / "tiny-sentiment", tmp_path / "sentiment")
    environment = tmp_path / "venv"
    _run(sys.executable, "-m", "venv", environment)
    constraints = ROOT / "constraints.txt"
    python = environment / "bin" / "python"
    _run(python, "-m", "pip", "install", "--quiet", "-c", constraints, f"onnxpress[quantize] @ {wheel.as_uri()}")
    packages = next(environment.glob("lib/python*/site-packages"))
    assert not (packages / "torch").exists() and not (packages / "transformers").exists()
    command = environment / "bin" / "onnxpress"
    _run(command, "quantize", tmp_path / "sentiment", "--precision", "int8")
    assert '"label"' in _run(command, "run", tmp_path / "sentiment", "Good.", "--json", "--precision", "int8")


def _pythons() -> list[str]:
    """Other interpreters that onnxpress supports, where they are here."""
    names = [f"python3.{minor}" for minor in (11, 12, 13, 14) if minor != sys.version_info.minor]
    found = [path for name in names if (path := shutil.which(name)) is not None]
    return [
        path for path in found if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0
    ]


@pytest.mark.nightly
@pytest.mark.parametrize("python", _pythons())
def test_the_runtime_works_on_another_python(wheel: Path, tmp_path: Path, python: str) -> None:
    environment = tmp_path / "venv"
    _run(python, "-m", "venv", environment)
    _run(environment / "bin" / "python", "-m", "pip", "install", "--quiet", f"onnxpress[cpu] @ {wheel.as_uri()}")
    folder = write_artifact(tmp_path / "artifact")
    assert '"label": "good"' in _run(environment / "bin" / "onnxpress", "run", folder, "a good film", "--json")


def _installed(extras: str, wheel: Path, folder: Path) -> tuple[Path, Path]:
    """A fresh environment with the wheel and its packages without byte code, and where those are."""
    environment = folder / "venv"
    # This environment's pip installs: another one, and its byte code, would take half of the time.
    _run(sys.executable, "-m", "venv", "--without-pip", environment)
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python")
    constraints = ("-c", ROOT / "constraints.txt")
    _run(*pip, "install", "--quiet", "--no-compile", *constraints, f"onnxpress[{extras}] @ {wheel.as_uri()}")
    return environment, next(environment.glob("lib/python*/site-packages"))


def test_the_runtime_alone_is_small_and_works(wheel: Path, tmp_path: Path) -> None:
    environment, packages = _installed("cpu", wheel, tmp_path)
    files = [path for path in packages.rglob("*") if path.is_file()]
    # Byte code is about as large as its sources.
    size_bytes = sum(path.lstat().st_size * (2 if path.suffix == ".py" else 1) for path in files)
    print(f"site-packages of onnxpress[cpu]: {size_bytes / 1e6:.0f} MB")
    assert size_bytes < LIMIT_BYTES
    assert not (packages / "torch").exists() and not (packages / "onnx").exists()
    folder = write_artifact(tmp_path / "artifact")
    assert '"label": "good"' in _run(environment / "bin" / "onnxpress", "run", folder, "a good film", "--json")
    assert "text-classification" in _run(environment / "bin" / "onnxpress", "inspect", folder)


@pytest.mark.nightly
def test_what_answers_for_pictures_is_small_and_works(wheel: Path, tmp_path: Path) -> None:
    environment, packages = _installed("cpu,vision", wheel, tmp_path)
    files = [path for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    size_bytes = sum(path.lstat().st_size for path in files)
    print(f"site-packages of onnxpress[cpu,vision], byte code apart: {size_bytes / 1e6:.0f} MB")
    assert size_bytes <= VISION_BYTES
    Image.new("RGB", (40, 30), "green").save(tmp_path / "green.png")
    folder = write_colours(tmp_path / "artifact")
    answers = _run(
        *(environment / "bin" / "onnxpress", "run", folder, tmp_path / "green.png"),
        *("-s", "candidate_labels=red,green", "--json"),
    )
    assert answers.index('"green"') < answers.index('"red"')
