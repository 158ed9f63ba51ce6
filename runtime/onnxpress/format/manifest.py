"""The frozen schema of `onnxpress.json`, the contract between the exporter and the runtime.

docs/artifact.md describes every field for readers of other languages; the dataclasses here are its source. This
module parses, validates and prints the manifest. It knows nothing of files on disk, sessions or tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from onnxpress.errors import InvalidManifest, UnsupportedFormat
from onnxpress.format.adopted import Adapter, Adopted
from onnxpress.format.older import upgrade
from onnxpress.format.processors import Processors, TokenizerSettings
from onnxpress.format.schema import decode, encode
from onnxpress.format.strict_json import parse_json
from onnxpress.format.validation import validate
from onnxpress.format.variants import (
    FormTime,
    GraphFiles,
    Quality,
    Speed,
    Timing,
    Tuning,
    Variant,
    VariantForm,
    families_of,
)
from onnxpress.later import later

# What few manifests have is imported where one has it.
if TYPE_CHECKING:
    from onnxpress.format.boxes import DetectionSettings
    from onnxpress.format.segmentation import SegmentationSettings
    from onnxpress.format.speech import SpeechSettings

__getattr__ = later(
    __name__,
    {
        "onnxpress.format.boxes": ("DetectionSettings",),
        "onnxpress.format.segmentation": ("SegmentationSettings",),
        "onnxpress.format.speech": ("SpeechSettings",),
    },
)

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "FORMAT_VERSION",
    "MAX_MANIFEST_BYTES",
    "EmbeddingSettings",
    "FileInfo",
    "FormTime",
    "GenerationSettings",
    "GraphFiles",
    "GraphInfo",
    "Manifest",
    "Postprocessing",
    "Provenance",
    "Quality",
    "Speed",
    "TensorInfo",
    "Timing",
    "Tuning",
    "Variant",
    "VariantForm",
    "dump",
    "families_of",
    "parse",
]

FILE_NAME = "onnxpress.json"
FORMAT = "onnxpress"
FORMAT_VERSION = 5
MAX_MANIFEST_BYTES = 16 * 1024 * 1024

#: What the input of token ids is called in every graph.
_IDS = "input_ids"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One graph input or output: numpy dtype name and axes, an axis being a size or a name such as "batch"."""

    name: str
    dtype: str
    axes: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """What every variant of one graph takes and returns, and what it does in the model: its role.

    Roles: "encoder", "decoder" and "head" (from a pooled vector to the embedding); "text" and "vision", or "audio",
    where texts and pictures, or sounds, are read apart and compared; "query" where queries are read apart from
    documents; "vocoder" makes samples of sound; in other tools' exports also "keys" (makes keys and values of a text)
    and "prompt" (reads the first tokens of a row, where the decoder goes on).
    """

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    role: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """Size and SHA-256 (lower-case hexadecimal) of one file of the artifact."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TokenVectors:
    """Of a model with a vector for each token, how queries and documents are read, and which of their tokens count.

    `query_length` and `document_length`: the most tokens; None: the model's limit. `expansion_id`: the token that fills
    queries up to `expansion_length`, cut there if they are longer and it is `expansion_fixed`; None: none does. With
    `attends_to_expansion` false, others do not see it. `skipped_ids`: tokens that do not count in texts of the roles
    `skipped_in`.
    """

    query_length: int | None = None
    document_length: int | None = None
    expansion_id: int | None = None
    expansion_length: int = 0
    expansion_fixed: bool = True
    attends_to_expansion: bool = False
    skipped_ids: tuple[int, ...] = ()
    skipped_in: tuple[str, ...] = ("document",)


@dataclass(frozen=True, slots=True)
class VectorsBeside:
    """What the graph gives beside a text's dense vector, in the same pass (BGE-M3).

    `weights`: its output with a weight for each token, float32 (batch, sequence): a sparse vector over `vocabulary`
    tokens has the largest weight of each token that the text has, but for `unweighted_ids`. `vectors`: its output with
    a vector for each token, float32 (batch, sequence, n): all but the first token's count, each made as long as 1.
    """

    weights: str
    vocabulary: int
    unweighted_ids: tuple[int, ...]
    vectors: str


@dataclass(frozen=True, slots=True)
class QueryRoute:
    """How queries are read where another graph reads them than documents, that of the role "query" (a Router). It gives
    float32 (batch, dimensions).

    Fields mean what they mean in EmbeddingSettings. `special_tokens`: whether the tokenizer puts its own around a
    query. `usual`: whether a text without a role is read as a query.
    """

    normalize: bool
    special_tokens: bool = True
    max_length: int | None = None
    empty_is_zero: bool = False
    usual: bool = False


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """How a sentence embedding is made from `last_hidden_state`, as the sentence-transformers files say.

    `pooling` holds one or more of cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken, concatenated in
    this order; empty where the graph pools. With `include_prompt` false the prompt's tokens take part in attention but
    not in pooling. `kind`: one vector of a text; one with a number for each token of the vocabulary, few of which are
    not 0 ("sparse"); or a vector for each token of the text, which `tokens` is about. `empty_is_zero`: a text without
    any token has the vector of zeros, and is not refused. `beside`: the graph gives more than the dense vector.
    `query`: another graph reads queries.
    """

    pooling: tuple[str, ...]
    dimensions: int
    normalize: bool
    include_prompt: bool = True
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    max_length: int | None = None
    do_lower_case: bool = False
    similarity: str = "cosine"
    truncate_dimensions: int | None = None
    kind: Literal["dense", "sparse", "tokens"] = "dense"
    tokens: TokenVectors | None = None
    empty_is_zero: bool = False
    beside: VectorsBeside | None = None
    query: QueryRoute | None = None


@dataclass(frozen=True, slots=True)
class PairScores:
    """How the vectors of a text and of a picture or a sound become a score: cosine * `scale` + `bias`, and then
    `function`: "softmax" over all texts, or "sigmoid" for each. `scale`: None where the graph of pictures gives one for
    each place. `cuts`: texts are cut to the model's longest row; otherwise longer ones are refused."""

    function: Literal["softmax", "sigmoid"]
    scale: float | None = None
    bias: float = 0.0
    cuts: bool = False


