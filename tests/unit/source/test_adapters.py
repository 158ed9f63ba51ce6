"""Which model a PEFT adapter stands for: what it may name, and what it may not. Nothing here loads weights."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.adapters import CONFIG, WEIGHTS, Adapter, base_of, open_adapter
from onnxpress_exporter.source.checkpoint import open_checkpoint
from tests.hub.conftest import hub, pauses  # noqa: F401 - fixtures
from tests.hub.server import HubServer

EMPTY = struct.pack("<Q", 2) + b"{}"
MODEL = {"config.json": b'{"model_type": "bert", "architectures": ["BertModel"]}', "model.safetensors": EMPTY}


def write_adapter(folder: Path, base: Any, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(json.dumps({"base_model_name_or_path": base, **config}))
    (folder / WEIGHTS).write_bytes(EMPTY)
    return folder


def write_model(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name, content in MODEL.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_of_its_own_wins_over_a_hub_id(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", "org/model")
    assert base_of(open_adapter(adapter)) == "org/model"
    model = write_model(adapter / "org" / "model")
    assert base_of(open_adapter(adapter)) == model
    assert open_checkpoint(adapter).folder == model


def test_a_folder_of_the_users_as_training_named_it(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    checkpoint = open_checkpoint(write_adapter(tmp_path / "adapter", str(model)))
    assert checkpoint.folder == model and checkpoint.adapter is not None
    assert checkpoint.adapter.source == str(tmp_path / "adapter")


@pytest.mark.parametrize("base", [".", "./", "sub/..", "{folder}"])
def test_an_adapter_that_names_itself(tmp_path: Path, base: str) -> None:
    adapter = write_adapter(tmp_path / "adapter", base.format(folder=tmp_path / "adapter"))
    with pytest.raises(UnsupportedCheckpoint, match="names itself as its base"):
        open_checkpoint(adapter)


def test_adapters_in_a_circle_and_in_a_chain(tmp_path: Path) -> None:
    first = write_adapter(tmp_path / "first", str(tmp_path / "second"))
    second = write_adapter(tmp_path / "second", str(first))
    for adapter in (first, second):
        with pytest.raises(UnsupportedCheckpoint, match="is an adapter itself"):
            open_checkpoint(adapter)
    # An adapter of an adapter would lose the inner one's changes.
    write_adapter(second, str(write_model(tmp_path / "model")))
    with pytest.raises(UnsupportedCheckpoint, match="is an adapter itself"):
        open_checkpoint(first)


@pytest.mark.parametrize("base", ["..", "../model", "sub/../../model"])
def test_a_path_that_leaves_the_folder(tmp_path: Path, base: str) -> None:
    write_model(tmp_path / "model")
    with pytest.raises(UnsupportedCheckpoint, match="leaves its folder"):
        open_checkpoint(write_adapter(tmp_path / "adapter", base))


def test_a_link_that_leaves_the_folder(tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "adapter", "base")
    (adapter / "base").symlink_to(write_model(tmp_path / "model"))
    with pytest.raises(UnsupportedCheckpoint, match="leaves its folder"):
        open_checkpoint(adapter)


@pytest.mark.parametrize("base", ["{folder}", "~/model", "~"])
def test_an_adapter_from_the_hub_does_not_reach_for_folders(tmp_path: Path, base: str) -> None:
    write_model(tmp_path / "model")
    folder = write_adapter(tmp_path / "adapter", "x")
    with pytest.raises(UnsupportedCheckpoint, match="leaves its folder"):
        base_of(Adapter("org/adapter", folder, base.format(folder=tmp_path / "model"), fetched=True))


@pytest.mark.parametrize("fields", [{"base": 3}, {"base": ["a"]}, {"base": "org/model", "revision": 3}])
def test_odd_fields(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="should be a text"):
        open_adapter(write_adapter(tmp_path / "adapter", **fields))


def test_the_revision_that_the_adapter_was_trained_on(hub: HubServer, tmp_path: Path) -> None:  # noqa: F811
    old = hub.add("org/model", MODEL, revision="v1")
    new = hub.add("org/model", {**MODEL, "config.json": b'{"model_type": "bert", "hidden_size": 8}'})
    files = {CONFIG: json.dumps({"base_model_name_or_path": "org/model", "revision": "v1"}).encode(), WEIGHTS: EMPTY}
    hub.add("org/adapter", files)
    adapter = write_adapter(tmp_path / "adapter", "org/model", revision="v1")
    for checkpoint in (
        open_checkpoint(adapter),
        open_checkpoint("org/adapter"),
        open_checkpoint("org/model", adapter=adapter),
    ):
        assert (checkpoint.source, checkpoint.revision, checkpoint.commit) == ("org/model", "v1", old)
    # What the user says goes over it.
    assert open_checkpoint("org/model", revision="main", adapter=adapter).commit == new
    assert open_checkpoint(write_adapter(tmp_path / "newest", "org/model")).commit == new
