"""Fetching in a process of its own, where only the environment tells the library what to do, and stderr is watched."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path

import pytest

from onnxpress.hub import fetch
from tests.fixtures.processes import HANG_S

from .conftest import environment
from .server import HubServer
from .test_hub import FILES, WEIGHTS, content

FETCH = "import sys; from onnxpress.hub import fetch; print(fetch(sys.argv[1], None, ['*']).commit)"


def run(hub: HubServer, home: Path, code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=clean | environment(hub, home) | variables,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def test_stderr_stays_empty_though_the_library_would_warn(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add("org/model", FILES)
    hub.fault("GET", "/api/*/tree/*", times=1, status=500, headers={"X-HF-Warning": "old; Please upgrade"})
    hub.fault("HEAD", "*/config.json", times=2, status=503)
    done = run(hub, tmp_path / "hf", FETCH, "org/model", HF_HUB_ENABLE_HF_TRANSFER="1")
    assert (done.stdout, done.stderr, done.returncode) == (commit + "\n", "", 0)


def test_the_library_would_warn(hub: HubServer, tmp_path: Path) -> None:
    """What the test above relies on: without this module, such a fault ends up on stderr."""
    hub.add("org/model", FILES)
    hub.fault("HEAD", "*/config.json", times=2, status=503)
    code = "import sys; from huggingface_hub import snapshot_download; snapshot_download(sys.argv[1])"
    done = run(hub, tmp_path / "hf", code, "org/model")
    assert "HTTP Error 503" in done.stderr


def test_a_process_uses_the_token_and_the_cache_of_its_environment(hub: HubServer, tmp_path: Path) -> None:
    commit = hub.add("org/secret", FILES, private=True)
    hub.grant("hf_right", "org/secret")
    online = run(hub, tmp_path / "hf", FETCH, "org/secret", HF_TOKEN="hf_right")
    count = len(hub.requests())
    offline = run(hub, tmp_path / "hf", FETCH, "org/secret", HF_HUB_OFFLINE="1")
    for done in (online, offline):
        assert (done.stdout, done.stderr, done.returncode) == (commit + "\n", "", 0)
    assert len(hub.requests()) == count


def test_importing_does_not_import_the_library() -> None:
    code = "import sys, onnxpress.hub as h; h.looks_like_repo_id('a/b'); print('huggingface_hub' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_threads_fetch_side_by_side(hub: HubServer) -> None:
    commits = {f"org/model{number}": hub.add(f"org/model{number}", FILES) for number in range(4)}
    found: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda name=name: found.update({name: fetch(name, None, ["*"]).commit}))
        for name in commits
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert found == commits


def terminal(hub: HubServer, home: Path, *, quiet_s: float) -> tuple[str, str]:
    """Fetch 2 MB that take about a second, with a terminal for stderr; returns stdout and what the terminal got."""
    code = (
        "import huggingface_hub.constants as c, onnxpress.hub.quiet as q; from onnxpress.hub import fetch\n"
        f"c.DOWNLOAD_CHUNK_SIZE = 1000; q._QUIET_S = {quiet_s}; print(fetch('org/model', None, ['*']).commit)"
    )
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # tqdm draws nothing in 0 columns
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TQDM"))}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=clean | environment(hub, home),
        stdout=subprocess.PIPE,
        stderr=slave,
        text=True,
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(master)
    out, _ = process.communicate(timeout=HANG_S)
    return out.strip(), shown.decode()


@pytest.mark.parametrize("long", [False, True])
def test_a_terminal_shows_one_bar_and_only_if_it_takes_long(hub: HubServer, tmp_path: Path, long: bool) -> None:
    commit = hub.add("org/model", {"config.json": b"{}", "model.onnx": WEIGHTS * 20})
    hub.fault("GET", "*model.onnx?signature*", slow_s=1.0)
    out, shown = terminal(hub, tmp_path / "hf", quiet_s=0.2 if long else HANG_S)
    assert out == commit
    if not long:
        assert shown == ""
        return
    assert "org/model:" in shown
    assert "2.05M" in shown
    assert "\n" not in shown  # one bar, in one line
    assert shown.endswith("\r")  # which is gone at the end
    assert shown.split("\r")[-2].strip() == ""
    assert "Fetching" not in shown
    assert "construct" not in shown


def test_ctrl_c_ends_a_download_at_once(hub: HubServer, tmp_path: Path) -> None:
    hub.add("org/model", {"config.json": b"{}", "model.onnx": WEIGHTS * 100})
    hub.fault("GET", "*model.onnx?signature*", slow_s=HANG_S)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    process = subprocess.Popen(
        [sys.executable, "-c", FETCH, "org/model"],
        env=clean | environment(hub, tmp_path / "hf"),
        stderr=subprocess.PIPE,
        text=True,
    )
    while not hub.requests("GET", "*model.onnx?signature*"):
        assert process.poll() is None
        threading.Event().wait(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=HANG_S / 2)
    assert process.returncode == -signal.SIGINT
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert not list(tmp_path.rglob("*.incomplete"))
    hub.heal()
    assert content(fetch("org/model", None, ["*.onnx"])) == {"model.onnx": WEIGHTS * 100, "config.json": b"{}"}


def test_without_the_library_the_message_names_the_install() -> None:
    code = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "from onnxpress.errors import MissingDependency\nfrom onnxpress.hub import fetch\n"
        "try: fetch('org/model', None, ['*'])\nexcept MissingDependency as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True)
    assert "pip install huggingface_hub" in done.stdout