@dataclass(frozen=True, slots=True)
class Postprocessing:
    """`labels[i]` names class i. `function_to_apply` and `problem_type` are as in the checkpoint's config.
    `entailment`: the class that the config's label2id calls so, where the labels say another or none. `prompts` and
    the default one's name: texts put before a query that documents are ranked for. `pairs`: how texts and pictures are
    compared, where each has a graph of its own. `segmentation`: how segments of a picture are made. `detection`: how
    boxes are. `speech`: how a text becomes sound. `samples_of_moment`: of a model that answers scores of tokens for
    each moment of a sound (CTC), how many samples of the sound a moment has."""

    labels: tuple[str, ...] = ()
    problem_type: str | None = None
    function_to_apply: str | None = None
    embedding: EmbeddingSettings | None = None
    entailment: int | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    detection: DetectionSettings | None = None
    segmentation: SegmentationSettings | None = None
    pairs: PairScores | None = None
    samples_of_moment: int | None = None
    speech: SpeechSettings | None = None


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How graphs that continue text are called; the defaults of a call are in `generation_config.json`.

    `cache`: "shared" (fused attention writes keys and values in place), "growing" (a traced graph returns them),
    "fused" (so does another tool's graph, whose fused attention takes a row's padding to follow its tokens),
    "state" (a traced graph takes one token, and returns a state of fixed shape in some layers or all) or "none" (a
    traced graph keeps nothing: rows are read whole for each token);
    `max_length`: the most tokens of a row that is continued, None: no limit; `traced`: why graphs were traced, None:
    they were built from the weights.
    """

    cache: Literal["shared", "growing", "fused", "state", "none"]
    max_length: int | None
    traced: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the artifact comes from. `source` is the Hub id or folder as it was given to the exporter; `adapter`, where
    there is one, the PEFT adapter that was merged into the weights; `adopted`, how another tool's folder was understood
    whose graphs these are, None: the exporter made them."""

    source: str
    revision: str | None
    commit: str | None
    weights_sha256: str
    command: str
    created: str
    versions: Mapping[str, str]
    adapter: str | None = None
    adopted: Adopted | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of `onnxpress.json`.

    `padding` says whether rows of different lengths may share a batch: false for architectures whose answer for a
    text changes when padding stands beside it, in PyTorch too. `files` lists every file of the artifact but the
    manifest itself.
    """

    format: str
    format_version: int
    task: str
    model_type: str
    architecture: str
    padding: bool
    graphs: Mapping[str, GraphInfo]
    variants: Mapping[str, Variant]
    processors: Processors
    postprocessing: Postprocessing
    provenance: Provenance
    files: Mapping[str, FileInfo]
    generation: GenerationSettings | None = None

    @property
    def adapters(self) -> Mapping[str, Adapter]:
        """What stands between graphs that were adopted from another tool and those who call them, by graph."""
        adopted = self.provenance.adopted
        return {} if adopted is None else adopted.adapters

    @property
    def tokenizer(self) -> TokenizerSettings | None:
        """The processor of texts."""
        return self.processors.text

    def table_rows(self) -> dict[str, dict[str, int]]:
        """Graph -> its input of token ids -> rows of the table that it is read from, where that is known."""
        encodes = any(graph.role == "encoder" for graph in self.graphs.values())
        rows: dict[str, dict[str, int]] = {}
        for name, graph in self.graphs.items():
            count = None if self.tokenizer is None else self.tokenizer.vocabulary
            if graph.role == "decoder" and encodes:
                # The target side may have a table of its own; it writes what it reads.
                logits = next((tensor for tensor in graph.outputs if tensor.name == "logits"), None)
                axis = None if logits is None else logits.axes[-1]
                count = axis if isinstance(axis, int) else None
            if count is not None and any(tensor.name == _IDS for tensor in graph.inputs):
                rows[name] = {_IDS: count}
        return rows

    def graph_name(self, role: str) -> str:
        """The name of the graph that does `role` in the model.

        Raises:
            UnsupportedFormat: the artifact has no such graph.
        """
        for name, graph in self.graphs.items():
            if graph.role == role:
                return name
        roles = ", ".join(f"{name} ({graph.role})" for name, graph in self.graphs.items())
        raise UnsupportedFormat(
            f"No graph of this {self.architecture} has the role {role!r}; it has: {roles}. Export again."
        )


def parse(text: str | bytes, where: str = FILE_NAME) -> Manifest:
    """Read a manifest of this format version or an older one, which becomes what this version says of the same model.

    Raises:
        InvalidManifest: not JSON, not an onnxpress manifest, or fields that contradict each other.
        UnsupportedFormat: a format version that this onnxpress does not read.
    """
    if len(text) > MAX_MANIFEST_BYTES:
        raise InvalidManifest(
            f"{where}: {len(text)} bytes are more than a manifest can have ({MAX_MANIFEST_BYTES}). Export again."
        )
    try:
        value = parse_json(text)
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"{where}: not valid JSON ({error}). Export again.") from None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise InvalidManifest(f'{where}: not an onnxpress manifest (no "format": "{FORMAT}").')
    version = value.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidManifest(f"{where}: format_version must be a positive integer, not {version!r}.")
    if version > FORMAT_VERSION:
        raise UnsupportedFormat(
            f"{where}: format version {version}; this onnxpress reads up to {FORMAT_VERSION}. Upgrade onnxpress."
        )
    try:
        manifest = decode(Manifest, upgrade(value, version, FORMAT_VERSION, where), where)
    except RecursionError:
        raise InvalidManifest(f"{where}: objects are nested too deeply. Export again.") from None
    validate(manifest, where)
    return manifest


def dump(manifest: Manifest) -> str:
    """The manifest as indented JSON with a final newline; `parse` reads it back equal."""
    value = encode(manifest)
    # Most lack these: readers that do not know the field read those.
    if manifest.provenance.adopted is None:
        del value["provenance"]["adopted"]
    for name in ("pairs", "speech"):
        if value["postprocessing"][name] is None:
            del value["postprocessing"][name]
    for variant in value["variants"].values():
        for name in ("forms", "tunings"):
            if not variant[name]:
                del variant[name]
        for form in variant.get("forms", {}).values():
            if form["usual"] is None:
                del form["usual"]
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
