"""The PyTorch checkpoint that an artifact was made from: on the Hub at a commit, or a folder that is looked for.

An artifact names folders as they were seen from where the export ran, never by a path of that machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from onnxpress import Artifact
from onnxpress.errors import InputError
from onnxpress.format.manifest import FILE_NAME
from onnxpress_bench.errors import BenchError

#: A folder with one of these, and without a manifest of ours, is a checkpoint or an adapter for one.
_MARKS = ("config.json", "modules.json", "adapter_config.json")


@dataclass(frozen=True, slots=True)
class Origin:
    """`checkpoint`, `adapter`: a folder or a Hub id. `revision`: of a checkpoint on the Hub."""

    checkpoint: str
    revision: str | None
    adapter: str | None


def origin_of(artifact: Artifact, checkpoint: str | None) -> Origin:
    """Where the checkpoint is, or `checkpoint`, which needs no adapter.

    Raises:
        BenchError: its folder, or that of its adapter, is nowhere; the message says where it was looked for.
        InputError: `checkpoint` is neither a folder nor a Hub id.
    """
    from onnxpress import hub

    if checkpoint is not None:
        if not Path(checkpoint).is_dir() and not hub.looks_like_repo_id(checkpoint):
            raise InputError(f"--checkpoint {checkpoint}: there is no such folder, and it is not a Hub id either.")
        return Origin(checkpoint, None, None)
    provenance = artifact.manifest.provenance
    source, adapter = provenance.source, provenance.adapter
    # A source without a commit was a folder; were it taken for a Hub id now, a stranger's model would be measured.
    if provenance.commit is None:
        source = _folder(artifact, source, "from the checkpoint")
    if adapter is not None and ("/" not in adapter or _find(artifact, adapter) is not None):
        adapter = _folder(artifact, adapter, "with the adapter")
    return Origin(source, provenance.commit or provenance.revision, adapter)


def _folder(artifact: Artifact, name: str, how: str) -> str:
    folder = _find(artifact, name)
    if folder is None:
        raise BenchError(
            f"{artifact.folder} was made {how} {name}, and there is no such folder in {Path.cwd()}, nor in "
            f"{artifact.folder.absolute().parent} or above it. Measure from the folder that it is in, or name the "
            "PyTorch checkpoint with --checkpoint FOLDER_OR_HUB_ID; of an adapted model, with its adapter merged."
        )
    return str(folder)


def _find(artifact: Artifact, name: str) -> Path | None:
    """The folder of this name seen from here, else from beside the artifact, else from a folder above it."""
    return next((folder for folder in _places(artifact, name) if _is_checkpoint(folder)), None)


def _places(artifact: Artifact, name: str) -> Iterator[Path]:
    yield Path(name)
    yield from (folder / name for folder in artifact.folder.absolute().parents)


def _is_checkpoint(folder: Path) -> bool:
    return not (folder / FILE_NAME).exists() and any((folder / mark).is_file() for mark in _MARKS)
