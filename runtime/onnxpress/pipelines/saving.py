"""Copies files of an artifact to a folder of the caller's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from onnxpress.errors import InputError
from onnxpress.format.contents import at_home
from onnxpress.format.files import staged_folder
from onnxpress.format.manifest import FILE_NAME
from onnxpress.layouts.artifact import Artifact


def save_artifact(artifact: Artifact, folder: str | Path) -> Path:
    """Copy an artifact whole, every variant of it, to a folder that is not there yet; returns it.

    Raises:
        InputError: the folder is there.
        OutputError: the disk is full.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise InputError(f"save_directory is {folder!r:.60}; it must be the name of a folder.")
    target = at_home(folder)
    if target.exists():
        raise InputError(f"{target} exists already. Choose another folder.")
    artifact.fetch(artifact.manifest.variants)
    with staged_folder(target) as staging:
        save_files(artifact, artifact.manifest.files, staging)
        if (artifact.folder / FILE_NAME).is_file():  # other tools' folders have none
            shutil.copyfile(artifact.folder / FILE_NAME, staging / FILE_NAME)
    return target


def save_files(artifact: Artifact, names: Iterable[str], folder: str | Path) -> tuple[str, ...]:
    """Copy files of an artifact, which are checked before; returns where they are."""
    target = at_home(folder)
    paths = []
    for name in names:
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.file(name), path)
        paths.append(str(path))
    return tuple(paths)
