"""The command line with standard streams that are full, closed, of another encoding, and with disks that are full."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onnxpress.errors import InputError, OutputError
from onnxpress.format.files import disk_failure, staged_folder

from ..fixtures.artifacts import write_artifact

FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("streams") / "artifact")


def _run(*arguments: object, environment: dict[str, str] | None = None, **streams: object) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "onnxpress", *(os.fsencode(str(argument)) for argument in arguments)],
        env={**os.environ, **(environment or {})},
        check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams},  # type: ignore[call-overload]
    )
    return done.returncode, (done.stdout or b"").decode(errors="replace"), (done.stderr or b"").decode()


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("command", [("run", "good"), ("inspect",), ("--help",)])
def test_a_full_output_is_one_line(artifact: Path, command: tuple[str, ...]) -> None:
    arguments = command if command[0] == "--help" else (command[0], artifact, *command[1:])
    with FULL.open("wb") as full:
        code, _, said = _run(*arguments, stdout=full)
    assert (code, said) == (1, "error: Standard output: No space left on device.\n")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_an_output_of_another_encoding_fails_nothing(artifact: Path, encoding: str) -> None:
    text = "schön 中 \U0001f600"
    code, _, said = _run("run", artifact, text, environment={"PYTHONIOENCODING": encoding})
    assert (code, said) == (0, "")
    code, printed, _ = _run("run", artifact, text, "--json", environment={"PYTHONIOENCODING": encoding})
    assert code == 0 and json.loads(printed)["label"]


def test_arguments_are_utf_8_in_any_locale(artifact: Path) -> None:
    c = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code, printed, said = _run("run", artifact, "schön", environment=c)
    assert (code, said) == (0, "") and printed.startswith("schön\n")
    code, _, said = _run("run", artifact, "sch\udcf6n")
    assert code == 2 and "byte 4, is not UTF-8" in said and "Traceback" not in said


@pytest.mark.parametrize(("command", "more"), [("run", ""), ("chat", ""), ("run", " -")])
def test_a_closed_input_is_a_usage_error(artifact: Path, command: str, more: str) -> None:
    shell = f'exec "{sys.executable}" -m onnxpress {command} "{artifact}"{more} <&-'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage:" in done.stderr and "Traceback" not in done.stderr


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"out: cannot be written \(No space left on device\). Nothing was written"),
        staged_folder(tmp_path / "out") as folder,
    ):
        (folder / "begun").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError), staged_folder(tmp_path / "out"):
        raise InputError("another error stays what it is")


def test_disks_that_libraries_tell_of_in_their_own_words() -> None:
    assert disk_failure(Exception("No space left on device (os error 28)")) == "No space left on device"
    assert disk_failure(OSError("1000 requested and 12 written")) == "1000 requested and 12 written"
    assert disk_failure(OSError(errno.ENOENT, "No such file or directory")) is None
    try:
        try:
            raise OSError(errno.EFBIG, "File too large")
        except OSError as error:
            raise RuntimeError("the graph cannot be saved") from error
    except RuntimeError as error:
        assert disk_failure(error) == "File too large"
