"""The folder of a run that is not done: what it was started with, and the parts that are.

A part is there under its name when all of it is on the disk, and never before: it is written beside, flushed and
renamed. So whatever kills a run, the next one finds whole parts, and makes the others. Nothing else is remembered.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress.errors import CorruptFile, InputError, OutputError
from onnxpress.format.files import disk_failure, new_file, sync, write_file
from onnxpress.format.staging import alone
from onnxpress.format.strict_json import parse_json

_JOURNAL, _LOCK = "journal.json", "lock"


@dataclass(frozen=True, slots=True)
class RunParts:
    """The parts of a run whose answers will be in `out`."""

    out: Path

    @property
    def folder(self) -> Path:
        return self.out.with_name(f"{self.out.name}.parts")

    def part(self, number: int) -> Path:
        """Where a part is, or will be."""
        return self.folder / f"part-{number:08d}{self.out.suffix.lower()}"

    def has(self, number: int) -> bool:
        """Whether a part is done."""
        return self.part(number).is_file()

    @contextmanager
    def held(self, facts: Mapping[str, Any], *, force: bool) -> Iterator[None]:
        """Begin, or go on, while nobody else does.

        Args:
            facts: what answers depend on, by what it is called; JSON's values.
            force: whether parts and answers of another run are removed.

        Raises:
            InputError: the answers are there, another run is writing them, or its parts are of other facts.
            CorruptFile: the journal is not what was written.
            OutputError: the disk fails.
        """
        if self.out.exists() and not self.folder.is_dir() and not force:
            raise InputError(f"{self.out} is there already. Name another file, or pass --force to replace it.")
        with told_if_disk_fails(self.out):
            self.folder.mkdir(parents=True, exist_ok=True)
            with alone(self.folder / _LOCK) as ours:
                if not ours:
                    raise InputError(f"{self.out}: another `onnxpress batch` is writing it. Wait for it, or stop it.")
                self._settle(facts, force=force)
                yield

    def join(self, count: int, join: Callable[[Path, Sequence[Path]], None]) -> None:
        """Put the answers of all parts in their place, whole, and remove the parts."""
        joined = self.folder / f"joined{self.out.suffix}"
        write_whole(joined, lambda path: join(path, [self.part(number) for number in range(count)]))
        joined.replace(self.out)
        sync(self.out.absolute().parent)
        shutil.rmtree(self.folder)

    def _settle(self, facts: Mapping[str, Any], *, force: bool) -> None:
        path = self.folder / _JOURNAL
        if path.is_file():
            known = _read(path)
            changed = [name for name in {**known, **facts} if known.get(name) != facts.get(name)]
            if not changed:
                return
            if not force:
                raise InputError(
                    f"{self.folder} has parts of a run with another {' and another '.join(changed)}: "
                    + "; ".join(f"{name} was {known.get(name)!r:.80}, is {facts.get(name)!r:.80}" for name in changed)
                    + ". Ask as it was begun to go on, name another file, or pass --force to begin anew."
                )
        for part in self.folder.glob("part-*"):
            part.unlink()
        write_file(path, (json.dumps(facts, indent=2) + "\n").encode())


@contextmanager
def told_if_disk_fails(out: Path) -> Iterator[None]:
    """A disk that fails as an error that says what is kept.

    Raises:
        OutputError: it did.
    """
    try:
        yield
    except OSError as error:
        if (reason := disk_failure(error)) is None:
            raise
        raise OutputError(
            f"{out}: cannot be written ({reason}). Parts that are done are kept: free space, and run it again."
        ) from error


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Have a file written whole or not at all. `write`: is called with a name to write under."""
    with new_file(path) as partial:
        write(partial)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        value = parse_json(path.read_bytes())
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise CorruptFile(f"{path}: not what was written there. Remove {path.parent} to begin anew.")
    return value
