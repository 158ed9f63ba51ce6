"""Describes other tools' files as a manifest would, and notes for each fact what says so.

The graph is asked first, then the tools' files, then the config. What nothing says is assumed, and marked so. A layout
says which graph files are whose; everything else is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.front_matter import CARD
from onnxpress.format.manifest import (
    FORMAT,
    FORMAT_VERSION,
    FileInfo,
    GenerationSettings,
    GraphFiles,
    GraphInfo,
    Manifest,
    Provenance,
    Variant,
)
from onnxpress.format.model import Adopted, Fact, Model
from onnxpress.format.pictures import PIXEL_MASK, ImageSettings
from onnxpress.format.precisions import REFERENCE, SUFFIXES
from onnxpress.format.processors import Processors, TokenizerSettings
from onnxpress.graphcheck.scan import GraphFile
from onnxpress.layouts.caches import PAST
from onnxpress.layouts.card import CARD_FACT, TAG, read_card
from onnxpress.layouts.class_names import contradiction
from onnxpress.layouts.faces import Face, read_face, read_writer
from onnxpress.layouts.files import Files
from onnxpress.layouts.graph_names import DECODER, ENCODER, KEYS, MODEL, PICTURES, PROMPT, TEXTS, Variants
from onnxpress.layouts.head_files import HEAD, HEAD_FILE
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.notes import Notes
from onnxpress.layouts.picture_faces import read_picture_face, read_tower, read_towers, reads_both, reads_pictures
from onnxpress.layouts.picture_files.readers import PIXELS
from onnxpress.layouts.picture_files.settings import read_pictures
from onnxpress.layouts.postprocessing import Postprocessings
from onnxpress.layouts.tokenizer_files import SETTINGS as TOKENIZER_SETTINGS
from onnxpress.layouts.tokenizer_files import TYPES, read_tokenizer

CONFIG, GENERATION = "config.json", "generation_config.json"
IDS = "input_ids"

#: Small files that stay with a model, for whoever asks for them: settings, templates, the card.
_SMALL_ENDINGS = (".json", ".jinja", ".txt", ".md", ".model", ".spm")

_ROLES = {KEYS: "keys", PROMPT: "prompt"}

#: How names of what has no axis of tokens end.
_STATES = (".conv", ".ssm", ".recurrent")


def describe(
    files: Files,
    layout: str,
    variants: Variants,
    asked: Asked,
    *,
    said: Mapping[str, str] = MappingProxyType({}),
    facts: Sequence[Fact] = (),
    made_of: str = "",
) -> Model:
    """The model that these graph files make.

    Args:
        variants: at least one.
        said: what graphs call inputs and outputs -> the manifest's names, as of `caches.our_names`.
        facts: what the layout knows besides.
        made_of: the tool's file that config.json and generation_config.json were made of, where they were.

    Raises:
        ArtifactError: a file is missing, damaged or hostile, or the graph is of a kind that is not run.
        InputError: what the caller says is not possible.
    """
    first = next(iter(variants))
    if SUFFIXES[first].like == REFERENCE and not asked.files and asked.precision != first:
        # An optimized graph of numbers of 32 bits is fp32 where no other is.
        variants = {REFERENCE if name == first else name: graphs for name, graphs in variants.items()}
    return _Description(files, layout, variants, asked, said, made_of, Notes(facts)).model()


@dataclass(slots=True)
class _Description:
    files: Files
    layout: str
    variants: Variants
    asked: Asked
    said: Mapping[str, str]
    made_of: str
    notes: Notes

    def model(self) -> Model:
        precision = self._precision()
        config = self._config()
        faces, graphs = self._faces(precision, config)
        face = faces[next(name for name in (DECODER, PICTURES, MODEL) if name in faces)]
        returned = ", ".join(f"{tensor.name} {tensor.axes}" for tensor in face.info.outputs[:2])
        self.notes.note("answers", f"{face.answers}: {returned}", ", ".join(self.variants[precision].values()))
        self._told(face, config)
        pictures, tokenizer = None, None
        if any(tensor.name == PIXELS for each in faces.values() for tensor in each.info.inputs):
            pictures = read_pictures(self.files, config)
            self.notes.note("pictures", f"as {pictures.kind}ImageProcessor reads them", pictures.source)
        readers = [each for each in faces.values() if any(tensor.name == IDS for tensor in each.info.inputs)]
        if readers:
            tokenizer = self._tokenizer(readers[0], config, graphs)
        architectures = config.get("architectures")
        postprocessings = Postprocessings(self.files, self.asked, self.notes)
        postprocessing = postprocessings.of(face, config, pictures)
        infos = {graph: each.info for graph, each in faces.items()}
        if (head := postprocessings.head) is not None:
            self.files.make(HEAD_FILE, head.content)
            infos[HEAD] = head.info
        variants = {
            name: self._variant(name, files, graphs if name == precision else {}, headed=head is not None)
            for name, files in self.variants.items()
        }
        layers = () if head is None else head.files
        manifest = Manifest(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            task="",
            model_type=str(config.get("model_type", "")),
            architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else "",
            # Whether a mask of pictures hides all of their padding is not known: those of one size are read together.
            padding=pictures is None or PIXEL_MASK not in pictures.image.input_names,
            graphs=infos,
            variants=variants,
            processors=Processors(text=tokenizer, image=None if pictures is None else _taken(pictures.image, face)),
            postprocessing=postprocessing,
            provenance=Provenance(str(self.files.folder), None, None, "", "", "", {}),
            files=self._files(variants, layers),
            generation=self._generation(face, config, graphs),
        )
        adapters = {graph: each.adapter for graph, each in faces.items() if each.adapter}
        return Model(manifest, "unverified", Adopted(self.layout, face.answers, tuple(self.notes.facts), adapters))

    def _faces(self, precision: str, config: Mapping[str, Any]) -> tuple[dict[str, Face], dict[str, GraphFile]]:
        """What each graph takes and returns, and what its file says. A graph that reads texts and pictures counts as
        two."""
        graphs = {graph: self.files.graph(file) for graph, file in self.variants[precision].items()}
        if set(graphs) == {MODEL} and reads_both(graphs[MODEL]):
            self.variants = {
                name: dict.fromkeys((TEXTS, PICTURES), files[MODEL]) for name, files in self.variants.items()
            }
            scanned = graphs[MODEL]
            with self._named(self.variants[precision][TEXTS]):
                return read_towers(scanned, config), dict.fromkeys((TEXTS, PICTURES), scanned)
        faces = {}
        for graph, file in self.variants[precision].items():
            with self._named(file):
                faces[graph] = self._face(graph, graphs[graph], config)
        if ENCODER in faces and faces[ENCODER].answers == "picture states":
            faces[DECODER] = replace(faces[DECODER], answers="described picture")
        return faces, graphs

    @contextmanager
    def _named(self, file: str) -> Iterator[None]:
        """A refusal names the graph's file."""
        try:
            yield
        except UnsupportedFormat as error:
            raise UnsupportedFormat(f"{self.files.folder / file}: {error}.") from None

    def _told(self, face: Face, config: Mapping[str, Any]) -> None:
        """Note what else tells what the model is for: its class's name, where the graph says another, and its card."""
        architectures = config.get("architectures") or ("",)
        self.notes.add(contradiction(architectures[0], face.answers))
        if tag := read_card(self.files).values(TAG):
            self.notes.note(CARD_FACT, tag[0], f"{CARD}, {TAG}")

    def _face(self, graph: str, scanned: GraphFile, config: Mapping[str, Any]) -> Face:
        """What a graph takes and returns."""
        if graph in _ROLES:
            return read_writer(scanned, _ROLES[graph], config, self.said)
        if graph in (TEXTS, PICTURES):
            return read_tower(scanned, graph, config)
        if reads_pictures(scanned):
            return read_picture_face(scanned, config, self.asked.output)
        return read_face(scanned, config, self.asked.output, self.said)

    def _tokenizer(self, face: Face, config: Mapping[str, Any], graphs: Mapping[str, GraphFile]) -> TokenizerSettings:
        """How texts become tokens. `face`: of the graph that reads them."""
        tables = frozenset[tuple[int, ...]]().union(*(graph.tables for graph in graphs.values()))
        settings = read_tokenizer(self.files, config, tables)
        source = "tokenizer_config.json and the graph's positions"
        width = face.info.inputs[0].axes[-1]
        if isinstance(width, int) and face.info.role in ("encoder", "text"):  # a graph for rows of one length
            limit = min(width, settings.max_length or width)
            settings, source = replace(settings, max_length=limit), f"the graph, which takes rows of {width} tokens"
        self.notes.note("longest text", _limit(settings.max_length), source)
        taken = any(tensor.name == TYPES for tensor in face.info.inputs)
        if taken and TYPES not in settings.input_names:
            self.notes.note(TYPES, "zeros", "the graph, which takes them, and the tokenizer, which makes none")
        elif (
            not taken
            and self.files.settings(TOKENIZER_SETTINGS).get("model_input_names")
            and TYPES in settings.input_names
        ):
            self.notes.note(TYPES, "none", "the graph, which takes none, though the tokenizer makes them")
        if face.info.role == "encoder" and any(graph.right_padded for graph in graphs.values()):
            settings = replace(settings, padding_side="right")
            self.notes.note("padding", "right", "the graph, whose fused attention knows no other")
        return settings

    def _config(self) -> dict[str, Any]:
        """config.json, with the caller's labels."""
        config = self.files.settings(CONFIG)
        if self.asked.labels:
            config["id2label"] = {str(number): label for number, label in enumerate(self.asked.labels)}
        return config

    def _precision(self) -> str:
        """The variant to describe: fp32 unless another is asked for, since nothing here passed a gate."""
        asked = self.asked.precision
        if asked is not None and asked in self.variants:
            self.notes.note(
                "variant", f"{asked}, {', '.join(self.variants[asked].values())}{_loss(asked)}", "the caller"
            )
            return asked
        precision = REFERENCE if REFERENCE in self.variants else next(iter(self.variants))
        others = [name for name in self.variants if name != precision]
        reason = f"the most exact; there are also {', '.join(others)}" if others else "the only one"
        shown = ", ".join(self.variants[precision].values()) + _loss(precision)
        source = "the caller" if self.asked.files else "the names of the files"
        self.notes.note("variant", f"{precision}, {reason}: {shown}", source)
        return precision

    def _variant(
        self, name: str, files: Mapping[str, str], scanned: Mapping[str, GraphFile], *, headed: bool
    ) -> Variant:
        graphs = {}
        for graph, file in files.items():
            external, opsets = tuple(self.files.beside(file)), {}
            if graph in scanned:
                folder = file.rpartition("/")[0]
                external = tuple(f"{folder}/{place}" if folder else place for place in scanned[graph].external)
                opsets = dict(scanned[graph].opsets)
            graphs[graph] = GraphFiles(file, external, opsets)
        if headed:
            graphs[HEAD] = GraphFiles(HEAD_FILE)
        names = {place for graph in graphs.values() for place in graph.names}
        return Variant(graphs, sum(map(self._bytes, names)), targets=SUFFIXES[name].targets)

    def _files(self, variants: Mapping[str, Variant], layers: Sequence[str]) -> dict[str, FileInfo]:
        graphs = frozenset[str]().union(*(variant.files for variant in variants.values()))
        small = {
            name
            for name in self.files.names
            # In folders, what sentence-transformers says of its modules.
            if ("/" not in name and name.endswith(_SMALL_ENDINGS)) or name.endswith(f"/{CONFIG}")
        }
        return {name: FileInfo(self._bytes(name), "") for name in sorted({*graphs, *small, *layers})}

    def _bytes(self, name: str) -> int:
        path = self.files.place(name)
        return path.stat().st_size if path.is_file() else 0

    def _generation(
        self, face: Face, config: Mapping[str, Any], graphs: Mapping[str, GraphFile]
    ) -> GenerationSettings | None:
        if face.info.role != "decoder":
            return None
        longest = config.get("max_position_embeddings") or config.get("n_positions")
        limit = longest if isinstance(longest, int) and longest > 0 else None
        self.notes.note("longest row", _limit(limit), self._source(CONFIG))
        said_in = GENERATION if GENERATION in self.files.names else CONFIG
        ends = self.files.settings(said_in).get("eos_token_id")
        self.notes.note("end of text", "nothing" if ends is None else str(ends), self._source(said_in))
        return GenerationSettings(_cache(face.info, graphs), limit, "another tool made its graph")

    def _source(self, name: str) -> str:
        """The file that says what this one does, which may have been made of it."""
        return self.made_of if self.made_of and name in self.files.elsewhere else name


def _taken(image: ImageSettings, face: Face) -> ImageSettings:
    """The program, without the mask of padding where no graph takes one."""
    if any(tensor.name == PIXEL_MASK for tensor in face.info.inputs):
        return replace(image, input_names=(PIXELS, PIXEL_MASK))
    return replace(image, input_names=(PIXELS,))


def _cache(decoder: GraphInfo, graphs: Mapping[str, GraphFile]) -> Literal["shared", "growing", "fused", "state"]:
    """The kind of a decoder's cache."""
    if any(tensor.name == "seqlens_k" for tensor in decoder.inputs):
        return "shared"
    if any(tensor.name.startswith(PAST) and tensor.name.endswith(_STATES) for tensor in decoder.inputs):
        return "state"
    return "fused" if any(graph.right_padded for graph in graphs.values()) else "growing"


def _loss(variant: str) -> str:
    """What a variant was measured to lose, to follow its name; "" for nothing."""
    row = SUFFIXES.get(variant)
    return f" ({row.loss})" if row is not None and row.loss else ""


def _limit(count: int | None) -> str:
    return "no limit" if count is None else f"{count} tokens"
