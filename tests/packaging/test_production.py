"""The service of docs/production.md, under the servers that the page names."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.endless import ENDLESS, write_endless

from .interpreter import ENVIRONMENT, PYTHON, require

PAGE = Path(__file__).parents[2] / "docs" / "production.md"
SERVICE, COMMANDS = re.findall(r"```(?:python)?\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require("starlette", "uvicorn", "uvicorn_worker", "gunicorn")
    return write_endless(tmp_path_factory.mktemp("endless") / "artifact")


@contextmanager
def served(command: str, artifact: Path, folder: Path) -> Iterator[str]:
    """Start what a line of the page starts, on a free port; the address."""
    (folder / "service.py").write_text(SERVICE, encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    *settings, program, arguments = re.fullmatch(r"((?:\w+=\S+ )+)(\w+) (.*)", command).groups()  # type: ignore[union-attr]
    environ = dict(pair.split("=") for pair in settings[0].split()) | {"MODEL": str(artifact), "TIMEOUT_S": "1"}
    address = ["--port", str(port)] if program == "uvicorn" else ["--bind", f"127.0.0.1:{port}"]
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [PYTHON, "-m", program, *arguments.split(), *address],
        cwd=folder, env=ENVIRONMENT | environ, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and server.poll() is None:
            try:
                assert asked(f"{url}/ready") == (200, {"ready": True})
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield url
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        assert server.returncode in (0, -signal.SIGTERM), (folder / "log").read_text()
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
        log.close()


def asked(url: str, body: Any = None, timeout: float = 60) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=timeout) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn forks")
@pytest.mark.parametrize("command", COMMANDS.strip().splitlines(), ids=["uvicorn", "gunicorn"])
def test_the_service_of_the_page(command: str, artifact: Path, tmp_path: Path) -> None:
    with served(command, artifact, tmp_path) as url:
        status, answer = asked(f"{url}/classify", {"texts": ["good", "very bad"]})
        assert (status, [entry["label"] for entry in answer["answers"]]) == (200, ["good", "bad"])
        status, answer = asked(f"{url}/classify", {"texts": ["good", None]})
        assert (status, answer["input"]) == (422, 1)
        assert answer["error"].startswith("inputs[1]: ")
        status, answer = asked(f"{url}/classify", {"texts": [ENDLESS]})
        assert (status, "longer than its timeout" in answer["error"]) == (504, True)
        # Callers who leave do not hold the cores: each would keep them for a second.
        for _ in range(4):
            with pytest.raises(TimeoutError):
                asked(f"{url}/classify", {"texts": [ENDLESS]}, timeout=0.2)
        answers: list[tuple[int, Any]] = []
        callers = [
            threading.Thread(target=lambda: answers.append(asked(f"{url}/classify", {"texts": ["good"] * 20})))
            for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert [status for status, _ in answers] == [200] * 8
