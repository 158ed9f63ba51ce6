"""Describes other tools' files as a manifest would, and notes for each fact what says so.

The graph is asked first, then the tools' files, then the config. What nothing says is assumed, and marked so. A layout
says which graph files are whose; everything else is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.format.front_matter import CARD
from onnxpress.format.manifest import (
    FORMAT,
    FORMAT_VERSION,
    EmbeddingSettings,
    FileInfo,
    GenerationSettings,
    GraphFiles,
    GraphInfo,
    Manifest,
    Postprocessing,
    Provenance,
    Variant,
)
from onnxpress.format.model import Adopted, Fact, Model
from onnxpress.format.precisions import REFERENCE, SUFFIXES
from onnxpress.format.processors import Processors, TokenizerSettings
from onnxpress.graphcheck.scan import GraphFile
from onnxpress.layouts.caches import PAST
from onnxpress.layouts.card import CARD_FACT, TAG, read_card
from onnxpress.layouts.class_names import contradiction
from onnxpress.layouts.faces import Face, read_face, read_writer
from onnxpress.layouts.field_kinds import MAX_LABELS
from onnxpress.layouts.files import Files
from onnxpress.layouts.head_files import HEAD, HEAD_FILE, Head
from onnxpress.layouts.known_models import known_model
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.sentence_files import MODULES, Vectors, is_sentence_model, read_vectors
from onnxpress.layouts.tokenizer_files import SETTINGS as TOKENIZER_SETTINGS
from onnxpress.layouts.tokenizer_files import TYPES, read_tokenizer

CONFIG, GENERATION = "config.json", "generation_config.json"

#: Small files that stay with a model, for whoever asks for them: settings, templates, the card.
_SMALL_ENDINGS = (".json", ".jinja", ".txt", ".md", ".model", ".spm")
#: The graph of a model that has but one; those of one that writes about a text; what makes keys and values of the text.
MODEL, ENCODER, DECODER, KEYS = "model", "encoder_model", "decoder_model_merged", "decoder_model"
#: What reads the first tokens of a row, where the model goes on from there.
PROMPT = "prompt"
_ROLES = {KEYS: "keys", PROMPT: "prompt"}


#: How names of what has no axis of tokens end.
_STATES = (".conv", ".ssm", ".recurrent")

#: Precision -> the graphs of a variant, by name -> file.
Variants = Mapping[str, Mapping[str, str]]

#: Graph -> the names of its files without suffix and ending, the first that is there counts. In the order in which they
#: are looked for: what writes about a text it reads, what continues texts, what reads.
KINDS: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {ENCODER: ("encoder_model",), DECODER: ("decoder_model_merged",)},
    {ENCODER: ("encoder_model",), DECODER: ("decoder_with_past_model",), KEYS: ("decoder_model",)},
    {MODEL: ("model", "text_model", "decoder_model_merged")},
    {MODEL: ("decoder_with_past_model",), PROMPT: ("decoder_model",)},
    {MODEL: ("decoder_with_past_model",)},
)


def find_variants(files: Files, folder: str = "") -> Variants:
    """The graph files in a folder, by variant and graph; empty: there are none of known names.

    Args:
        folder: "" or a path that ends in "/".
    """
    for graphs in KINDS:
        variants = {}
        for name, row in SUFFIXES.items():
            whole = {}
            for graph, bases in graphs.items():
                places = (f"{folder}{base}{row.suffix}.onnx" for base in bases)
                file = next((place for place in places if place in files.names), None)
                if file is not None:
                    whole[graph] = file
            if len(whole) == len(graphs):
                variants[name] = whole
        if variants:
            return variants
    return {}


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
    return _Description(files, layout, variants, asked, said, made_of, list(facts)).model()


@dataclass(slots=True)
class _Description:
    files: Files
    layout: str
    variants: Variants
    asked: Asked
    said: Mapping[str, str]
    made_of: str
    facts: list[Fact] = field(default_factory=list)
    head: Head | None = None

    def model(self) -> Model:
        precision = self._precision()
        config = self._config()
        graphs = {graph: self.files.graph(file) for graph, file in self.variants[precision].items()}
        faces = {
            graph: self._face(graph, file, graphs[graph], config) for graph, file in self.variants[precision].items()
        }
        face = faces[DECODER if DECODER in faces else MODEL]
        returned = ", ".join(f"{tensor.name} {tensor.axes}" for tensor in face.info.outputs[:2])
        self._note("answers", f"{face.answers}: {returned}", ", ".join(self.variants[precision].values()))
        self._told(face, config)
        tables = frozenset[tuple[int, ...]]().union(*(graph.tables for graph in graphs.values()))
        tokenizer = self._tokenizer(next(iter(faces.values())), config, tables)
        if face.info.role == "encoder" and any(graph.right_padded for graph in graphs.values()):
            tokenizer = replace(tokenizer, padding_side="right")
            self._note("padding", "right", "the graph, whose fused attention knows no other")
        architectures = config.get("architectures")
        postprocessing = self._postprocessing(face, config)
        infos = {graph: face.info for graph, face in faces.items()}
        if self.head is not None:
            self.files.make(HEAD_FILE, self.head.content)
            infos[HEAD] = self.head.info
        variants = {
            name: self._variant(name, files, graphs if name == precision else {})
            for name, files in self.variants.items()
        }
        manifest = Manifest(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            task="",
            model_type=str(config.get("model_type", "")),
            architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else "",
            padding=True,
            graphs=infos,
            variants=variants,
            processors=Processors(text=tokenizer),
            postprocessing=postprocessing,
            provenance=Provenance(str(self.files.folder), None, None, "", "", "", {}),
            files=self._files(variants),
            generation=self._generation(face, config, graphs),
        )
        adapters = {graph: face.adapter for graph, face in faces.items() if face.adapter}
        return Model(manifest, "unverified", Adopted(self.layout, face.answers, tuple(self.facts), adapters))

    def _told(self, face: Face, config: Mapping[str, Any]) -> None:
        """Note what else tells what the model is for: its class's name, where the graph says another, and its card."""
        architectures = config.get("architectures") or ("",)
        if (fact := contradiction(architectures[0], face.answers)) is not None:
            self.facts.append(fact)
        if tag := read_card(self.files).values(TAG):
            self._note(CARD_FACT, tag[0], f"{CARD}, {TAG}")

    def _face(self, graph: str, file: str, scanned: GraphFile, config: Mapping[str, Any]) -> Face:
        """What a graph takes and returns."""
        try:
            if graph in _ROLES:
                return read_writer(scanned, _ROLES[graph], config, self.said)
            return read_face(scanned, config, self.asked.output, self.said)
        except UnsupportedFormat as error:
            raise UnsupportedFormat(f"{self.files.folder / file}: {error}.") from None

    def _tokenizer(
        self, face: Face, config: Mapping[str, Any], tables: frozenset[tuple[int, ...]]
    ) -> TokenizerSettings:
        settings = read_tokenizer(self.files, config, tables)
        source = "tokenizer_config.json and the graph's positions"
        width = face.info.inputs[0].axes[-1]
        if isinstance(width, int) and face.info.role == "encoder":  # a graph for rows of one length
            limit = min(width, settings.max_length or width)
            settings, source = replace(settings, max_length=limit), f"the graph, which takes rows of {width} tokens"
        self._note("longest text", _limit(settings.max_length), source)
        taken = any(tensor.name == TYPES for tensor in face.info.inputs)
        if taken and TYPES not in settings.input_names:
            self._note(TYPES, "zeros", "the graph, which takes them, and the tokenizer, which makes none")
        elif (
            not taken
            and self.files.settings(TOKENIZER_SETTINGS).get("model_input_names")
            and TYPES in settings.input_names
        ):
            self._note(TYPES, "none", "the graph, which takes none, though the tokenizer makes them")
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
            self._note("variant", f"{asked}, {', '.join(self.variants[asked].values())}{_loss(asked)}", "the caller")
            return asked
        precision = REFERENCE if REFERENCE in self.variants else next(iter(self.variants))
        others = [name for name in self.variants if name != precision]
        reason = f"the most exact; there are also {', '.join(others)}" if others else "the only one"
        shown = ", ".join(self.variants[precision].values()) + _loss(precision)
        source = "the caller" if self.asked.files else "the names of the files"
        self._note("variant", f"{precision}, {reason}: {shown}", source)
        return precision

    def _variant(self, name: str, files: Mapping[str, str], scanned: Mapping[str, GraphFile]) -> Variant:
        graphs = {}
        for graph, file in files.items():
            external, opsets = tuple(self.files.beside(file)), {}
            if graph in scanned:
                folder = file.rpartition("/")[0]
                external = tuple(f"{folder}/{place}" if folder else place for place in scanned[graph].external)
                opsets = dict(scanned[graph].opsets)
            graphs[graph] = GraphFiles(file, external, opsets)
        if self.head is not None:
            graphs[HEAD] = GraphFiles(HEAD_FILE)
        names = {place for graph in graphs.values() for place in graph.names}
        return Variant(graphs, sum(map(self._bytes, names)), targets=SUFFIXES[name].targets)

    def _files(self, variants: Mapping[str, Variant]) -> dict[str, FileInfo]:
        graphs = frozenset[str]().union(*(variant.files for variant in variants.values()))
        small = {
            name
            for name in self.files.names
            # In folders, what sentence-transformers says of its modules.
            if ("/" not in name and name.endswith(_SMALL_ENDINGS)) or name.endswith(f"/{CONFIG}")
        }
        layers = () if self.head is None else self.head.files
        return {name: FileInfo(self._bytes(name), "") for name in sorted({*graphs, *small, *layers})}

    def _bytes(self, name: str) -> int:
        path = self.files.place(name)
        return path.stat().st_size if path.is_file() else 0

    def _postprocessing(self, face: Face, config: Mapping[str, Any]) -> Postprocessing:
        labels: tuple[str, ...] = ()
        if face.answers in ("classes", "token classes"):
            labels = self._labels(face, config)
        elif self.asked.labels:
            raise InputError(f"labels={list(self.asked.labels)!r:.60}: this graph gives {face.answers}, no classes.")
        problem = config.get("problem_type")
        function = _activation(self.files, config) if len(labels) == 1 else None
        if function is not None:
            self._note("scores", function, "the cross-encoder's settings")
        return Postprocessing(
            labels=labels,
            problem_type=problem if isinstance(problem, str) else None,
            function_to_apply=function,
            embedding=self._embedding(face, config) if face.answers in ("states", "vector") else None,
        )

    def _labels(self, face: Face, config: Mapping[str, Any]) -> tuple[str, ...]:
        """The names of the classes.

        Raises:
            UnsupportedFormat: there are not as many as the graph gives scores for.
        """
        named = config.get("id2label")
        names = {str(key): str(label) for key, label in named.items()} if isinstance(named, Mapping) else {}
        count = face.width if face.width is not None else len(names) or config.get("num_labels") or 2
        if count > MAX_LABELS:
            raise UnsupportedFormat(
                f"{self.files.folder}: its graph gives {count} scores, more than any model has classes ({MAX_LABELS})."
            )
        if self.asked.labels and len(names) != count:
            raise InputError(
                f"labels={list(self.asked.labels)!r:.60}: these are {len(names)} labels, and the graph gives {count} "
                "scores. Name each class, by its number."
            )
        if names and len(names) != count:
            raise UnsupportedFormat(
                f"{self.files.folder}: config.json names {len(names)} labels, and the graph gives {count} scores: one "
                "of them is of another model. Get both from the same export."
            )
        if not names:
            source = "nothing names them; pass labels=[...], one for each score"
            self.facts.append(Fact("labels", f"LABEL_0 to LABEL_{count - 1}", source, assumed=True))
            return tuple(f"LABEL_{number}" for number in range(count))
        self._note("labels", str(count), "the caller" if self.asked.labels else CONFIG)
        return tuple(names.get(str(number), f"LABEL_{number}") for number in range(count))

    def _embedding(self, face: Face, config: Mapping[str, Any]) -> EmbeddingSettings | None:
        """How a text becomes one vector; None: nobody says."""
        width = face.width or config.get("hidden_size") or config.get("dim") or config.get("d_model")
        if not isinstance(width, int):
            return None
        pooled = face.answers == "vector"
        if self.asked.pooling is not None:
            return self._asked_pooling(self.asked.pooling, width, pooled)
        if is_sentence_model(self.files):
            vectors = self._vectors(width, pooled)
            self._note("pooling", ", ".join(vectors.settings.pooling) or "in the graph", vectors.source)
            return vectors.settings
        if pooled:
            self._note("pooling", "in the graph", face.info.outputs[0].name)
            return EmbeddingSettings((), width, normalize=False)
        if (known := known_model(self.files, config)) is not None:
            row, name = known
            self._note("pooling", row.pooling, f"the name {name}, a well-known model")
            return EmbeddingSettings((row.pooling,), width, normalize=row.normalize)
        self.facts.append(
            Fact(
                "pooling", "mean", 'nothing; pass pooling="cls" or another if the model\'s author says so', assumed=True
            )
        )
        return EmbeddingSettings(("mean",), width, normalize=False)

    def _vectors(self, width: int, pooled: bool) -> Vectors:
        """What sentence-transformers' files say, with the layers after pooling."""
        vectors = read_vectors(self.files, width, pooled)
        self.head = vectors.head
        if vectors.head is not None:
            self._note("after pooling", f"layers to {vectors.head.width} numbers", MODULES)
        return vectors

    def _asked_pooling(self, pooling: str, width: int, pooled: bool) -> EmbeddingSettings:
        if pooled:
            raise InputError(f"pooling={pooling!r}: this graph pools by itself. Leave pooling out.")
        self._note("pooling", pooling, "the caller")
        settings = EmbeddingSettings((pooling,), width, normalize=False)
        if not is_sentence_model(self.files):
            return settings
        vectors = self._vectors(width, pooled)
        if vectors.head is None:
            return replace(vectors.settings, pooling=(pooling,), dimensions=width)
        if len(vectors.settings.pooling) > 1:
            said = " and ".join(vectors.settings.pooling)
            raise InputError(f"pooling={pooling!r}: the layers after pooling take {said}. Leave pooling out.")
        return replace(vectors.settings, pooling=(pooling,))

    def _generation(
        self, face: Face, config: Mapping[str, Any], graphs: Mapping[str, GraphFile]
    ) -> GenerationSettings | None:
        if face.info.role != "decoder":
            return None
        longest = config.get("max_position_embeddings") or config.get("n_positions")
        limit = longest if isinstance(longest, int) and longest > 0 else None
        self._note("longest row", _limit(limit), self._source(CONFIG))
        said_in = GENERATION if GENERATION in self.files.names else CONFIG
        ends = self.files.settings(said_in).get("eos_token_id")
        self._note("end of text", "nothing" if ends is None else str(ends), self._source(said_in))
        return GenerationSettings(_cache(face.info, graphs), limit, "another tool made its graph")

    def _source(self, name: str) -> str:
        """The file that says what this one does, which may have been made of it."""
        return self.made_of if self.made_of and name in self.files.elsewhere else name

    def _note(self, what: str, value: str, source: str) -> None:
        self.facts.append(Fact(what, value, source))


