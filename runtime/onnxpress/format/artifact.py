"""An artifact on disk or on the Hub: the manifest, and files that are what the manifest says.

A file is handed out only after four checks: its name stays inside the artifact, it exists, it has the size the
manifest gives, and it has the SHA-256 the manifest gives. Graphs are also scanned before ONNX Runtime sees them.
This module knows nothing of sessions, tokenizers or tasks.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from onnxpress.engine.choice import choose
from onnxpress.errors import (
    ArtifactError,
    BatchDependenceWarning,
    CorruptFile,
    InvalidManifest,
    MissingFile,
)
from onnxpress.format import files
from onnxpress.format.manifest import (
    FILE_NAME,
    MAX_MANIFEST_BYTES,
    GraphFiles,
    Manifest,
    Variant,
    parse,
)
from onnxpress.graphcheck import scan as graph_file


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder whose `onnxpress.json` has been read and validated. Its files are checked when they are asked for."""

    folder: Path
    manifest: Manifest
    _checked: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def open(
        source: str | Path, *, revision: str | None = None, precision: str | None = None, device: str = "cpu"
    ) -> Artifact:
        """Open a local folder, or download what `precision` needs of a Hub repository.

        Args:
            source: a folder, or a Hub id such as "organization/name". A folder that exists wins.
            revision: branch, tag or commit on the Hub.
            precision: download only this variant; None: the one that `choice.choose` prefers for `device`.
            device: as `engine.providers.parse_device` names it.

        Raises:
            ArtifactError: there is no valid artifact; the subclass says what is wrong.
            HubError: the Hub refused or cannot be reached.
        """
        folder = Path(source)
        if folder.is_dir():
            return _open_folder(folder)
        from glob import escape

        from onnxpress.hub import download as hub

        if not isinstance(source, str) or not hub.looks_like_repo_id(source):
            raise MissingFile(f"{source}: there is no such folder, and it is not a Hub id either.")
        snapshot = hub.fetch(source, revision, [FILE_NAME])
        artifact = _open_folder(snapshot.folder)
        variant = choose(artifact.manifest, precision, device).precision
        names = sorted(variant_files(artifact.manifest, variant) | other_files(artifact.manifest))
        patterns = [FILE_NAME, *(escape(name) for name in names)]
        return _open_folder(hub.fetch(source, snapshot.commit, patterns).folder)

    def file(self, name: str) -> Path:
        """The path of one file that the manifest lists, after the checks.

        Raises:
            MissingFile: it is not there.
            CorruptFile: its name leaves the artifact, or its size or SHA-256 is not the manifest's.
        """
        if name not in self._checked:
            self._checked[name] = _check(self.folder, self.manifest, name)
        return self._checked[name]

    def graphs(self, precision: str) -> dict[str, Path]:
        """The checked `.onnx` files of one variant, by graph name."""
        variant = self.manifest.variants[precision]
        return {name: self._graph(precision, name, entry) for name, entry in variant.graphs.items()}

    def _graph(self, precision: str, name: str, entry: GraphFiles) -> Path:
        path = self.file(entry.file)
        for external in entry.external:
            self.file(external)
        found = graph_file.scan(path, root=self.folder, also=_link_targets(self.folder))
        used = {str(PurePosixPath(entry.file).parent / location) for location in found.external}
        if used != set(entry.external):
            raise CorruptFile(
                f"{path}: reads external data from {sorted(used)}, but the manifest lists {sorted(entry.external)}. "
                "Do not trust this artifact."
            )
        if found.batch_dependent:
            warnings.warn(
                f"{path}: uses {', '.join(found.batch_dependent)}: an answer of this graph depends on what else is in "
                "the batch. `onnxpress quantize` makes an int8 variant that does not.",
                BatchDependenceWarning,
                stacklevel=2,
            )
        declared = self.manifest.graphs[name]
        expected = (
            {tensor.name for tensor in declared.inputs},
            {tensor.name for tensor in declared.outputs},
        )
        if (set(found.inputs), set(found.outputs)) != expected:
            raise CorruptFile(
                f"{path}: takes {sorted(found.inputs)} and returns {sorted(found.outputs)}, not what the manifest "
                f"declares for graph {name!r} of {precision}. Do not trust this artifact."
            )
        return path


