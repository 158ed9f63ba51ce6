"""Artifacts that several files test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.written import artifact_of, save_llama


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-generation artifact of random weights, with a chat template."""
    folder = tmp_path_factory.mktemp("llama")
    save_llama(folder / "checkpoint")
    return artifact_of(folder / "checkpoint", folder / "artifact", "text-generation")
