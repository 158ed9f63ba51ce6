"""The `hub` fixture: a Hub on loopback that this process talks to instead of the real one.

Tests elsewhere get it by `from tests.hub.conftest import hub, pauses` in their own conftest.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .server import HubServer


def environment(hub: HubServer, home: Path) -> dict[str, str]:
    """What a new process needs in its environment to use `hub`, with the cache and the token of `home`."""
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between retries, in seconds: they are noted instead of waited."""
    noted: list[float] = []
    monkeypatch.setattr(time, "sleep", noted.append)
    return noted


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> Iterator[HubServer]:
    """A fresh server, and a fresh cache in `tmp_path / "hf"` without a token.

    huggingface_hub reads its environment when it is imported, which other tests may have caused, so the constants it
    derived are replaced along with the variables.
    """
    from huggingface_hub import constants

    home = tmp_path / "hf"
    with HubServer() as server:
        for name, value in environment(server, home).items():
            monkeypatch.setenv(name, value)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        derived: dict[str, Any] = {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}",
            "HF_HOME": str(home),
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_STORED_TOKENS_PATH": str(home / "stored_tokens"),
            "HF_HUB_OFFLINE": False,
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_HUB_DISABLE_PROGRESS_BARS": None,
        }
        for constant, setting in derived.items():
            monkeypatch.setattr(constants, constant, setting)
        yield server
