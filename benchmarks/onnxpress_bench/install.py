"""What an installation consists of: the versions of distributions with all they need, and their bytes on disk.

Nothing is imported or downloaded: the environment's own records are read. Knows nothing of backends.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Installed:
    """`versions`: of what was asked for. `size_bytes`: of that and all it needs, on disk; None if something asked
    for is not installed."""

    versions: dict[str, str]
    size_bytes: int | None


def closure(names: Sequence[str]) -> Installed:
    """Of distributions, named as for pip: "onnxpress[cpu]". What their markers exclude here is not counted."""
    distributions: dict[str, Distribution] = {}
    complete = sum(_collect(name, distributions) for name in names) == len(names)  # not all(): every one is collected
    roots = {_key(name): _plain(name) for name in names}
    versions = {roots[key]: distribution.version for key, distribution in distributions.items() if key in roots}
    return Installed(versions, sum(map(_size_bytes, distributions.values())) if complete else None)


def _plain(name: str) -> str:
    return re.split(r"[\[;<>=!~ (]", name, maxsplit=1)[0]


def _key(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", _plain(name)).lower()


def _collect(requirement: str, distributions: dict[str, Distribution]) -> bool:
    try:
        from packaging.requirements import Requirement
    except ImportError:  # a bare environment: pip carries it
        from pip._vendor.packaging.requirements import Requirement  # type: ignore[assignment]

    wanted = Requirement(requirement)
    try:
        installed = distribution(wanted.name)
    except PackageNotFoundError:
        return False
    seen = _key(wanted.name) in distributions
    distributions[_key(wanted.name)] = installed
    if seen and not wanted.extras:
        return True
    for line in installed.requires or ():
        needed = Requirement(line)
        contexts = [{"extra": extra} for extra in ("", *wanted.extras)]
        if needed.marker is None or any(needed.marker.evaluate(context) for context in contexts):
            text = f"{needed.name}[{','.join(sorted(needed.extras))}]" if needed.extras else needed.name
            _collect(text, distributions)
    return True


def _size_bytes(installed: Distribution) -> int:
    """Files of its record. An editable installation has its files elsewhere: those of its packages are counted."""
    files = [Path(str(installed.locate_file(file))) for file in installed.files or ()]
    total = sum(file.stat().st_size for file in files if file.is_file())
    if any(file.suffix == ".pth" for file in files):
        for package in _editable_packages(files):
            total += sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
    return total


def _editable_packages(files: Sequence[Path]) -> list[Path]:
    """The first folder that an editable installation adds to the path, which holds what production installs."""
    for file in files:
        if file.suffix == ".pth":
            lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line in sys.path]
            return [folder for line in lines[:1] for folder in Path(line).iterdir() if folder.is_dir()]
    return []
