"""An artifact on disk or on the Hub: what it holds, and files that are what it says.

A file is handed out only after four checks: its name stays inside the artifact, it exists, it has the size the
manifest gives, and it has the SHA-256 the manifest gives. Graphs are also scanned before ONNX Runtime sees them.
Of an artifact on the Hub, files come when they are asked for. This module knows nothing of sessions, tokenizers or
tasks.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from onnxpress.errors import BatchDependenceWarning, CorruptFile, InputError, MissingFile, UnsupportedFormat
from onnxpress.format.contents import at_home, checked_file, contained, other_files, variant_files
from onnxpress.format.manifest import FILE_NAME, GraphFiles, Manifest
from onnxpress.format.model import Adopted, Trust
from onnxpress.graphcheck.scan import scan
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.table import LAYOUTS, read_files

if TYPE_CHECKING:
    from onnxpress.hub import Access, Snapshot


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder that a layout knows. Its files are checked when they are asked for.

    `trust`: what the folder's answers are worth before they are checked; see `format.model`. `snapshot`: where the
    folder is in the Hub's cache, whose missing files are fetched when they are asked for; None: a folder of its own.
    `adopted`: how another tool's folder was understood; its manifest is not on disk. None: it is an artifact of ours.
    """

    folder: Path
    manifest: Manifest
    trust: Trust = "verified"
    snapshot: Snapshot | None = None
    adopted: Adopted | None = None
    _checked: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def open(
        source: str | Path,
        *,
        revision: str | None = None,
        precision: str | None = None,
        access: Access | None = None,
        pooling: str | None = None,
    ) -> Artifact:
        """Open a local folder, or a repository on the Hub: of that, what says what it is, and `precision`, if given.

        The folder may be another tool's; its manifest, whose task is "", is inferred then.

        Args:
            source: a folder, or a Hub id such as "organization/name". A folder that exists wins. "~" at its beginning
                is the home folder.
            revision: branch, tag or commit on the Hub.
            precision: fetch this variant at once; None: fetch variants when they are asked for.
            access: how the Hub is asked; None: as its library's settings say.
            pooling: how token states become one vector, where another tool's folder does not say; of an artifact of
                ours it is known.

        Raises:
            ArtifactError: there is no valid artifact; the subclass says what is wrong.
            InputError: pooling is given, and is known or is none.
            UnsupportedFormat: it has no variant of this precision.
            HubError: the Hub refused or cannot be reached.
        """
        folder = at_home(source)
        asked = Asked(precision, pooling)
        if folder.is_dir():
            if (inside := _inside(folder)) is not None:
                raise MissingFile(inside)
            return Artifact.of_files(Files(folder), asked)
        from onnxpress import hub

        if not isinstance(source, str) or folder.is_file() or not hub.looks_like_repo_id(source):
            raise MissingFile(_no_folder(folder))
        snapshot = hub.fetch(source, revision, marks(), access=access or hub.USUAL_ACCESS)
        artifact = Artifact.of_files(_files_of(snapshot), asked, snapshot)
        if precision is not None:
            artifact.fetch([precision])
        return artifact

    @staticmethod
    def of_files(files: Files, asked: Asked, snapshot: Snapshot | None = None) -> Artifact:
        """The artifact that these files make.

        Raises:
            ArtifactError, InputError: as of `open`.
        """
        model = read_files(files, asked)
        if model.adopted is None and asked.pooling is not None:
            raise InputError(
                f"pooling={asked.pooling!r}: {files.folder} says how its vectors are made. Leave pooling out."
            )
        artifact = Artifact(files.folder, model.manifest, model.trust, snapshot, model.adopted)
        for name in model.manifest.files:
            contained(files.folder, name, files.link_roots)
        return artifact

    def fetch(self, precisions: Iterable[str]) -> None:
        """Bring here all that these variants need to run, where the artifact is on the Hub.

        Raises:
            UnsupportedFormat: there is no such variant.
            HubError: the Hub refused or cannot be reached.
        """
        self._fetch(self.needed(precisions))

    def needed(self, precisions: Iterable[str]) -> set[str]:
        """The files that these variants need to run, but the manifest itself.

        Raises:
            UnsupportedFormat: there is no such variant.
        """
        names = other_files(self.manifest)
        for precision in precisions:
            if precision not in self.manifest.variants:
                raise UnsupportedFormat(
                    f"{self.folder}: no variant {precision!r}; there is {', '.join(self.manifest.variants)}."
                )
            names |= variant_files(self.manifest, precision)
        return names

    def file(self, name: str) -> Path:
        """The path of one file that the manifest lists, after the checks.

        Raises:
            MissingFile: it is not there.
            CorruptFile: its name leaves the artifact, or its size or SHA-256 is not the manifest's.
            HubError: it has to come from the Hub, which refused or cannot be reached.
        """
        if name not in self._checked:
            if self.snapshot is not None and name in self.manifest.files:
                others = other_files(self.manifest)
                self._fetch(others if name in others else [name])
            hashed = self.trust != "unverified"
            self._checked[name] = checked_file(
                self.folder, self.manifest, name, _link_roots(self.folder), hashed=hashed
            )
        return self._checked[name]

    def graphs(self, precision: str) -> dict[str, Path]:
        """The checked `.onnx` files of one variant, by graph name.

        Raises:
            UnsupportedFormat: there is no such variant, or a graph that this onnxpress does not run.
            MissingFile, CorruptFile, HubError: as `file`.
        """
        self.fetch([precision])
        variant = self.manifest.variants[precision]
        return {name: self._graph(precision, name, files) for name, files in variant.graphs.items()}

    def _fetch(self, names: Collection[str]) -> None:
        if self.snapshot is None or all((self.folder / name).is_file() for name in names):
            return
        from onnxpress import hub

        patterns = [escape(name) for name in sorted(names)]
        hub.fetch(self.snapshot.repo_id, self.snapshot.commit, patterns, access=self.snapshot.access)

    def _graph(self, precision: str, name: str, files: GraphFiles) -> Path:
        path = self.file(files.file)
        for external in files.external:
            self.file(external)
        scanned = scan(path, root=self.folder, also=_link_roots(self.folder))
        external_files = {str(PurePosixPath(files.file).parent / location) for location in scanned.external}
        if self.adopted is None and external_files != set(files.external):
            raise CorruptFile(
                f"{path}: reads external data from {sorted(external_files)}, but the manifest lists "
                f"{sorted(files.external)}. Do not trust this artifact."
            )
        if scanned.batch_dependent:
            warnings.warn(
                f"{path}: uses {', '.join(scanned.batch_dependent)}: an answer of this graph depends on what else is "
                "in the batch. `onnxpress quantize` makes an int8 variant that does not.",
                BatchDependenceWarning,
                stacklevel=2,
            )
        declared = self.manifest.graphs[name]
        inputs, outputs = {tensor.name for tensor in declared.inputs}, {tensor.name for tensor in declared.outputs}
        if self.adopted is not None:
            if set(scanned.inputs) != inputs or not outputs <= set(scanned.outputs):
                raise UnsupportedFormat(
                    f"{path}: takes and returns other things than the variant that was looked at. Ask for this one by "
                    f"its name: precision={precision!r}."
                )
        elif (set(scanned.inputs), set(scanned.outputs)) != (inputs, outputs):
            raise CorruptFile(
                f"{path}: takes {sorted(scanned.inputs)} and returns {sorted(scanned.outputs)}, not what the manifest "
                f"declares for graph {name!r} of {precision}. Do not trust this artifact."
            )
        return path


