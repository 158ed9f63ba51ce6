"""Files of a checkpoint that are deep or odd: refused by name, never with somebody else's error."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.modules import sentence_modules
from onnxpress_exporter.source.weights import check_safetensors, read_json

DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.mark.parametrize("content", [DEEP, b"[" * 100_000, b"\xff", b"", b"[]", b'{"a": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_object(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(UnsupportedCheckpoint, match=r"config\.json"):
        read_json(path)


def test_deep_modules(tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_bytes(b"[" * 100_000)
    with pytest.raises(UnsupportedCheckpoint, match=r"modules\.json is not a list of modules"):
        sentence_modules(tmp_path)


@pytest.mark.parametrize(
    "header",
    [
        DEEP,
        b"[]",
        b'{"w": 3}',
        b'{"w": {}}',
        b'{"w": {"data_offsets": [0]}}',
        b'{"w": {"data_offsets": [0, "x"]}}',
        b'{"w": {"data_offsets": [0, Infinity]}}',
        b'{"w": {"data_offsets": [0, NaN]}}',
        b'{"w": {"data_offsets": {"1": 4}}}',
    ],
    ids=lambda header: header[:40].decode(),
)
def test_odd_headers(tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(UnsupportedCheckpoint, match="damaged"):
        check_safetensors(path)
