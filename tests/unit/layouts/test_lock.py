"""`onnxpress.lock`: written at first use, and what changes afterwards is refused with its name. Folders, both kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import onnxpress
from onnxpress.errors import CorruptFile, InputError, LockMismatch, UnsupportedFormat
from onnxpress.format.hashing import sha256

from ...fixtures.artifacts import DATA, GRAPH, write_artifact
from ...fixtures.foreign import write_foreign


def opened(folder: Path, lock: Path, **arguments: object) -> str:
    with onnxpress.pipeline(model=folder, lock=lock, **arguments) as pipe:
        return str(pipe("good")[0]["label"])


def ours(folder: Path) -> Path:
    return write_artifact(folder, external=True)


def foreign(folder: Path) -> Path:
    """Another tool's folder, with weights of a name that nothing else tells."""
    artifact = write_artifact(folder.with_name("for-its-weights"), external=True)
    write_foreign(folder)
    for name in (Path(GRAPH).name, DATA):
        (artifact / "onnx" / name).rename(folder / "onnx" / name)
    return folder


BOTH = pytest.mark.parametrize("make", [ours, foreign])


@BOTH
def test_the_first_use_writes_every_file_that_runs(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    folder, lock = make(tmp_path / "made"), tmp_path / "onnxpress.lock"
    assert opened(folder, lock) == "good"
    said = json.loads(lock.read_text())
    assert (said["format"], said["source"], said["commit"], said["precision"]) == ("onnxpress.lock", None, None, "fp32")
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert sorted(said["files"]) == files
    for name in files:
        path = folder / name
        assert said["files"][name] == {"bytes": path.stat().st_size, "sha256": sha256(path)}


@BOTH
def test_the_same_files_open_again_wherever_they_are(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    folder, lock = make(tmp_path / "made"), tmp_path / "onnxpress.lock"
    opened(folder, lock)
    before = lock.read_bytes()
    assert opened(folder.rename(tmp_path / "moved"), lock) == "good"
    assert lock.read_bytes() == before
    with onnxpress.pipeline(model=tmp_path / "moved") as pipe:
        assert onnxpress.pipeline(model=pipe, lock=lock)("bad")[0]["label"] == "bad"
    assert onnxpress.load(tmp_path / "moved", lock=lock) is not None


@BOTH
@pytest.mark.parametrize("name", ["tokenizer.json", GRAPH, f"onnx/{DATA}"])
def test_a_changed_file_is_named(tmp_path: Path, make: Callable[[Path], Path], name: str) -> None:
    folder, lock = make(tmp_path / "made"), tmp_path / "onnxpress.lock"
    opened(folder, lock)
    before = lock.read_bytes()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content.replace(b"good", b"goof") if b"good" in content else content + b"\0")
    with pytest.raises((LockMismatch, CorruptFile), match=name):  # what is damaged may be refused before
        opened(folder, lock)
    assert lock.read_bytes() == before


def test_a_new_file_and_one_that_is_gone_are_named(tmp_path: Path) -> None:
    folder, lock = foreign(tmp_path / "made"), tmp_path / "onnxpress.lock"
    (folder / "notes.txt").write_text("a")
    opened(folder, lock)
    (folder / "notes.txt").unlink()
    (folder / "generation_config.json").write_text("{}")
    with pytest.raises(LockMismatch, match=r"generation_config\.json is new; notes\.txt is gone\..*remove the lock"):
        opened(folder, lock)


def test_a_manifest_that_says_something_else_is_refused(tmp_path: Path) -> None:
    folder, lock = ours(tmp_path / "made"), tmp_path / "onnxpress.lock"
    opened(folder, lock)
    manifest = (folder / "onnxpress.json").read_text()
    (folder / "onnxpress.json").write_text(manifest.replace('"good"', '"evil"'))
    with pytest.raises(LockMismatch, match=r"onnxpress\.json changed"):
        opened(folder, lock)


def test_another_variant_needs_a_lock_of_its_own(tmp_path: Path) -> None:
    folder, lock = foreign(tmp_path / "made"), tmp_path / "onnxpress.lock"
    (folder / "onnx" / "model_quantized.onnx").write_bytes((folder / GRAPH).read_bytes())
    opened(folder, lock, precision="fp32")
    with pytest.raises(LockMismatch, match=r'is of the variant fp32, and q8 is to run\. Pass precision="fp32"'):
        opened(folder, lock, precision="q8")
    other = tmp_path / "q8.lock"
    opened(folder, other, precision="q8")
    with onnxpress.pipeline(model=folder, lock=other) as pipe:  # the lock says which one
        assert pipe.precision == "q8"


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        ("", CorruptFile, "not JSON"),
        ("[]", CorruptFile, "no lock"),
        ('{"format": "npm"}', CorruptFile, "no lock"),
        ('{"format": "onnxpress.lock", "version": 2}', UnsupportedFormat, "version 2; this onnxpress reads 1"),
        ('{"format": "onnxpress.lock", "version": 1}', CorruptFile, "remove it to write a new one"),
    ],
)
def test_what_is_no_lock_is_refused_and_kept(tmp_path: Path, content: str, kind: type[Exception], says: str) -> None:
    lock = tmp_path / "onnxpress.lock"
    lock.write_text(content)
    with pytest.raises(kind, match=says):
        opened(ours(tmp_path / "made"), lock)
    assert lock.read_text() == content


@pytest.mark.parametrize("place", [".", "nowhere/onnxpress.lock", "made/onnxpress.json/lock"])
def test_a_place_for_a_lock_that_is_none(tmp_path: Path, place: str) -> None:
    with pytest.raises(InputError, match="lock"):
        opened(ours(tmp_path / "made"), tmp_path / place)
