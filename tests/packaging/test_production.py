"""The service of docs/production.md, under the servers that the page names."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.endless import ENDLESS, write_endless
from tests.fixtures.processes import HANG_S

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
    *settings, program, arguments = re.fullmatch(r"((?:\w+=\S+ )+)(\w+) (.*)", command).groups()  # type: ignore[union-attr]
    environ = dict(pair.split("=") for pair in settings[0].split()) | {"MODEL": str(artifact), "TIMEOUT_S": "1"}
    address = ["--port", "0"] if program == "uvicorn" else ["--bind", "127.0.0.1:0"]
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [PYTHON, "-m", program, *arguments.split(), *address],
        cwd=folder, env=ENVIRONMENT | environ, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        deadline, url = time.monotonic() + HANG_S, None
        while url is None:
            said = (folder / "log").read_text()
            assert time.monotonic() < deadline and server.poll() is None, said
            if listening := re.search(r"(?:running on|Listening at:) (http://127\.0\.0\.1:\d+)", said):
                url = listening[1]
            else:
                time.sleep(0.1)
        assert asked(f"{url}/ready") == (200, {"ready": True})
        yield url
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=HANG_S)
        assert server.returncode in (0, -signal.SIGTERM), (folder / "log").read_text()
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
        log.close()


def asked(url: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=HANG_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def answered(url: str, body: Any) -> tuple[int, Any]:
    """As `asked`, and once more where the machine, not the text, took the server's one second."""
    while (answer := asked(url, body))[0] == 504:
        pass
    return answer


def leave(url: str, body: Any) -> None:
    """Ask, and be gone before the answer."""
    address = urllib.parse.urlsplit(url)
    caller = http.client.HTTPConnection(str(address.hostname), address.port, timeout=HANG_S)
    caller.request("POST", address.path, json.dumps(body))
    time.sleep(0.2)
    caller.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="gunicorn forks")
@pytest.mark.parametrize("command", COMMANDS.strip().splitlines(), ids=["uvicorn", "gunicorn"])
def test_the_service_of_the_page(command: str, artifact: Path, tmp_path: Path) -> None:
    with served(command, artifact, tmp_path) as url:
        status, answer = answered(f"{url}/classify", {"texts": ["good", "very bad"]})
        assert (status, [entry["label"] for entry in answer["answers"]]) == (200, ["good", "bad"])
        for body in ("good", [], {"text": "good"}, {"texts": None}, {"texts": "good"}):
            assert asked(f"{url}/classify", body)[0] == 400
        status, answer = asked(f"{url}/classify", {"texts": ["good", None]})
        assert (status, answer["input"]) == (422, 1)
        assert answer["error"].startswith("inputs[1]: ")
        status, answer = asked(f"{url}/classify", {"texts": [ENDLESS]})
        assert (status, "longer than its timeout" in answer["error"]) == (504, True)
        # Callers who leave do not hold the cores: each would keep them for a second.
        for _ in range(4):
            leave(f"{url}/classify", {"texts": [ENDLESS]})
        answers: list[tuple[int, Any]] = []
        callers = [
            threading.Thread(target=lambda: answers.append(answered(f"{url}/classify", {"texts": ["good"] * 20})))
            for _ in range(8)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert [status for status, _ in answers] == [200] * 8