def _cache(decoder: GraphInfo, graphs: Mapping[str, GraphFile]) -> Literal["shared", "growing", "fused", "state"]:
    """The kind of a decoder's cache."""
    if any(tensor.name == "seqlens_k" for tensor in decoder.inputs):
        return "shared"
    if any(tensor.name.startswith(PAST) and tensor.name.endswith(_STATES) for tensor in decoder.inputs):
        return "state"
    return "fused" if any(graph.right_padded for graph in graphs.values()) else "growing"


def _activation(files: Files, config: Mapping[str, Any]) -> str | None:
    """What makes a score of a cross-encoder's logit; None: sentence-transformers' marks are not there."""
    saved = config.get("sentence_transformers")
    names = (
        files.settings("config_sentence_transformers.json").get("activation_fn"),
        saved.get("activation_fn") if isinstance(saved, Mapping) else None,
        config.get("sbert_ce_default_activation_function"),
    )
    name = next((name for name in names if isinstance(name, str)), None)
    if name is None:
        return None
    return "none" if name.rpartition(".")[2] == "Identity" else "sigmoid"


def _loss(variant: str) -> str:
    """What a variant was measured to lose, to follow its name; "" for nothing."""
    row = SUFFIXES.get(variant)
    return f" ({row.loss})" if row is not None and row.loss else ""


def _limit(count: int | None) -> str:
    return "no limit" if count is None else f"{count} tokens"
