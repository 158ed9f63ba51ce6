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
from onnxpress.layouts.faces import Face, read_face
from onnxpress.layouts.files import Files
from onnxpress.layouts.layout import Asked
from onnxpress.layouts.sentence_files import is_sentence_model, read_vectors
from onnxpress.layouts.tokenizer_files import read_tokenizer

CONFIG, GENERATION = "config.json", "generation_config.json"

#: Small files that stay with a model, for whoever asks for them: settings, templates, the card.
_SMALL_ENDINGS = (".json", ".jinja", ".txt", ".md", ".model", ".spm")
_MODEL = "model"


def find_variants(files: Files, stem: str, also: Mapping[str, str] | None = None) -> dict[str, str]:
    """Precision -> its graph file: `stem` with the precision's suffix; `also`: other names, tried where those are not.

    Args:
        stem: a path without its ending, such as "onnx/model".
    """
    variants = {}
    for precision, row in PRECISIONS.items():
        names = (f"{stem}{row.suffix}.onnx", (also or {}).get(precision, ""))
        name = next((name for name in names if name in files.names), None)
        if name is not None:
            variants[precision] = name
    return variants


def describe(files: Files, layout: str, variants: Mapping[str, str], asked: Asked) -> Model:
    """The model that these graph files make.

    Args:
        variants: precision -> graph file; at least one.

    Raises:
        ArtifactError: a file is missing, damaged or hostile, or the graph is of a kind that is not run.
        InputError: what the caller says is not possible.
    """
    return _Description(files, layout, variants, asked).model()


@dataclass(slots=True)
class _Description:
    files: Files
    layout: str
    variants: Mapping[str, str]
    asked: Asked
    facts: list[Fact] = field(default_factory=list)

    def model(self) -> Model:
        precision = self._precision()
        name = self.variants[precision]
        graph = self._scanned(name)
        config = self.files.settings(CONFIG)
        try:
            face = read_face(graph, config)
        except UnsupportedFormat as error:
            raise UnsupportedFormat(f"{self.files.folder / name}: {error}.") from None
        returned = ", ".join(f"{tensor.name} {tensor.axes}" for tensor in face.info.outputs[:2])
        self._note("answers", f"{face.answers}: {returned}", name)
        tokenizer = self._tokenizer(face, config, graph)
        architectures = config.get("architectures")
        manifest = Manifest(
            format=FORMAT,
            format_version=FORMAT_VERSION,
            task="",
            model_type=str(config.get("model_type", "")),
            architecture=str(architectures[0]) if isinstance(architectures, list) and architectures else "",
            padding=True,
            graphs={_MODEL: face.info},
            variants={
                key: self._variant(file, graph if key == precision else None) for key, file in self.variants.items()
            },
            processors=Processors(text=tokenizer),
            postprocessing=self._postprocessing(face, config),
            provenance=Provenance(str(self.files.folder), None, None, "", "", "", {}),
            files=self._files(),
            generation=self._generation(face, config),
        )
        return Model(manifest, "unverified", Adopted(self.layout, face.answers, tuple(self.facts)))

    def _tokenizer(self, face: Face, config: Mapping[str, Any], graph: GraphFile) -> TokenizerSettings:
        settings = read_tokenizer(self.files, config, graph.tables)
        source = "tokenizer_config.json and the graph's positions"
        width = face.info.inputs[0].axes[-1]
        if isinstance(width, int) and face.info.role == "encoder":  # a graph for rows of one length
            limit = min(width, settings.max_length or width)
            settings, source = replace(settings, max_length=limit), f"the graph, which takes rows of {width} tokens"
        self._note("longest text", _limit(settings.max_length), source)
        return settings

    def _precision(self) -> str:
        """The variant to describe: fp32 unless another is asked for, since nothing here passed a gate."""
        if self.asked.precision is not None and self.asked.precision in self.variants:
            self._note("variant", self.variants[self.asked.precision], "the caller")
            return self.asked.precision
        precision = REFERENCE if REFERENCE in self.variants else next(iter(self.variants))
        others = [name for name in self.variants if name != precision]
        reason = f"{precision}, the most exact; there are also {', '.join(others)}" if others else "the only one"
        self._note("variant", f"{self.variants[precision]}, {reason}", "the names of the files")
        return precision

    def _scanned(self, name: str) -> GraphFile:
        self.files.bring([name, *self._beside(name)])
        return scan(self.files.path(name), root=self.files.folder, also=self.files.link_roots)

    def _beside(self, name: str) -> list[str]:
        """Files that are likely to hold a graph's weights: those whose names begin with its."""
        return sorted(other for other in self.files.names if other.startswith(name) and other != name)

    def _variant(self, file: str, graph: GraphFile | None) -> Variant:
        folder = file.rpartition("/")[0]
        if graph is None:
            external = tuple(self._beside(file))
        else:
            external = tuple(f"{folder}/{place}" if folder else place for place in graph.external)
        listed = GraphFiles(file, external, {} if graph is None else graph.opsets)
        return Variant({_MODEL: listed}, sum(map(self._bytes, listed.names)), targets=("cpu", "cuda"))

    def _files(self) -> dict[str, FileInfo]:
        graphs = {name for file in self.variants.values() for name in (file, *self._beside(file))}
        small = {name for name in self.files.names if "/" not in name and name.endswith(_SMALL_ENDINGS)}
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
