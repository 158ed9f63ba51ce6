"""Checks the files of a checkpoint before anything loads them: which hold the weights, and whether they are whole.

Knows file names and the safetensors header; nothing of models, tasks or graphs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# Other things that people point an exporter at: what is there -> what to say.
_FOREIGN: tuple[tuple[str, str], ...] = (
    (
        "adapter_config.json",
        "it holds a PEFT adapter that does not name its base model. Export the base, with --adapter and this folder",
    ),
    ("*.gguf", "it holds GGUF weights (llama.cpp). Point at the original PyTorch checkpoint"),
    ("tf_model.h5", "its weights are TensorFlow's. Convert them to safetensors first"),
    ("*.msgpack", "its weights are Flax's. Convert them to safetensors first"),
    ("onnxpress.json", "it is an onnxpress artifact already"),
    ("*.onnx", "it holds ONNX files and no PyTorch weights"),
    ("onnx/*.onnx", "it holds ONNX files and no PyTorch weights"),
)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from `path`; UnsupportedCheckpoint if it is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnsupportedCheckpoint(f"{path} is not readable as JSON: {error}.") from error
    if not isinstance(content, dict):
        raise UnsupportedCheckpoint(f"{path} should hold a JSON object.")
    return content


def explain_missing_weights(folder: Path) -> UnsupportedCheckpoint:
    """The error for a folder without PyTorch weights, naming what it holds instead."""
    steps = sorted(
        (int(entry.name.rpartition("-")[2]), entry)
        for entry in folder.glob("checkpoint-*")
        if entry.is_dir() and entry.name.rpartition("-")[2].isdigit()
    )
    if steps:
        return UnsupportedCheckpoint(
            f"{folder} is a Trainer's output folder without a model of its own. "
            f"Export one of its checkpoints; the latest is {steps[-1][1]}."
        )
    for pattern, reason in _FOREIGN:
        if any(folder.glob(pattern)):
            return UnsupportedCheckpoint(f"{folder} cannot be exported: {reason}.")
    return UnsupportedCheckpoint(f"{folder} holds no weights: expected one of {', '.join(SAFETENSORS + PICKLED)}.")


def check_weights(folder: Path, *, allow_pickled: bool) -> bool:
    """Check that `folder` holds whole weights; True if they are safetensors, False if pickled.

    Raises UnsupportedCheckpoint if there are none, if they are pickled and `allow_pickled` is
    False, or if a file is missing, truncated or not what its name says.
    """
    name = next((name for name in SAFETENSORS if (folder / name).is_file()), None)
    if name is not None:
        for path in _shards(folder / name):
            check_safetensors(path)
        return True
    name = next((name for name in PICKLED if (folder / name).is_file()), None)
    if name is None:
        raise explain_missing_weights(folder)
    if not allow_pickled:
        raise UnsupportedCheckpoint(
            f"{folder / name} is a pickle, a format that can run code when it is opened, and there "
            "is no safetensors file. If you trust its author, allow pickled weights; better, save "
            "the model again with transformers, which writes safetensors."
        )
    for path in _shards(folder / name):
        _refuse_pointer(path)
    return False


def _shards(path: Path) -> tuple[Path, ...]:
    """The weight files that `path`, a weight file or an index of several, stands for."""
    if path.suffix != ".json":
        return (path,)
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise UnsupportedCheckpoint(f"{path} has no weight_map.")
    names = sorted({str(name) for name in weight_map.values()})
    if unsafe := [name for name in names if Path(name).name != name]:
        raise UnsupportedCheckpoint(f"{path} names a file outside its folder: {unsafe[0]}.")
    shards = tuple(path.parent / name for name in names)
    if missing := [shard.name for shard in shards if not shard.is_file()]:
        raise UnsupportedCheckpoint(
            f"{path.parent} lacks {len(missing)} of its {len(shards)} weight files, first {missing[0]}."
        )
    return shards


def _refuse_pointer(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(30).startswith(b"version https://git-lfs"):
            raise UnsupportedCheckpoint(
                f"{path} is a Git LFS pointer, not the file itself. Run `git lfs pull` in its folder."
            )


def check_safetensors(path: Path) -> None:
    """Refuse a file whose header does not describe exactly the bytes that are there.

    Layout: 8 bytes little-endian header length, that many bytes of JSON, then the tensors.
    """
    _refuse_pointer(path)
    size_bytes = path.stat().st_size
    try:
        with path.open("rb") as file:
            (header_bytes,) = struct.unpack("<Q", file.read(8))
            if header_bytes > size_bytes - 8:
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(header_bytes))
        ends = [int(entry["data_offsets"][1]) for key, entry in header.items() if key != "__metadata__"]
    except (struct.error, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        raise UnsupportedCheckpoint(
            f"{path} is damaged or not a safetensors file ({error}). Download or copy it again."
        ) from error
    expected_bytes = 8 + header_bytes + max(ends, default=0)
    if size_bytes != expected_bytes:
        raise UnsupportedCheckpoint(
            f"{path} is damaged: {size_bytes} bytes where its header promises {expected_bytes}. "
            "Download or copy it again."
        )
