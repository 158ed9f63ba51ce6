"""Describes a checkpoint and its files for the manifest.

Values in, manifest parts out; traces nothing and verifies nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

import onnx_ir

from onnxpress.format.front_matter import CARD, Card, read_card
from onnxpress.format.hashing import sha256
from onnxpress.format.manifest import (
    FILE_NAME,
    FileInfo,
    GraphFiles,
    Provenance,
)
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.write.origin import public_name

#: Where graphs are in this project's own layout.
GRAPHS = "onnx"

#: The endings of graphs and of their weights.
_OF_GRAPHS = (".onnx", ".onnx_data")

CONFIG = "config.json"

PACKAGES = ("onnxpress", "transformers", "torch", "onnxruntime", "onnx", "onnxscript", "tokenizers")


def graph_files(model: onnx_ir.Model, files: tuple[Path, ...], folder: Path) -> GraphFiles:
    """Describe a saved graph: its files, relative to the artifact, and the operator sets it needs."""
    first, *external = (path.relative_to(folder).as_posix() for path in files)
    return GraphFiles(first, tuple(external), dict(sorted(model.opset_imports.items())))


def provenance(checkpoint: Checkpoint, command: str) -> Provenance:
    """Origin of the weights, versions of what made the artifact."""
    return Provenance(
        source=public_name(checkpoint.source),
        revision=checkpoint.revision,
        commit=checkpoint.commit,
        weights_sha256=weights_sha256(_weight_files(checkpoint.model_folder)),
        command=command,
        created=moment(),
        versions=versions(),
        adapter=None if checkpoint.adapter is None else public_name(checkpoint.adapter.source),
    )


def moment() -> str:
    """Now, in UTC. SOURCE_DATE_EPOCH fixes the time."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def versions() -> dict[str, str]:
    """Python's version, and those of the packages that have a part in artifacts, as far as they are installed."""
    installed = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return {**installed, "python": python_version()}


def _weight_files(folder: Path) -> list[Path]:
    names = sorted(path for pattern in ("model*.safetensors", "pytorch_model*.bin") for path in folder.glob(pattern))
    return [path for path in names if path.suffix == ".safetensors"] or names


def weights_sha256(files: Sequence[Path]) -> str:
    """Hash the weight file; of several, their names and digests together."""
    if len(files) == 1:
        return sha256(files[0])
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{sha256(path)}  {path.name}\n".encode())
    return digest.hexdigest()


#: What text-embeddings-inference looks for under these names alone, whatever a family calls them.
_SIZES = ("hidden_size", "num_hidden_layers")


def copy_settings(checkpoint: Checkpoint, folder: Path, settings: Mapping[str, Any]) -> None:
    """Copy the checkpoint's config.json, resolving links, once the graphs are in `folder`. `settings`: what is said
    there besides, or in the place of what the checkpoint says.

    transformers.js has to be told there which graphs keep their weights in a file of their own.
    """
    if (source := checkpoint.model_folder / CONFIG).is_file():
        shutil.copyfile(source, folder / CONFIG)
    write_config({**checkpoint.config, **settings}, folder, changed=bool(settings))


def write_config(config: Mapping[str, Any], folder: Path, *, changed: bool) -> None:
    """Write config.json where it is `changed`, or has to say which graphs in `folder` keep weights in another file."""
    external = sorted(path.name.removesuffix("_data") for path in folder.rglob("*.onnx_data"))
    if external:
        config = {**config, "transformers.js_config": {"use_external_data_format": dict.fromkeys(external, 1)}}
    if external or changed:
        (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def copy_card(path: Path, folder: Path) -> None:
    """Copy what a model's card says of licence, languages and origin, for the artifact's card to carry over."""
    carried = read_card(path.read_text(encoding="utf-8", errors="replace")).carried() if path.is_file() else {}
    if carried:
        (folder / CARD).write_text(str(Card(carried, "")), encoding="utf-8")


def named_for_all(model: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """What config.json lacks of what readers of encoders look for: transformers knows it by other names, or by default.

    Args:
        model: of transformers, loaded.
    """
    sizes = {name: getattr(model.config, name, None) for name in _SIZES}
    known = {name: size for name, size in sizes.items() if isinstance(size, int)}
    wanted: dict[str, Any] = {"architectures": [type(model).__name__], "model_type": model.config.model_type, **known}
    return {name: value for name, value in wanted.items() if not config.get(name)}


def file_table(folder: Path, *, graphs: bool = True) -> dict[str, FileInfo]:
    """Size and SHA-256 of every file in `folder` but the manifest, by POSIX path, sorted; without `graphs` of those
    that are settings and tokenizers."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FILE_NAME)
    paths = [path for path in paths if graphs or not path.name.endswith(_OF_GRAPHS)]
    return {path.relative_to(folder).as_posix(): FileInfo(path.stat().st_size, sha256(path)) for path in paths}
