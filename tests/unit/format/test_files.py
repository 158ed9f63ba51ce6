"""A folder appears whole or not at all, whatever happens to the writer."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from onnxpress.errors import InputError
from onnxpress.format.files import staged_folder, write_file
from onnxpress.format.hashing import sha256
from onnxpress.format.staging import remove_leftovers


def _artifact(folder: Path, text: str = "old") -> Path:
    folder.mkdir(parents=True)
    (folder / "onnxpress.json").write_text(text)
    return folder


def test_staged_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out"
    with staged_folder(target) as folder:
        (folder / "onnx").mkdir()
        (folder / "onnx" / "a").write_text("a")
        assert not target.exists()
    assert (target / "onnx" / "a").read_text() == "a"
    assert [entry.name for entry in target.parent.iterdir()] == ["out"]


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_kept_unless_forced(tmp_path: Path) -> None:
    target = _artifact(tmp_path / "out")
    with pytest.raises(InputError, match="--force"), staged_folder(target):
        pass
    with staged_folder(target, force=True) as folder:
        (folder / "onnxpress.json").write_text("new")
    assert (target / "onnxpress.json").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_force_never_replaces_what_is_not_an_artifact(tmp_path: Path) -> None:
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match="not an onnxpress artifact"), staged_folder(precious, force=True):
        pass
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="not a folder"), staged_folder(tmp_path / "file", force=True):
        pass


def test_an_error_while_replacing_keeps_the_old(tmp_path: Path) -> None:
    target = _artifact(tmp_path / "out")
    with pytest.raises(RuntimeError), staged_folder(target, force=True):
        raise RuntimeError
    assert (target / "onnxpress.json").read_text() == "old"


def test_an_unwritable_parent_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot write"), staged_folder(tmp_path / "file" / "out"):
        pass


WRITER = """
import sys
from pathlib import Path
from onnxpress.format.files import staged_folder
with staged_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    print("ready", flush=True)
    sys.stdin.read()
"""


def writing(target: Path) -> subprocess.Popen[bytes]:
    """A process that writes until it is killed, or until this one is over."""
    command = [sys.executable, "-c", WRITER, str(target)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_killed_writer_leaves_no_target_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with writing(target) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        writer.send_signal(signal.SIGKILL)
    assert not target.exists()
    assert {entry.suffix for entry in tmp_path.iterdir()} == {".partial", ".lock"}  # the hidden leftovers
    with staged_folder(target) as folder:
        (folder / "whole").write_text("whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_target_that_was_being_replaced_is_put_back(tmp_path: Path) -> None:
    _artifact(tmp_path / ".out.0123abc.replaced")
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "out", force=True):
        raise RuntimeError
    assert (tmp_path / "out" / "onnxpress.json").read_text() == "old"


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    """Whatever its process id: another container on the same volume has the same."""
    target = tmp_path / "out"
    with writing(target) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
        with staged_folder(target):
            pass
        (staging,) = tmp_path.glob(".out.*.partial")
        assert (staging / "half").read_text() == "half"
        writer.kill()
    remove_leftovers(target)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_two_threads_write_one_target(tmp_path: Path) -> None:
    """One of them wins, whole; the other is told."""
    target, both = tmp_path / "out", threading.Barrier(2)

    def write(name: str) -> str:
        try:
            with staged_folder(target) as folder:
                both.wait()
                (folder / "name").write_text(name)
                both.wait()
                assert (folder / "name").read_text() == name
        except InputError as error:
            assert "exists already" in str(error)
            return ""
        return name

    with ThreadPoolExecutor(2) as threads:
        names = list(threads.map(write, ["first", "second"]))
    assert sorted(map(bool, names)) == [False, True]
    assert (target / "name").read_text() == "".join(names)
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_many_writers_of_one_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each believes that it is process 1, as those of containers that share a volume do: one wins, none loses work."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    target, all_there = tmp_path / "Ordner é", threading.Barrier(4)

    def write(number: int, force: bool) -> bool:
        try:
            with staged_folder(target, force=force) as folder:
                all_there.wait()
                (folder / "onnxpress.json").write_text(str(number))
                all_there.wait()
        except InputError as error:
            assert "exists already" in str(error)
            return False
        return True

    for force in (False, True):  # the second time over what the first left
        with ThreadPoolExecutor(4) as threads:
            wrote = list(threads.map(write, range(4), [force] * 4))
        assert any(wrote) and (force or sum(wrote) == 1), wrote
        assert wrote[int((target / "onnxpress.json").read_text())]
        assert [entry.name for entry in tmp_path.iterdir()] == ["Ordner é"]


def test_a_writer_that_lost_may_try_again(tmp_path: Path) -> None:
    """Two others hold the name while the third writes elsewhere: names that begin alike are none of each other's."""
    with staged_folder(tmp_path / "out") as first, staged_folder(tmp_path / "out.2") as second:
        (first / "a").write_text("first")
        (second / "a").write_text("second")
        remove_leftovers(tmp_path / "out")
        remove_leftovers(tmp_path / "out.2")
    assert {(tmp_path / name / "a").read_text() for name in ("out", "out.2")} == {"first", "second"}


def test_leftovers_of_older_versions_are_cleared(tmp_path: Path) -> None:
    (tmp_path / ".out.4711.partial").mkdir()
    (tmp_path / ".other.4711.partial").mkdir()
    remove_leftovers(tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == [".other.4711.partial"]


def test_write_file_replaces_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"one")
    write_file(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_sha256(tmp_path: Path) -> None:
    data = os.urandom(3_000_001)
    (tmp_path / "x").write_bytes(data)
    assert sha256(tmp_path / "x") == hashlib.sha256(data).hexdigest()
