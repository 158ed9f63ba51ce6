"""The frozen schema of `onnxpress.json`, the contract between the exporter and the runtime.

docs/artifact.md describes every field for readers of other languages; the dataclasses here are its source. This
module parses, validates and prints the manifest. It knows nothing of files on disk, sessions or tokenizers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from onnxpress.errors import InvalidManifest, UnsupportedFormat
from onnxpress.format.precisions import PRECISIONS
from onnxpress.format.schema import decode, encode

FILE_NAME = "onnxpress.json"
FORMAT = "onnxpress"
FORMAT_VERSION = 3
MAX_MANIFEST_BYTES = 16 * 1024 * 1024

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One graph input or output: numpy dtype name and axes, an axis being a size or a name such as "batch"."""

    name: str
    dtype: str
    axes: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class GraphInfo:
    """What every variant of one graph takes and returns."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


@dataclass(frozen=True, slots=True)
class FileInfo:
    """Size and SHA-256 (lower-case hexadecimal) of one file of the artifact."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """Where one variant keeps one graph: the `.onnx` file, its external data, and the operator sets it needs."""

    file: str
    external: tuple[str, ...] = ()
    opsets: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quality:
    """What verification measured against PyTorch in fp32. Errors are fractions of the output's range.

    `measures`: figures of the task's answers; `measure_limits`: what each of them had to reach.
    """

    reference: str
    inputs: int
    comparisons: int
    max_error: float
    max_error_limit: float
    batch_error: float
    batch_error_limit: float
    measures: Mapping[str, float] = field(default_factory=dict)
    measure_limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Timing:
    """Median time of one forward pass on the exporting machine; this variant, PyTorch and the fp32 variant in turn.

    None for those that were not there.
    """

    batch: int
    sequence: int
    milliseconds: float
    pytorch_milliseconds: float | None = None
    fp32_milliseconds: float | None = None


@dataclass(frozen=True, slots=True)
class Speed:
    machine: str
    threads: int
    timings: tuple[Timing, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One precision of the artifact.

    `targets` are the machines it suits: "cpu" (any processor), "cuda", or "cpu:FEATURE" for processors with one of
    `machine.features`. `treatments`: product -> how its weights are stored, where that is not the usual way of the
    precision. `repair`: what was done, round by round, until the variant passed.
    """

    graphs: Mapping[str, GraphFiles]
    bytes: int
    targets: tuple[str, ...] = ("cpu",)
    quality: Quality | None = None
    speed: Speed | None = None
    treatments: Mapping[str, str] = field(default_factory=dict)
    repair: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpecialToken:
    text: str
    id: int


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """How a tokenizer is told the languages. `codes`: language -> id of its token, in the order of the checkpoint.

    `source_position`: where the source language's token stands in an encoded row (0: first, -1: last); None: nowhere.
    `target`: how the target language is asked for. "forced": its id is the first token to be generated; "text": its
    token, `>>CODE<<`, begins the source text; None: not at all.
    """

    codes: Mapping[str, int]
    source_position: int | None = None
    target: Literal["forced", "text"] | None = None
    default_source: str | None = None
    default_target: str | None = None


SegmentationMethod = Literal["sentencepiece", "blenderbot-small", "bytes"]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """How a text becomes tokens where the Rust library has no exact way. It stands in for the normalizer, the
    pre-tokenizer, the template and the decoder of `tokenizer.json`; docs/artifact.md says what each method does.

    Ids from `vocabulary` on are pieces that the model has no row for: they count as `unknown_id`. `prefix` and
    `suffix` surround a row. The rest is for "sentencepiece": the file with its normalization table, its settings,
    pieces without a text, whether `>>CODE<<` at the beginning is one token; in decoded text, what follows a special
    token, and the names of others that are joined as special ones are.
    """

    method: SegmentationMethod
    vocabulary: int
    unknown_id: int
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    charsmap_file: str | None = None
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    invisible: tuple[str, ...] = ()
    leading_code: bool = False
    after_special: str = ""
    apart: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """What `tokenizer.json` does not say. `max_length` counts tokens, special ones included; None: unlimited.

    `target`: the tokenizer of the target side, which decodes, where that side has a vocabulary of its own.
    """

    file: str
    input_names: tuple[str, ...]
    max_length: int | None
    pad_token_id: int
    pad_token_type_id: int = 0
    padding_side: Side = "right"
    truncation_side: Side = "right"
    clean_up_tokenization_spaces: bool = False
    special_tokens: Mapping[str, SpecialToken] = field(default_factory=dict)
    languages: LanguageSettings | None = None
    segmentation: Segmentation | None = None
    target: TokenizerSettings | None = None


