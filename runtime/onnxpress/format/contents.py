"""Lists the files that a manifest names, by purpose, and checks files on disk against it. Opens no graph."""

from __future__ import annotations

import errno
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from onnxpress.errors import CorruptFile, InputError, MissingFile
from onnxpress.format.hashing import sha256
from onnxpress.format.manifest import FILE_NAME, Manifest, Variant


def variant_files(manifest: Manifest, precision: str) -> set[str]:
    """Names of all files that one variant needs to run."""
    return set(manifest.variants[precision].files)


def other_files(manifest: Manifest) -> set[str]:
    """Names of the files that belong to no variant: tokenizer, configuration."""
    used: set[str] = set().union(*(variant_files(manifest, name) for name in manifest.variants))
    return set(manifest.files) - used


def narrowed(text: bytes, manifest: Manifest, precisions: Collection[str]) -> bytes:
    """The text of a manifest for a copy that holds these variants alone; all else stays as it is.

    Args:
        text: the file that `manifest` was read from.
    """
    value = json.loads(text)
    names = other_files(manifest).union(*(variant_files(manifest, name) for name in precisions))
    for field, wanted in (("variants", precisions), ("files", names)):
        value[field] = {name: entry for name, entry in value[field].items() if name in wanted}
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def variant_bytes(manifest: Manifest, variant: Variant) -> int:
    """Bytes on disk of a variant's graph files, external data included."""
    return sum(manifest.files[name].bytes for name in variant.files)


def contained(folder: Path, name: str, link_roots: Sequence[Path] = ()) -> Path:
    """`folder / name`, if that stays inside the folder.

    Args:
        name: a plain relative POSIX path.
        link_roots: folders that links in `folder` may lead to as well, resolved.

    Raises:
        CorruptFile: the name is no plain path, or leads out of the folder.
    """
    parts = PurePosixPath(name).parts
    plain = name and "\\" not in name and "\0" not in name and ":" not in name and not name.startswith("/")
    if not plain or ".." in parts or str(PurePosixPath(name)) != name or name == ".":
        raise CorruptFile(f"{folder / FILE_NAME}: the file name {name!r} is not a plain path inside the artifact.")
    path = folder / name
    try:
        target = path.resolve()
    except (OSError, RuntimeError):  # RuntimeError: a loop of links, before Python 3.13
        raise CorruptFile(f"{path}: its name or its links lead nowhere. Do not trust this artifact.") from None
    if not any(target.is_relative_to(root) for root in (folder.resolve(), *link_roots)):
        raise CorruptFile(f"{path}: leads to {target}, outside the artifact. Do not trust this artifact.")
    return path


def present_file(
    folder: Path, manifest: Manifest, name: str, link_roots: Sequence[Path] = (), *, sized: bool = True
) -> Path:
    """The path of a file that the manifest lists, once its name and its size have been checked.

    Args:
        sized: whether the manifest knows the size; that of another tool's folder does not.

    Raises:
        MissingFile: the manifest does not list it, or it is not there.
        CorruptFile: its name leaves the folder, or its size is not the manifest's.
    """
    info = manifest.files.get(name)
    if info is None:
        raise MissingFile(f"{folder}: {name!r} is not listed in {FILE_NAME}.")
    path = contained(folder, name, link_roots)
    if not path.is_file():
        raise MissingFile(f"{path}: the manifest lists this file, but it is not there. Download or export again.")
    if sized and (size := path.stat().st_size) != info.bytes:
        raise CorruptFile(f"{path}: {size} bytes, the manifest says {info.bytes}. Download or export again.")
    return path


def check_hash(path: Path, manifest: Manifest, name: str) -> None:
    """Check the SHA-256 of a file that `present_file` gave.

    Raises:
        CorruptFile: it is not the manifest's.
    """
    digest, declared = sha256(path), manifest.files[name].sha256
    if digest != declared:
        raise CorruptFile(
            f"{path}: SHA-256 is {digest}, the manifest says {declared}. The file was changed or damaged: "
            "download or export again."
        )


def at_home(path: str | Path) -> Path:
    """A path with "~" or "~name" at its beginning as a home folder, where there is one of that name.

    Raises:
        InputError: it can be the name of no file.
    """
    if isinstance(path, str) and not path.strip():
        raise InputError(f"{path!r} names no folder and no file: an unset variable, perhaps.")
    place = Path(path)
    with suppress(RuntimeError):  # no such user
        place = place.expanduser()
    try:
        place.lstat()
    except ValueError as error:  # a zero byte
        raise InputError(f"{str(path)[:60]!r} can be the name of no file ({error}).") from None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{str(path)[:60]!r}... can be the name of no file ({error.strerror}).") from None
    return place
