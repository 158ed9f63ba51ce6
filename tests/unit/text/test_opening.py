"""Every file that a tokenizer reads is the one that the manifest names."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from onnxpress.errors import ArtifactError, CorruptFile, MissingFile
from onnxpress.format.manifest import FILE_NAME, dump, parse
from onnxpress.layouts.artifact import Artifact
from onnxpress.text.opening import open_tokenizer

TRANSLATOR = Path(__file__).parents[2] / "golden" / "3-translator" / "artifact"
CHARSMAP, TARGET = "charsmap.bin", "tokenizer_target.json"
#: A normalization table in the format of sentencepiece that changes nothing: from its root no byte leads on.
NO_RULES = struct.pack("<257I", 1024, 0, *[1 << 31] * 255) + b"\0"


def with_charsmap(folder: Path) -> Path:
    """A translator whose source side names a normalization table."""
    shutil.copytree(TRANSLATOR, folder)
    (folder / CHARSMAP).write_bytes(NO_RULES)
    value = json.loads(dump(parse((folder / FILE_NAME).read_bytes())))
    value["processors"]["text"]["segmentation"]["charsmap_file"] = CHARSMAP
    value["files"][CHARSMAP] = {"bytes": len(NO_RULES), "sha256": sha256(NO_RULES).hexdigest()}
    (folder / FILE_NAME).write_text(json.dumps(value))
    return folder


def _changed(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


def _link(path: Path) -> None:
    outside = path.parent.parent / f"outside-{path.name}"
    path.rename(outside)
    path.symlink_to(outside)


TAMPERED: dict[str, tuple[Callable[[Path], None], type[ArtifactError], str]] = {
    "changed": (_changed, CorruptFile, "SHA-256"),
    "longer": (_longer, CorruptFile, "bytes, the manifest says"),
    "gone": (Path.unlink, MissingFile, "it is not there"),
}


@pytest.mark.parametrize("name", [CHARSMAP, TARGET])
@pytest.mark.parametrize("how", TAMPERED)
def test_a_tampered_file_is_refused(tmp_path: Path, name: str, how: str) -> None:
    tamper, error, message = TAMPERED[how]
    folder = with_charsmap(tmp_path / "artifact")
    assert open_tokenizer(Artifact.open(folder)) is not None
    tamper(folder / name)
    with pytest.raises(error, match=message):
        open_tokenizer(Artifact.open(folder))


@pytest.mark.parametrize("name", [CHARSMAP, TARGET])
def test_a_file_outside_is_refused(tmp_path: Path, name: str) -> None:
    folder = with_charsmap(tmp_path / "artifact")
    artifact = Artifact.open(folder)
    _link(folder / name)
    with pytest.raises(CorruptFile, match="outside the artifact"):
        open_tokenizer(artifact)
    with pytest.raises(CorruptFile, match="outside the artifact"):
        Artifact.open(folder)


def test_a_name_that_leads_out_is_refused(tmp_path: Path) -> None:
    folder = with_charsmap(tmp_path / "artifact")
    manifest = parse((folder / FILE_NAME).read_bytes())
    value = json.loads(dump(manifest))
    value["processors"]["text"]["target"]["file"] = "../tokenizer_target.json"
    value["files"]["../tokenizer_target.json"] = value["files"][TARGET]
    (folder / FILE_NAME).write_text(json.dumps(value))
    with pytest.raises(CorruptFile, match="not a plain path"):
        Artifact.open(folder)
