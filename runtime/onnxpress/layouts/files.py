"""The files of a folder, or of a repository on the Hub, by name: which there are, and what the small ones say.

Every name and every JSON text is a stranger's: paths stay inside, sizes are bounded, an object names a field once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from onnxpress.errors import CorruptFile, MissingFile
from onnxpress.format.cache import keep
from onnxpress.format.contents import contained
from onnxpress.format.strict_json import parse_json
from onnxpress.graphcheck.scan import GraphFile, external_files, scan
from onnxpress.layouts.field_kinds import check_fields

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
        source: what the folder is called: a name on the Hub, or its own.
        elsewhere: files that count as the folder's: name -> where the caller has them.
        left_out: tells of a name whether it counts as not there.
    """

    def __init__(
        self,
        folder: Path,
        names: Callable[[], Iterable[str]] | None = None,
        bring: Callable[[Sequence[str]], object] | None = None,
        link_roots: tuple[Path, ...] = (),
        *,
        source: str = "",
        elsewhere: Mapping[str, Path] | None = None,
        left_out: Callable[[str], bool] | None = None,
    ) -> None:
        self.folder = folder
        self._names = names
        self._bring = bring
        self.link_roots = link_roots
        self.source = source or folder.absolute().name
        #: Files that are not in the folder: the caller's, and those that `make` made.
        self.elsewhere = dict(elsewhere or {})
        self._left_out = left_out

    @property
    def names(self) -> frozenset[str]:
        """The files that there are.

        Raises:
            CorruptFile: more than any model has.
        """
        return self._there.union(self.elsewhere)

    @cached_property
    def _there(self) -> frozenset[str]:
        names = set()
        for name in _names(self.folder) if self._names is None else self._names():
            if self._left_out is None or not self._left_out(name):
                names.add(name)
            if len(names) > MAX_FILES:
                raise CorruptFile(f"{self.folder}: more than {MAX_FILES} files, so this is no model's folder.")
        return frozenset(names)

    def with_elsewhere(self, files: Mapping[str, Path], left_out: Callable[[str], bool]) -> Files:
        """The same files, without some, and with others that the caller has."""
        return Files(
            self.folder,
            self._names,
            self._bring,
            self.link_roots,
            source=self.source,
            elsewhere={**self.elsewhere, **files},
            left_out=left_out,
        )

    def make(self, name: str, content: bytes) -> None:
        """Add a file that the folder lacks, kept in the cache."""
        self.elsewhere[name] = keep(name.rpartition("/")[2], content)

    def place(self, name: str) -> Path:
        """Where a file is, whether it is there yet or not."""
        return self.elsewhere.get(name, self.folder / name)

    def bring(self, names: Iterable[str]) -> None:
        """Fetch those of these files that are not in the folder yet.

        Raises:
            HubError: the Hub refused or cannot be reached.
        """
        missing = [name for name in names if not self.place(name).is_file()]
        if self._bring is not None and missing:
            self._bring(missing)

    def path(self, name: str) -> Path:
        """Where a file is, brought here first if need be.

        Raises:
            CorruptFile: its name leads out of the folder.
            MissingFile: there is no such file.
            HubError: it has to come from the Hub, which refused or cannot be reached.
        """
        path = self.elsewhere.get(name) or contained(self.folder, name, self.link_roots)
        if name not in self.names:
            raise MissingFile(f"{path}: there is no such file.")
        self.bring([name])
        if not path.is_file():
            raise MissingFile(f"{path}: there is no such file, or it is no regular one.")
        return path

    def named(self, name: str, said_in: str) -> str:
        """A file that another file of the folder names.

        Raises:
            CorruptFile: its name leads out of the folder.
            MissingFile, HubError: as `path`.
        """
        try:
            self.path(name)
        except CorruptFile:
            raise CorruptFile(
                f"{self.place(said_in)}: {name!r:.80} is no file inside of this folder. Do not trust it."
            ) from None
        return name

    def content(self, name: str, most_bytes: int) -> bytes:
        """What is in a file.

        Raises:
            CorruptFile: it is larger than such a file can be, or its name leads out of the folder.
            MissingFile, HubError: as `path`.
        """
        path = self.path(name)
        if (size := path.stat().st_size) > most_bytes:
            raise CorruptFile(f"{path}: {size} bytes are more than such a file has ({most_bytes}).")
        return path.read_bytes()

    def json(self, name: str, most_bytes: int = MAX_SETTINGS_BYTES) -> Any:
        """What a JSON file says; an empty object where there is no such file.

        Raises:
            CorruptFile: it is no JSON, names a field twice, has one of another kind than it should, is larger than such
                a file can be, or its name leads out of the folder.
        """
        if name not in self.names:
            if name not in self.elsewhere:
                contained(self.folder, name, self.link_roots)  # a name that another file gave
            return {}
        try:
            content = parse_json(self.content(name, most_bytes))
        except (ValueError, RecursionError) as error:
            raise CorruptFile(f"{self.place(name)}: not JSON ({error}). Download or export it again.") from None
        check_fields(content, name, self.place(name))
        return content

    def settings(self, name: str) -> dict[str, Any]:
        """What a JSON file with one object says; empty where there is no such file.

        Raises:
            CorruptFile: as `json`, or it holds something else.
        """
        content = self.json(name)
        if not isinstance(content, dict):
            raise CorruptFile(f"{self.place(name)}: not a JSON object. Download or export it again.")
        return content

    def beside(self, graph: str) -> list[str]:
        """Files that are likely to hold a graph's weights: those whose names begin with its."""
        return sorted(name for name in self.names if name.startswith(graph) and name != graph)

    def graph(self, name: str) -> GraphFile:
        """What a graph says of itself, brought here with its weights first, whatever they are called.

        Raises:
            ArtifactError: it is damaged or hostile, or its weights are missing.
            HubError: as `path`.
        """
        self.bring([name, *self.beside(name)])
        path = self.path(name)
        if self._bring is not None:
            folder = name.rpartition("/")[0]
            places = external_files(path, root=self.folder, also=self.link_roots)
            self.bring({f"{folder}/{place}" if folder else place for place in places} & self.names)
        return scan(path, root=self.folder, also=self.link_roots)


def _names(folder: Path) -> Iterator[str]:
    """The files of a folder and of those in it, but for hidden ones and what may not be read. A pipe, a device or a
    link that leads nowhere is refused when it is read, not missing."""
    for place, inside, files in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".")]
        for path in (Path(place, name) for name in files if not name.startswith(".")):
            with suppress(OSError):
                path.lstat()
                yield path.relative_to(folder).as_posix()
