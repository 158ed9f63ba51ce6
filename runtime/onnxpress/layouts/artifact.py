"""An artifact on disk or on the Hub: what it holds, and files that are what it says.

A file is handed out only after four checks: its name stays inside the artifact, it exists, it has the size the
manifest gives, and it has the SHA-256 the manifest gives. Graphs are also scanned before ONNX Runtime sees them.
Of an artifact on the Hub, files come when they are asked for. This module knows nothing of sessions, tokenizers or
tasks.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from onnxpress.errors import BatchDependenceWarning, CorruptFile, InputError, MissingFile, UnsupportedFormat
from onnxpress.format.contents import check_hash, contained, other_files, present_file, variant_files
from onnxpress.format.manifest import GraphFiles, Manifest
from onnxpress.format.model import Adapter, Adopted, Model, Trust
from onnxpress.format.precisions import BATCH_LOSS, suffix_of
from onnxpress.format.variants import DEFAULT_FORM
from onnxpress.graphcheck.scan import external_files, scan
from onnxpress.layouts import onnxpress_json
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.places import Place, find_place, link_roots, tokenizer_place

if TYPE_CHECKING:
    from onnxpress.hub import Access, Snapshot


@dataclass(frozen=True, slots=True)
class Artifact:
    """A folder that a layout knows. Its files are checked when they are asked for.

    `trust`: what the folder's answers are worth before they are checked; see `format.model`. `snapshot`: where the
    folder is in the Hub's cache, whose missing files are fetched when they are asked for; None: a folder of its own.
    `adopted`: how another tool's folder was understood; its manifest is not on disk. None: it is an artifact of ours.
    `elsewhere`: files that count as the folder's, and where they are: the caller's, or made of the folder's.
    """

    folder: Path
    manifest: Manifest
    trust: Trust = "verified"
    snapshot: Snapshot | None = None
    adopted: Adopted | None = None
    elsewhere: Mapping[str, Path] = field(default_factory=dict)
    _checked: dict[str, Path] = field(default_factory=dict, compare=False, repr=False)

    @staticmethod
    def open(
        source: str | Path,
        *,
        revision: str | None = None,
        precision: str | None = None,
        access: Access | None = None,
        pooling: str | None = None,
        files: Sequence[str] = (),
        subfolder: str | None = None,
        tokenizer: str | Path | None = None,
        labels: Sequence[str] | Mapping[Any, Any] = (),
        output: str | None = None,
    ) -> Artifact:
        """Open a local folder, a graph file, or a repository on the Hub: of that, what says what it is, and
        `precision`, if given.

        The files may be another tool's; their manifest, whose task is "", is inferred then.

        Args:
            source: a folder, an `.onnx` file, or a Hub id such as "organization/name". What exists wins. "~" at its
                beginning is the home folder.
            revision: branch, tag or commit on the Hub.
            precision: fetch this variant at once; None: fetch variants when they are asked for.
            access: how the Hub is asked; None: as its library's settings say.
            pooling: how token states become one vector, where another tool's folder does not say; of an artifact of
                ours it is known, as what follows is.
            files: the graph files of another tool's folder that are to run, each with its folder or without.
            subfolder: the folder inside `source` that holds the model, or its graphs.
            tokenizer: a folder or Hub id with a tokenizer's files, or one of the files, in the place of the folder's.
            labels: the names of the classes: by number, or number -> name, or name -> number.
            output: the output of the graph that answers.

        Raises:
            ArtifactError: there is no valid artifact; the subclass says what is wrong.
            InputError: pooling, labels or output is given, and is known or is none.
            UnsupportedFormat: it has no variant of this precision.
            HubError: the Hub refused or cannot be reached.
        """
        asked = Asked(
            precision, pooling, tuple(files), labels=_labels(labels), output=None if output is None else str(output)
        )
        place = find_place(source, asked, revision=revision, access=access, subfolder=subfolder)
        if tokenizer is not None and str(tokenizer) != str(source) and not place.is_ours:
            place = place.with_tokenizer(tokenizer_place(tokenizer, access))
        artifact = Artifact.at(place)
        if precision is not None and place.snapshot is not None:
            artifact.fetch([precision])
        return artifact

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """What stands between another tool's graphs and those who call them, by graph."""
        return self.manifest.adapters if self.adopted is None else self.adopted.adapters

    @staticmethod
    def at(place: Place) -> Artifact:
        """The artifact whose files are there.

        Raises:
            ArtifactError, InputError: as of `open`.
        """
        files, asked = place.files, place.asked
        model = _read(files, asked)
        if model.adopted is None:
            for name, value in {"pooling": asked.pooling, "labels": asked.labels, "output": asked.output}.items():
                if value:
                    raise InputError(
                        f"{name}={value!r:.60}: {files.folder} says how its answers are made. Leave {name} out."
                    )
        artifact = Artifact(files.folder, model.manifest, model.trust, place.snapshot, model.adopted, files.elsewhere)
        for name in model.manifest.files:
            if name not in files.elsewhere:
                contained(files.folder, name, files.link_roots)
        return artifact

    def precision_of(self, files: Sequence[str]) -> str:
        """The variant that has these graph files, named with their folder or without; the one that their names mean
        where none has."""
        for name, variant in self.manifest.variants.items():
            places = [graph.file for graph in variant.graphs.values()]
            if all(any(place == file or place.endswith(f"/{file}") for place in places) for file in files):
                return name
        return suffix_of(PurePosixPath(files[0]).stem).name

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
        if name in self.elsewhere:
            return self._elsewhere(name)
        if name not in self._checked:
            path = self._present(name)
            if self.trust != "unverified":
                check_hash(path, self.manifest, name)
            self._checked[name] = path
        return self._checked[name]

    def graphs(self, precision: str, form: str = DEFAULT_FORM) -> dict[str, Path]:
        """The checked `.onnx` files of one variant in one of its forms, by graph name.

        Raises:
            UnsupportedFormat: there is no such variant or form, or a graph that this onnxpress does not run.
            MissingFile, CorruptFile, HubError: as `file`.
        """
        paths = self.graphs_before_weights(precision, form)
        self.check_weights(precision, form)
        return paths

    def graphs_before_weights(self, precision: str, form: str = DEFAULT_FORM) -> dict[str, Path]:
        """As `graphs`, but of the files of weights only the names and sizes have been checked: `check_weights`, in a
        thread beside whatever opens the graphs, does the rest. Nothing may be answered before that has ended."""
        self.fetch([precision])
        return {name: self._graph(precision, name, files) for name, files in self._files_of(precision, form).items()}

    def check_weights(self, precision: str, form: str = DEFAULT_FORM) -> None:
        """Check the SHA-256 of the files of weights that the graphs of a variant read, when they are there.

        Raises:
            UnsupportedFormat, MissingFile, CorruptFile: as of `graphs`.
        """
        for files in self._files_of(precision, form).values():
            for name in files.external:
                self.file(name)

    def _files_of(self, precision: str, form: str) -> Mapping[str, GraphFiles]:
        variant = self.manifest.variants[precision]
        if form != DEFAULT_FORM and form not in variant.forms:
            there_are = ", ".join((DEFAULT_FORM, *variant.forms))
            raise UnsupportedFormat(f"{self.folder}: {precision} has no form {form!r}; there is {there_are}.")
        return variant.graphs_in(form)

    def _present(self, name: str) -> Path:
        """The path of a file of the folder, whose name and size have been checked, fetched if it has to be."""
        if self.snapshot is not None and name in self.manifest.files:
            others = other_files(self.manifest)
            self._fetch(others if name in others else [name])
        sized = self.trust != "unverified"
        return present_file(self.folder, self.manifest, name, link_roots(self.folder), sized=sized)

    @property
    def _other_sides(self) -> tuple[bool, ...]:
        """What a variant's graph may not be, wanting padding on the right or not, as that which was looked at is not.
        Rows that are read without padding leave it open."""
        cache = None if self.manifest.generation is None else self.manifest.generation.cache
        return {"growing": (True,), "fused": (False,)}.get(cache or "", ())

    def _elsewhere(self, name: str) -> Path:
        path = self.elsewhere[name]
        if not path.is_file():
            raise MissingFile(f"{path}: there is no such file any more. Open the model again.")
        return path

    def _fetch(self, names: Collection[str]) -> None:
        missing = [name for name in names if name not in self.elsewhere and not (self.folder / name).is_file()]
        if self.snapshot is None or not missing:
            return
        from onnxpress import hub

        inner = self.folder.relative_to(self.snapshot.folder)
        patterns = [escape((inner / name).as_posix()) for name in sorted(missing)]
        hub.fetch(self.snapshot.repo_id, self.snapshot.commit, patterns, access=self.snapshot.access)

    def _graph(self, precision: str, name: str, files: GraphFiles) -> Path:
        path, roots = self.file(files.file), link_roots(self.folder)
        for place in files.external:
            if place not in self.elsewhere:
                self._present(place)
        if files.file in self.elsewhere:
            roots = (*roots, path.parent)
        if self.adopted is not None and self.snapshot is not None:  # weights may have any name
            places = external_files(path, root=self.folder, also=roots)
            self._fetch([str(PurePosixPath(files.file).parent / place) for place in places])
        scanned = scan(path, root=self.folder, also=roots)
        external = {str(PurePosixPath(files.file).parent / location) for location in scanned.external}
        if self.adopted is None and external != set(files.external):
            raise CorruptFile(
                f"{path}: reads external data from {sorted(external)}, but the manifest lists "
                f"{sorted(files.external)}. Do not trust this artifact."
            )
        if self.adopted is not None and scanned.loops:
            raise UnsupportedFormat(
                f"{path}: it uses Loop, which may never end, and nobody vouches for it. Export the model without loops."
            )
        if scanned.batch_dependent:
            warnings.warn(
                f"{path}: uses {', '.join(scanned.batch_dependent)}: an answer of this graph depends on what else is "
                f"in the batch: {BATCH_LOSS}. `onnxpress quantize` makes an int8 variant that does not.",
                BatchDependenceWarning,
                stacklevel=2,
            )
        declared = self.manifest.graphs[name]
        adapter = self.adapters.get(name, Adapter())
        inputs = set(adapter.given) | {adapter.names.get(tensor.name, tensor.name) for tensor in declared.inputs}
        outputs = {adapter.names.get(tensor.name, tensor.name) for tensor in declared.outputs}
        if self.adopted is not None:
            alike = set(scanned.inputs) == inputs and outputs <= set(scanned.outputs)
            if not alike or (declared.role == "decoder" and scanned.right_padded in self._other_sides):
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


def _read(files: Files, asked: Asked) -> Model:
    """What the files hold. Most are ours: the other layouts are imported where they are not."""
    if (model := onnxpress_json.read(files, asked)) is not None:
        return model
    from onnxpress.layouts.table import read_files

    return read_files(files, asked)


def _labels(labels: Sequence[str] | Mapping[Any, Any]) -> tuple[str, ...]:
    """The names of classes by number, from a list, from number -> name, or from name -> number.

    Raises:
        InputError: they are none of these, or a number is missing.
    """
    if not isinstance(labels, Mapping):
        if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
            raise InputError(f"labels={labels!r:.60} should be a list of names, or an object: number -> name.")
        return tuple(labels)
    turned = all(isinstance(number, int) for number in labels.values())
    pairs = [(number, name) if turned else (name, number) for name, number in labels.items()]
    names = {str(number): str(name) for number, name in pairs}
    if any(str(number) not in names for number in range(len(labels))):
        raise InputError(f"labels={dict(labels)!r:.60} should name each class from 0 to {len(labels) - 1} once.")
    return tuple(names[str(number)] for number in range(len(labels)))
