"""The files of a folder, or of a repository on the Hub, by name: which there are, and what the small ones say.

Every name and every JSON text is a stranger's: paths stay inside, sizes are bounded, an object names a field once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from onnxpress.errors import CorruptFile, MissingFile
from onnxpress.format.contents import contained
from onnxpress.format.strict_json import parse_json

#: More files than any model has.
MAX_FILES = 20_000
#: A JSON file of settings, and a tokenizer.
MAX_SETTINGS_BYTES, MAX_TOKENIZER_BYTES = 16 << 20, 256 << 20


class Files:
    """Files by name, relative POSIX paths.

    Args:
        names: tells which there are, when they are asked for; None: those in the folder and the folders in it, but
            hidden ones.
        bring: fetches those of these names that are not in the folder yet.
        link_roots: where links in the folder may lead besides, resolved.
    """

    def __init__(
        self,
        folder: Path,
        names: Callable[[], Iterable[str]] | None = None,
        bring: Callable[[Sequence[str]], object] | None = None,
        link_roots: tuple[Path, ...] = (),
    ) -> None:
        self.folder = folder
        self._names = names
        self._bring = bring
        self.link_roots = link_roots

    @cached_property
    def names(self) -> frozenset[str]:
        """The files that there are.

        Raises:
            CorruptFile: more than any model has.
        """
        names = set()
        for name in _names(self.folder) if self._names is None else self._names():
            names.add(name)
            if len(names) > MAX_FILES:
                raise CorruptFile(f"{self.folder}: more than {MAX_FILES} files, so this is no model's folder.")
        return frozenset(names)

    def bring(self, names: Sequence[str]) -> None:
        """Fetch those of these files that are not in the folder yet.

        Raises:
            HubError: the Hub refused or cannot be reached.
        """
        if self._bring is not None and any(not (self.folder / name).is_file() for name in names):
            self._bring(names)

    def path(self, name: str) -> Path:
        """Where a file is, brought here first if need be.

        Raises:
            CorruptFile: its name leads out of the folder.
            MissingFile: there is no such file.
            HubError: it has to come from the Hub, which refused or cannot be reached.
        """
        path = contained(self.folder, name, self.link_roots)
        if name not in self.names:
            raise MissingFile(f"{path}: there is no such file.")
        self.bring([name])
        if not path.is_file():
            raise MissingFile(f"{path}: there is no such file, or it is no regular one.")
        return path

    def json(self, name: str, most_bytes: int = MAX_SETTINGS_BYTES) -> Any:
        """What a JSON file says; an empty object where there is no such file.

        Raises:
            CorruptFile: it is no JSON, names a field twice, or is larger than such a file can be.
        """
        if name not in self.names:
            return {}
        path = self.path(name)
        if (size := path.stat().st_size) > most_bytes:
            raise CorruptFile(f"{path}: {size} bytes are more than such a file has ({most_bytes}).")
        try:
            return parse_json(path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise CorruptFile(f"{path}: not JSON ({error}). Download or export it again.") from None

    def settings(self, name: str) -> dict[str, Any]:
        """What a JSON file with one object says; empty where there is no such file.

        Raises:
            CorruptFile: as `json`, or it holds something else.
        """
        content = self.json(name)
        if not isinstance(content, dict):
            raise CorruptFile(f"{self.folder / name}: not a JSON object. Download or export it again.")
        return content


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix()