@dataclass(frozen=True, slots=True)
class EmbeddingSettings:
    """How a sentence embedding is made from `last_hidden_state`, as the sentence-transformers files say.

    `pooling` holds one or more of cls, mean, max, mean_sqrt_len_tokens, weightedmean, lasttoken, concatenated in
    this order. With `include_prompt` false the prompt's tokens take part in attention but not in pooling.
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


@dataclass(frozen=True, slots=True)
class Postprocessing:
    """`labels[i]` names class i. `function_to_apply` and `problem_type` are as in the checkpoint's config."""

    labels: tuple[str, ...] = ()
    problem_type: str | None = None
    function_to_apply: str | None = None
    embedding: EmbeddingSettings | None = None


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How graphs that continue text are called; the defaults of a call are in `generation_config.json`.

    `cache`: "shared" (fused attention writes keys and values in place) or "growing" (a traced graph returns them);
    `max_length`: the most tokens of a row that is continued, None: no limit; `traced`: why graphs were traced, None:
    they were built from the weights.
    """

    cache: Literal["shared", "growing"]
    max_length: int | None
    traced: str | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the artifact comes from. `source` is the Hub id or folder as it was given to the exporter; `adapter`, where
    there is one, the PEFT adapter that was merged into the weights."""

    source: str
    revision: str | None
    commit: str | None
    weights_sha256: str
    command: str
    created: str
    versions: Mapping[str, str]
    adapter: str | None = None


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
    tokenizer: TokenizerSettings | None
    postprocessing: Postprocessing
    provenance: Provenance
    files: Mapping[str, FileInfo]
    generation: GenerationSettings | None = None


def parse(text: str | bytes, where: str = FILE_NAME) -> Manifest:
    """Read a manifest.

    Raises:
        InvalidManifest: not JSON, not an onnxpress manifest, or fields that contradict each other.
        UnsupportedFormat: a format version that this onnxpress does not read.
    """
    if len(text) > MAX_MANIFEST_BYTES:
        raise InvalidManifest(
            f"{where}: {len(text)} bytes are more than a manifest can have ({MAX_MANIFEST_BYTES}). Export again."
        )
    try:
        value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique)
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
    manifest = decode(Manifest, value, where)
    _validate(manifest, where)
    return manifest


def dump(manifest: Manifest) -> str:
    """The manifest as indented JSON with a final newline; `parse` reads it back equal."""
    return json.dumps(encode(manifest), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object names a field twice")
    return value


_SHA256 = re.compile(r"[0-9a-f]{64}")


def _validate(manifest: Manifest, where: str) -> None:
    def refuse(field_name: str, reason: str) -> None:
        raise InvalidManifest(f"{where}: {field_name}: {reason}. Export again.")

    for name, info in manifest.files.items():
        if info.bytes < 0:
            refuse(f"files.{name}.bytes", "negative")
        if not _SHA256.fullmatch(info.sha256):
            refuse(f"files.{name}.sha256", "not 64 lower-case hexadecimal digits")
    if not manifest.variants:
        refuse("variants", "there is none")
    for precision, variant in manifest.variants.items():
        at = f"variants.{precision}"
        if precision not in PRECISIONS:
            raise UnsupportedFormat(
                f"{where}: {at}: unknown precision; this onnxpress knows {', '.join(PRECISIONS)}. Upgrade onnxpress."
            )
        if set(variant.graphs) != set(manifest.graphs):
            refuse(f"{at}.graphs", f"{sorted(variant.graphs)} instead of {sorted(manifest.graphs)}")
        for graph, files in variant.graphs.items():
            for name in (files.file, *files.external):
                if name not in manifest.files:
                    refuse(f"{at}.graphs.{graph}", f"{name!r} is not listed in files")
    tokenizer, at = manifest.tokenizer, "tokenizer"
    while tokenizer is not None:
        named = [("file", tokenizer.file)]
        if tokenizer.segmentation is not None and tokenizer.segmentation.charsmap_file is not None:
            named.append(("segmentation.charsmap_file", tokenizer.segmentation.charsmap_file))
        for field_name, file in named:
            if file not in manifest.files:
                refuse(f"{at}.{field_name}", f"{file!r} is not listed in files")
        if tokenizer.max_length is not None and tokenizer.max_length < 1:
            refuse(f"{at}.max_length", "not positive")
        tokenizer, at = tokenizer.target, f"{at}.target"