def variant_files(manifest: Manifest, precision: str) -> set[str]:
    """Names of all files that one variant needs to run."""
    graphs = manifest.variants[precision].graphs.values()
    return {name for graph in graphs for name in (graph.file, *graph.external)}


def other_files(manifest: Manifest) -> set[str]:
    """Names of the files that belong to no variant: tokenizer, configuration."""
    used: set[str] = set().union(*(variant_files(manifest, name) for name in manifest.variants))
    return set(manifest.files) - used


def variant_bytes(manifest: Manifest, variant: Variant) -> int:
    """Bytes on disk of a variant's graph files, external data included."""
    names = {name for graph in variant.graphs.values() for name in (graph.file, *graph.external)}
    return sum(manifest.files[name].bytes for name in names)


def _open_folder(folder: Path) -> Artifact:
    path = folder / FILE_NAME
    if not path.is_file():
        hint = _what_is_it(folder)
        raise MissingFile(f"{folder}: no {FILE_NAME} here, so it is not an onnxpress artifact. {hint}")
    size = path.stat().st_size
    if size > MAX_MANIFEST_BYTES:
        raise InvalidManifest(f"{path}: {size} bytes are more than a manifest can have ({MAX_MANIFEST_BYTES}).")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidManifest(f"{path}: not UTF-8 ({error.reason} at byte {error.start}). Export again.") from None
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}).") from None
    manifest = parse(text, where=str(path))
    for name in manifest.files:
        _contained(folder, name)
    return Artifact(folder, manifest)


def _what_is_it(folder: Path) -> str:
    if (folder / "config.json").is_file():
        return f"It looks like a checkpoint: turn it into an artifact with `onnxpress export {folder} OUT`."
    return "Give the folder that `onnxpress export` wrote."


def _check(folder: Path, manifest: Manifest, name: str) -> Path:
    info = manifest.files.get(name)
    if info is None:
        raise MissingFile(f"{folder}: {name!r} is not listed in {FILE_NAME}.")
    path = _contained(folder, name)
    if not path.is_file():
        raise MissingFile(f"{path}: the manifest lists this file, but it is not there. Download or export again.")
    size = path.stat().st_size
    if size != info.bytes:
        raise CorruptFile(f"{path}: {size} bytes, the manifest says {info.bytes}. Download or export again.")
    found = files.sha256(path)
    if found != info.sha256:
        raise CorruptFile(
            f"{path}: SHA-256 is {found}, the manifest says {info.sha256}. The file was changed or damaged: "
            "download or export again."
        )
    return path


def _contained(folder: Path, name: str) -> Path:
    """`folder / name`, if the name is a plain relative POSIX path whose target stays inside the artifact."""
    parts = PurePosixPath(name).parts
    plain = name and "\\" not in name and "\0" not in name and ":" not in name and not name.startswith("/")
    if not plain or ".." in parts or str(PurePosixPath(name)) != name or name == ".":
        raise CorruptFile(f"{folder / FILE_NAME}: the file name {name!r} is not a plain path inside the artifact.")
    path = folder / name
    target = path.resolve()
    if not any(target.is_relative_to(root) for root in (folder.resolve(), *_link_targets(folder))):
        raise CorruptFile(f"{path}: leads to {target}, outside the artifact. Do not trust this artifact.")
    return path


def _link_targets(folder: Path) -> tuple[Path, ...]:
    """Where the Hub's cache keeps the files that its snapshots link to; nothing for any other folder."""
    if folder.absolute().parent.name != "snapshots":
        return ()
    from onnxpress.hub import download as hub

    return tuple(root.resolve() for root in hub.blob_roots(folder))
