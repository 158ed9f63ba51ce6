"""What an artifact says of where it comes from holds no absolute path."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxpress_exporter.write.origin import public_command, public_name


@pytest.mark.parametrize("source", ["organization/name", "models/tiny", "./tiny", "../tiny", "bert-base-uncased"])
def test_a_hub_id_and_a_relative_path_stay(source: str) -> None:
    assert public_name(source) == source


def test_an_absolute_path_is_seen_from_here_or_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert public_name(tmp_path / "models" / "tiny") == "models/tiny"
    assert public_name(tmp_path) == tmp_path.name
    assert public_name(tmp_path.parent / "other folder") == "other folder"
    monkeypatch.chdir(tmp_path.anchor)
    assert public_name(tmp_path / "tiny") == "tiny"


def test_a_command_can_be_typed_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["export", "/home/me/my model", f"{tmp_path}/out", "--adapter=/home/me/adapter", "--precision", "int8"]
    assert public_command(arguments) == "onnxpress export 'my model' out --adapter=adapter --precision int8"
    assert public_command(["quantize", "x", "--threshold", "cosine, worst=0.9"]).endswith("'cosine, worst=0.9'")
