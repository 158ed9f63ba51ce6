"""The import contracts in pyproject.toml name every package there is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
ONLY_IMPORTERS = {
    "one-importer-onnxruntime": "engine",
    "one-importer-tokenizers": "text",
    "one-importer-huggingface-hub": "hub",
    "one-importer-jinja2": "chat",
    "one-importer-llguidance": "generation",
    "one-importer-pillow": "image",
}


def _packages_of_the_runtime() -> set[str]:
    folder = ROOT / "runtime" / "onnxpress"
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    return packages | {path.stem for path in folder.glob("*.py") if not path.stem.startswith("__")}


def _contract(identifier: str) -> dict[str, Any]:
    return next(contract for contract in CONTRACTS if contract["id"] == identifier)


@pytest.mark.parametrize("identifier", ONLY_IMPORTERS)
def test_only_one_package_is_left_out(identifier: str) -> None:
    sources = {name.removeprefix("onnxpress.") for name in _contract(identifier)["source_modules"]}
    assert _packages_of_the_runtime() - sources == {ONLY_IMPORTERS[identifier]}


def test_the_layers_are_exhaustive() -> None:
    assert all(contract["exhaustive"] for contract in CONTRACTS if contract["type"] == "layers")