def marks() -> list[str]:
    """Files by which the layouts are known."""
    return list(dict.fromkeys(mark for layout in LAYOUTS for mark in layout.marks))


def _no_folder(path: Path) -> str:
    """Why nothing can be opened there, and what to open instead."""
    if not path.is_file():
        return f"{path}: there is no such folder, and it is not a Hub id either."
    holding = next((parent for parent in path.absolute().parents[:2] if (parent / FILE_NAME).is_file()), None)
    return f"{path} is a file. Give the folder that holds the artifact" + (f": {holding}" if holding else ".")


def _inside(folder: Path) -> str | None:
    """What to open instead of the folder of graphs that an artifact of ours has."""
    above = folder.absolute().parent
    if (folder / FILE_NAME).exists() or not (above / FILE_NAME).is_file() or (folder / "config.json").exists():
        return None
    return f"{folder} is a part of an artifact. Give the folder that holds the artifact: {above}"


def _files_of(snapshot: Snapshot) -> Files:
    """The files of a repository, those that are not here yet included."""
    from onnxpress import hub

    def bring(names: Collection[str]) -> None:
        hub.fetch(snapshot.repo_id, snapshot.commit, list(map(escape, names)), access=snapshot.access)

    def names() -> Iterator[str]:
        yield from hub.list_files(snapshot.repo_id, snapshot.commit, access=snapshot.access)

    return Files(snapshot.folder, names, bring, _link_roots(snapshot.folder))


def _link_roots(folder: Path) -> tuple[Path, ...]:
    """Where the Hub's cache keeps the files that its snapshots link to; nothing for any other folder."""
    if folder.absolute().parent.name != "snapshots":
        return ()
    from onnxpress import hub

    return tuple(root.resolve() for root in hub.blob_roots(folder))
