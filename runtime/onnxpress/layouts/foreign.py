"""Describes other tools' files as a manifest would, and notes for each fact what says so.

The graph is asked first, then the tools' files, then the config. What nothing says is assumed, and marked so. A layout
says which graph files are whose; everything else is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.format.manifest import (
    FORMAT,
    FORMAT_VERSION,
    EmbeddingSettings,
    FileInfo,
    GenerationSettings,
    GraphFiles,
    Manifest,
    Postprocessing,
    Provenance,
    Variant,
)
from onnxpress.format.model import Adopted, Fact, Model
from onnxpress.format.precisions import PRECISIONS, REFERENCE
from onnxpress.format.processors import Processors, TokenizerSettings
from onnxpress.graphcheck.scan import GraphFile, scan
from onnxpress.layouts.faces import Face, read_face, read_writer
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.sentence_files import is_sentence_model, read_vectors
from onnxpress.layouts.tokenizer_files import read_tokenizer

CONFIG, GENERATION = "config.json", "generation_config.json"

#: Small files that stay with a model, for whoever asks for them: settings, templates, the card.
_SMALL_ENDINGS = (".json", ".jinja", ".txt", ".md", ".model", ".spm")
#: The graph of a model that has but one; those of one that writes about a text; what makes keys and values of the text.
MODEL, ENCODER, DECODER, KEYS = "model", "encoder_model", "decoder_model_merged", "decoder_model"


#: Precision -> the graphs of a variant, by name -> file.
Variants = Mapping[str, Mapping[str, str]]

#: Graph -> the names of its files without suffix and ending, the first that is there counts. In the order in which they
#: are looked for: what writes about a text it reads, what continues texts, what reads.
_KINDS: tuple[Mapping[str, tuple[str, ...]], ...] = (
    {ENCODER: ("encoder_model",), DECODER: ("decoder_model_merged",)},
    {ENCODER: ("encoder_model",), DECODER: ("decoder_with_past_model",), KEYS: ("decoder_model",)},
    {MODEL: ("model", "decoder_model_merged", "decoder_with_past_model")},
)


def find_variants(files: Files, folder: str = "", also: Mapping[str, tuple[str, ...]] | None = None) -> Variants:
    """The graph files in a folder, by precision and graph; empty: there are none of known names.

    Args:
        folder: "" or a path that ends in "/".
        also: precision -> names that its one graph may have as well.
    """
    for graphs in _KINDS:
        variants = {}
        for precision, row in PRECISIONS.items():
            whole = {}
            for graph, names in graphs.items():
                candidates = [f"{name}{row.suffix}.onnx" for name in names]
                if graph == MODEL:
                    candidates += (also or {}).get(precision, ())
                file = next((folder + name for name in candidates if folder + name in files.names), None)
                if file is not None:
                    whole[graph] = file
            if len(whole) == len(graphs):
                variants[precision] = whole
        if variants:
            return variants
    return {}


def describe(files: Files, layout: str, variants: Variants, asked: Asked) -> Model:
    """The model that these graph files make.

    Args:
        variants: at least one.

    Raises:
        ArtifactError: a file is missing, damaged or hostile, or the graph is of a kind that is not run.
        InputError: what the caller says is not possible.
    """
    return _Description(files, layout, variants, asked).model()


@dataclass(slots=True)
class _Description:
    files: Files
    layout: str
    variants: Variants
    asked: Asked
    facts: list[Fact] = field(default_factory=list)

    def model(self) -> Model:
        precision = self._precision()
        config = self.files.settings(CONFIG)
        graphs = {graph: self._scanned(file) for graph, file in self.variants[precision].items()}
        faces = {
            graph: self._face(graph, file, graphs[graph], config) for graph, file in self.variants[precision].items()
        }
        face = faces[DECODER if DECODER in faces else MODEL]
        returned = ", ".join(f"{tensor.name} {tensor.axes}" for tensor in face.info.outputs[:2])
        self._note("answers", f"{face.answers}: {returned}", ", ".join(self.variants[precision].values()))
        tables = frozenset[tuple[int, ...]]().union(*(graph.tables for graph in graphs.values()))
        tokenizer = self._tokenizer(next(iter(faces.values())), config, tables)
        architectures = config.get("architectures")
        manifest = Manifest(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            task="",
            model_type=str(config.get("model_type", "")),
            architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else "",
            padding=True,
            graphs={graph: face.info for graph, face in faces.items()},
            variants={
                name: self._variant(files, graphs if name == precision else {}) for name, files in self.variants.items()
            },
            processors=Processors(text=tokenizer),
            postprocessing=self._postprocessing(face, config),
            provenance=Provenance(str(self.files.folder), None, None, "", "", "", {}),
            files=self._files(),
            generation=self._generation(face, config),
        )
        return Model(manifest, "unverified", Adopted(self.layout, face.answers, tuple(self.facts)))

    def _face(self, graph: str, file: str, scanned: GraphFile, config: Mapping[str, Any]) -> Face:
        """What a graph takes and returns."""
        try:
            if graph == KEYS:
                return read_writer(scanned, "keys")
            return read_face(scanned, config)
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
        return settings

    def _precision(self) -> str:
        """The variant to describe: fp32 unless another is asked for, since nothing here passed a gate."""
        asked = self.asked.precision
        if asked is not None and asked in self.variants:
            self._note("variant", f"{asked}, {', '.join(self.variants[asked].values())}", "the caller")
            return asked
        precision = REFERENCE if REFERENCE in self.variants else next(iter(self.variants))
        others = [name for name in self.variants if name != precision]
        reason = f"the most exact; there are also {', '.join(others)}" if others else "the only one"
        shown = ", ".join(self.variants[precision].values())
        self._note("variant", f"{precision}, {reason}: {shown}", "the names of the files")
        return precision

    def _scanned(self, name: str) -> GraphFile:
        self.files.bring([name, *self._beside(name)])
        return scan(self.files.path(name), root=self.files.folder, also=self.files.link_roots)

    def _beside(self, name: str) -> list[str]:
        """Files that are likely to hold a graph's weights: those whose names begin with its."""
        return sorted(other for other in self.files.names if other.startswith(name) and other != name)

    def _variant(self, files: Mapping[str, str], scanned: Mapping[str, GraphFile]) -> Variant:
        graphs = {}
        for graph, file in files.items():
            external, opsets = tuple(self._beside(file)), {}
            if graph in scanned:
                folder = file.rpartition("/")[0]
                external = tuple(f"{folder}/{place}" if folder else place for place in scanned[graph].external)
                opsets = dict(scanned[graph].opsets)
            graphs[graph] = GraphFiles(file, external, opsets)
        names = {name for graph in graphs.values() for name in graph.names}
        return Variant(graphs, sum(map(self._bytes, names)), targets=("cpu", "cuda"))

    def _files(self) -> dict[str, FileInfo]:
        graphs = {
            name for files in self.variants.values() for file in files.values() for name in (file, *self._beside(file))
        }
        small = {
            name
            for name in self.files.names
            # In folders, what sentence-transformers says of its modules.
            if ("/" not in name and name.endswith(_SMALL_ENDINGS)) or name.endswith(f"/{CONFIG}")
        }
        return {name: FileInfo(self._bytes(name), "") for name in sorted(graphs | small)}

    def _bytes(self, name: str) -> int:
        path = self.files.folder / name
        return path.stat().st_size if path.is_file() else 0

    def _postprocessing(self, face: Face, config: Mapping[str, Any]) -> Postprocessing:
        labels = self._labels(face, config) if face.answers in ("classes", "token classes") else ()
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
        count = face.width if face.width is not None else len(names) or int(config.get("num_labels") or 2)
        if names and len(names) != count:
            raise UnsupportedFormat(
                f"{self.files.folder}: config.json names {len(names)} labels, and the graph gives {count} scores: one "
                "of them is of another model. Get both from the same export."
            )
        if not names:
            self.facts.append(Fact("labels", f"LABEL_0 to LABEL_{count - 1}", "the number of scores", assumed=True))
            return tuple(f"LABEL_{number}" for number in range(count))
        self._note("labels", str(count), CONFIG)
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
            vectors = read_vectors(self.files, width, pooled)
            self._note("pooling", ", ".join(vectors.settings.pooling) or "in the graph", vectors.source)
            return vectors.settings
        if pooled:
            self._note("pooling", "in the graph", face.info.outputs[0].name)
            return EmbeddingSettings((), width, normalize=False)
        self.facts.append(
            Fact(
                "pooling", "mean", 'nothing; pass pooling="cls" or another if the model\'s author says so', assumed=True
            )
        )
        return EmbeddingSettings(("mean",), width, normalize=False)

    def _asked_pooling(self, pooling: str, width: int, pooled: bool) -> EmbeddingSettings:
        if pooled:
            raise InputError(f"pooling={pooling!r}: this graph pools by itself. Leave pooling out.")
        self._note("pooling", pooling, "the caller")
        settings = EmbeddingSettings((pooling,), width, normalize=False)
        if not is_sentence_model(self.files):
            return settings
        return replace(read_vectors(self.files, width, pooled).settings, pooling=(pooling,), dimensions=width)

    def _generation(self, face: Face, config: Mapping[str, Any]) -> GenerationSettings | None:
        if face.info.role != "decoder":
            return None
        longest = config.get("max_position_embeddings") or config.get("n_positions")
        limit = longest if isinstance(longest, int) and longest > 0 else None
        self._note("longest row", _limit(limit), CONFIG)
        shared = any(tensor.name == "seqlens_k" for tensor in face.info.inputs)
        return GenerationSettings("shared" if shared else "growing", limit, "another tool made its graph")

    def _note(self, what: str, value: str, source: str) -> None:
        self.facts.append(Fact(what, value, source))


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


def _limit(count: int | None) -> str:
    return "no limit" if count is None else f"{count} tokens"
