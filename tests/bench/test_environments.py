"""Environments of peers, made for real: a peer of one empty package, without an index."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxpress_bench import environments
from onnxpress_bench.backends import BACKENDS
from onnxpress_bench.environments import PEERS, Peer, home, install, interpreter, packages_folder, state
from onnxpress_bench.errors import BenchError, MissingPeer
from onnxpress_bench.peers_cli import peers_command
from tests.fixtures.processes import HANG_S


def wheel(folder: Path, version: str) -> Path:
    """An installable package `lonely` with nothing but its version in it."""
    path = folder / f"lonely-{version}-py3-none-any.whl"
    info = f"lonely-{version}.dist-info"
    files = {
        "lonely.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: lonely\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "".join(f"{name},,\n" for name in ("lonely.py", f"{info}/METADATA", f"{info}/WHEEL")),
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def lonely(folder: Path, version: str = "1.0") -> Peer:
    options = ("--no-index", "--find-links", str(folder))
    return Peer("lonely", "a peer for tests", (f"lonely=={version}",), pip_options=options)


@pytest.fixture
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Peer]]:
    """The table of peers, holding only `lonely`, and an empty home."""
    wheel(tmp_path, "1.0")
    table = {"lonely": lonely(tmp_path)}
    monkeypatch.setattr(environments, "PEERS", table)
    monkeypatch.setattr("onnxpress_bench.peers_cli.PEERS", table)
    monkeypatch.setenv(environments.HOME_VARIABLE, str(tmp_path / "home"))
    yield table


def version_in(python: Path) -> str:
    command = [str(python), "-I", "-c", "import lonely; print(lonely.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.nightly
def test_a_peer_is_installed_once_and_again_when_its_requirements_change(
    peers: dict[str, Peer], tmp_path: Path
) -> None:
    with pytest.raises(MissingPeer, match="`onnxpress peers --install lonely`"):
        interpreter("lonely")
    assert [one.installed for one in state()] == [False]

    said: list[str] = []
    install("lonely", said.append)
    first = interpreter("lonely")
    assert version_in(first) == "1.0"
    assert any("lonely" in line for line in said)
    (found,) = state()
    assert (found.installed, found.version, found.versions["lonely"]) == (True, "1.0", "1.0")
    assert found.size_bytes > 1_000_000 and Path(found.folder or "").is_dir()

    said.clear()
    install("lonely", said.append)
    assert (said, interpreter("lonely")) == ([], first)

    wheel(tmp_path, "2.0")
    peers["lonely"] = lonely(tmp_path, "2.0")
    with pytest.raises(MissingPeer):
        interpreter("lonely")

    # One that cannot be installed leaves the earlier one alone, and nothing else.
    peers["lonely"] = lonely(tmp_path, "3.0")
    with pytest.raises(BenchError, match=r"lonely could not be installed: No matching distribution.*lonely==3\.0"):
        install("lonely")
    assert first.exists() and len(list(home().glob("lonely@*"))) == 1

    peers["lonely"] = lonely(tmp_path, "2.0")
    install("lonely")
    assert version_in(interpreter("lonely")) == "2.0"
    assert not first.exists() and len(list(home().glob("lonely@*"))) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals are POSIX's")
@pytest.mark.nightly
def test_a_killed_installation_is_not_taken_for_complete(peers: dict[str, Peer], tmp_path: Path) -> None:
    script = f"""
import os, signal
from onnxpress_bench import environments
peer = environments.Peer("lonely", "", ("lonely==1.0",), ("--no-index", "--find-links", {str(tmp_path)!r}))
environments.PEERS = {{"lonely": peer}}
environments.install("lonely", lambda line: os.kill(os.getpid(), signal.SIGKILL) if "lonely" in line else None)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=HANG_S)
    assert result.returncode == -signal.SIGKILL
    (left,) = home().glob("lonely@*")
    with pytest.raises(MissingPeer):
        interpreter("lonely")
    install("lonely")
    assert version_in(interpreter("lonely")) == "1.0"
    assert not left.exists()


def test_a_record_without_its_folder_is_no_installation(peers: dict[str, Peer]) -> None:
    home().mkdir()
    recipe = environments._recipe(peers["lonely"])
    for content in (json.dumps({"folder": "lonely@gone", "recipe": recipe, "versions": {}}), "{}", "half a rec"):
        (home() / "lonely.json").write_text(content, encoding="utf-8")
        with pytest.raises(MissingPeer):
            interpreter("lonely")


def test_what_is_ours_is_all_that_the_folder_holds() -> None:
    with packages_folder() as folder:
        assert sorted(path.name for path in folder.iterdir()) == ["onnxpress", "onnxpress_bench"]
        script = "import onnxpress_bench.worker, onnxpress.format.files, sys; print(*sys.path); import click"
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        # -S: none of our libraries, as in an environment that has none of them.
        command = [sys.executable, "-P", "-S", "-c", script]
        result = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert str(folder) in result.stdout and "benchmarks" not in result.stdout
        assert "No module named 'click'" in result.stderr
    assert not folder.exists()


@pytest.mark.nightly
def test_the_command_lists_and_installs(peers: dict[str, Peer], tmp_path: Path) -> None:
    runner = CliRunner()
    listed = runner.invoke(peers_command, [])
    assert listed.exit_code == 0 and "onnxpress peers --install lonely" in listed.output

    peers["broken"] = replace(lonely(tmp_path, "9.9"), name="broken")
    result = runner.invoke(peers_command, ["--install", "broken,lonely", "--json"])
    assert result.exit_code == 1
    assert "error: broken could not be installed: No matching distribution" in result.stderr
    found = {one["name"]: one for one in json.loads(result.stdout)}
    assert (found["lonely"]["version"], found["broken"]["installed"]) == ("1.0", False)

    unknown = runner.invoke(peers_command, ["--install", "lonely,nobody"])
    assert isinstance(unknown.exception, BenchError) and "There is no peer 'nobody'" in str(unknown.exception)


def test_every_kind_of_backend_runs_in_a_peer_that_is_known() -> None:
    used = {kind.peer for kind in BACKENDS.values() if kind.peer}
    # What opens our artifacts in the tests alone, beside those that are timed.
    assert used | {"sentence-transformers", "transformers.js"} == set(PEERS)
    for name in PEERS:
        with pytest.raises(BenchError, match="no peer 'x'"):
            interpreter("x")
        assert PEERS[name].name == name and PEERS[name].requirements
