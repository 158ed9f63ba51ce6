"""What can be measured: the protocols and the table of backends.

A new backend is one class and one row in BACKENDS. This module knows nothing of time or of any one library, and
imports nothing but the standard library: a worker measures how long a backend's own imports take.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from onnxpress_bench.served import Served
from onnxpress_bench.workloads import GENERATION, REWRITING, SPEECH, workload_of


class NotMeasured(Exception):  # noqa: N818 - a worker imports nothing of onnxpress, its tree of errors neither
    """A backend cannot do what is measured, or would do something else under its name. Its worker fails with it."""


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """Everything a worker needs to build a backend, as plain JSON values.

    `folder`: the artifact, or the checkpoint as the user named it, until `prepare` has found its files. `workspace`:
    where `prepare` may keep what it converts, the same for all runs with the same source. `options`: arguments of
    every call. `settings`: what the model needs, and what only one kind of backend needs.
    """

    name: str
    kind: str
    task: str
    folder: str
    threads: int
    device: str = "cpu"
    workspace: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Batching:
    """How a stream is cut into batches. `rows` None: the backend decides."""

    rows: int | None = None
    sort: bool = False

    def __str__(self) -> str:
        if self.rows is None:
            return "its own batching"
        return f"batch {self.rows}" + (", sorted by length" if self.sort else "")


class Backend(Protocol):
    """One way to run the task's model, in this process. `batchings`: what it may choose from for throughput, the
    first being one item at a time, or its own. `distributions`: what a user has to install, as pip names it.

    Most inherit it from base.Runner, and have the verb of their family of tasks: Encodes, Generates, Rewrites,
    Transcribes.
    """

    batchings: Sequence[Batching]
    distributions: Sequence[str]

    def __init__(self, spec: BackendSpec) -> None: ...

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        """What has to be done once, unmeasured: downloads, conversions and checks. Returns the spec that is
        measured."""

    def load_libraries(self) -> None:
        """Import what is needed."""

    def load(self) -> None:
        """Load the model and the tokenizer."""

    def model_files(self) -> Sequence[Path]:
        """The files of the model: weights and graph."""

    def one(self, item: Any) -> Any:
        """The answer to one item."""

    def many(self, items: Sequence[Any], batching: Batching) -> Sequence[Any]:
        """The answers to many items, in their order."""


@runtime_checkable
class Split(Protocol):
    """A backend whose tokenization can be left out of a measurement."""

    def tokenize(self, items: Sequence[Any]) -> Any:
        """Items that are one batch, ready for the model."""

    def compute(self, batch: Any) -> Any:
        """The model's part of the answer."""


@runtime_checkable
class Encodes(Protocol):
    """A backend that runs an encoder alone. `tokenizer`: of workloads.encoding; `pads`: whether it takes arrays, or
    lists of ids without padding."""

    spec: BackendSpec
    tokenizer: Any
    pads: bool

    def forward(self, batch: Any) -> Any:
        """int64 arrays (batch, sequence), or lists, by name -> float32 (batch, sequence, hidden) or (batch, labels)."""


@runtime_checkable
class Generates(Protocol):
    """A backend for text-generation: token ids in, token ids out one by one, greedily."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Exactly `new_tokens` ids, each as soon as it is known; an end-of-text token does not end it."""


@runtime_checkable
class Rewrites(Protocol):
    """A backend for translation and other encoder-decoders."""

    def rewrite(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        """For each text exactly `new_tokens` ids of the best hypothesis; an end-of-text token does not come."""


@runtime_checkable
class Transcribes(Protocol):
    """A backend for automatic-speech-recognition: with the setting "transcript_beams", without timestamps, in English
    if it knows several languages; with "transcript_batch" windows of a long recording side by side."""

    def transcribe(self, audio: Any, rate_hz: int) -> str:
        """The text of mono audio: float32 (samples,) in [-1, 1]."""


@runtime_checkable
class Serves(Protocol):
    """A server in a process of its own. `embeddings`: the path that is asked for vectors; `each_token`: what a request
    for a text says to hear of each token, also of one that has no text."""

    served: Served
    embeddings: str
    each_token: Mapping[str, Any]

    def body(self, item: Any) -> bytes:
        """What is sent for the vector of a text."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of BACKENDS. `classes`: module and class for each of the tasks that it serves, "" being all others. `peer`:
    the environment of its own that it runs in (environments.py); None: that of onnxpress. `reads`: what the spec's
    folder is. `settings` are added to those of every spec of this kind. `precision`: the one variant of an artifact
    that it reads; None: each."""

    about: str
    classes: Mapping[str, tuple[str, str]]
    peer: str | None = None
    reads: Literal["artifact", "checkpoint"] = "checkpoint"
    settings: Mapping[str, Any] = field(default_factory=dict)
    precision: str | None = None

    def serves(self, task: str) -> bool:
        """Whether it has a class for a task. Models that write or hear are no "all others"."""
        return task in self.classes or ("" in self.classes and not workload_of(task).reads_checkpoint)


def _all(module: str, name: str, tasks: Iterable[str] = ("",)) -> dict[str, tuple[str, str]]:
    """One class for several tasks."""
    return dict.fromkeys(tasks, (module, name))


_ENCODERS = ("feature-extraction", "sentence-similarity", "text-classification")
_PYTORCH = {
    **_all("pytorch", "PyTorch"),
    **_all("pytorch_hearing", "PyTorchHearing", (SPEECH,)),
    **_all("pytorch_writing", "PyTorchWriting", (GENERATION, *REWRITING)),
}
_WRITES = _all("onnxpress_writing", "OnnxpressWriting", (GENERATION, *REWRITING, SPEECH))
#: Models of pictures that peers run alone.
_SEEN = ("image-classification",)
_ONNXRUNTIME = _all("onnxruntime", "OnnxRuntime", _ENCODERS)
_OPENVINO = _all("openvino", "OpenVINO", (*_ENCODERS, *_SEEN))
_CTRANSLATE2 = {
    **_all("ctranslate2", "CTranslate2", _ENCODERS),
    **_all("ctranslate2_rewriting", "CTranslate2Rewriting", REWRITING),
}
_LLAMA_CPP = _all("llama_cpp", "LlamaCpp", (GENERATION,))
_FASTER_WHISPER = _all("faster_whisper", "FasterWhisper", (SPEECH,))
_GENAI = _all("genai", "GenAI", (GENERATION,))
_COMPILED, _BFLOAT16, _PIPELINE = {"compile": True}, {"dtype": "bfloat16"}, {"pipeline": True}
_DYNAMIC = "the artifact's fp32 graph through ONNX Runtime's own dynamic quantization"
_INT8 = {"quantization": "int8"}

#: What users name with --backend.
BACKENDS: Mapping[str, Kind] = {
    "onnxpress": Kind(
        "an artifact's variants through onnxpress.pipeline",
        {**_all("onnxpress", "Onnxpress"), **_WRITES},
        reads="artifact",
    ),
    "pytorch": Kind("PyTorch in float32, eager", _PYTORCH),
    "pytorch-bf16": Kind("PyTorch in bfloat16, eager", _PYTORCH, settings=_BFLOAT16),
    "torch.compile": Kind("PyTorch in float32, torch.compile", _all("pytorch", "PyTorch"), settings=_COMPILED),
    "transformers": Kind("transformers' pipeline, float32", _all("pytorch", "PyTorch"), settings=_PIPELINE),
    "onnxruntime": Kind("the artifact's graph in ONNX Runtime, by hand", _ONNXRUNTIME, reads="artifact"),
    "tokenizer+session": Kind(
        "the artifact's graph in ONNX Runtime, by hand, up to the graph's output",
        _ONNXRUNTIME,
        reads="artifact",
        settings={"bare": True},
    ),
    "onnxruntime-dynamic-int8": Kind(
        _DYNAMIC, _all("onnxruntime_dynamic", "DynamicInt8", _ENCODERS), reads="artifact", precision="fp32"
    ),
    "openvino": Kind("OpenVINO, float32", _OPENVINO, "openvino"),
    "openvino-int8": Kind("OpenVINO, int8 by NNCF", _OPENVINO, "openvino", settings=_INT8),
    "ctranslate2": Kind("CTranslate2, float32", _CTRANSLATE2, "ctranslate2"),
    "ctranslate2-int8": Kind("CTranslate2, int8", _CTRANSLATE2, "ctranslate2", settings=_INT8),
    "optimum-onnx": Kind("optimum-onnx, float32", _all("optimum", "Optimum", (*_ENCODERS, *_SEEN)), "optimum-onnx"),
    "fastembed": Kind("fastembed, float32", _all("fastembed", "FastEmbed", ("sentence-similarity",)), "fastembed"),
    **{
        f"llama.cpp{end}": Kind(
            f"llama.cpp, {shown}", _LLAMA_CPP, "llama-cpp-python", settings={"quantization": quantization}
        )
        for end, shown, quantization in (("", "float32", "f32"), ("-q8_0", "Q8_0", "q8_0"), ("-q4_0", "Q4_0", "q4_0"))
    },
    **{
        f"onnxruntime-genai{end}": Kind(
            f"onnxruntime-genai, {shown}", _GENAI, "onnxruntime-genai", settings={"precision": precision}
        )
        for end, shown, precision in (("", "float32", "fp32"), ("-int4", "int4", "int4"))
    },
    **{
        f"onnxpress-{precision}": Kind(f"onnxpress, {precision}", _WRITES, settings={"precision": precision})
        for precision in ("fp32", "int8", "q8", "q4")
    },
    "onnxpress-server": Kind(
        "onnxpress serve, over HTTP",
        _all("embedding_servers", "OnnxpressServer", ("sentence-similarity",)),
        reads="artifact",
    ),
    "infinity": Kind(
        "infinity, over HTTP", _all("embedding_servers", "Infinity", ("sentence-similarity",)), "infinity"
    ),
    "fastapi": Kind(
        "sentence-transformers behind FastAPI, over HTTP",
        _all("embedding_servers", "FastApi", ("sentence-similarity",)),
        "fastapi",
    ),
    **{
        f"onnxpress-server-{precision}": Kind(
            f"onnxpress serve, {precision}, over HTTP",
            _all("writing_servers", "OnnxpressWritingServer", (GENERATION,)),
            settings={"precision": precision},
        )
        for precision in ("int8", "q4")
    },
    **{
        f"llama.cpp-server-{quantization}": Kind(
            f"llama-cpp-python's server, {quantization.upper()}, over HTTP",
            _all("writing_servers", "LlamaCppServer", (GENERATION,)),
            "llama-cpp-server",
            settings={"quantization": quantization},
        )
        for quantization in ("q4_0", "q8_0")
    },
    "faster-whisper": Kind("faster-whisper, float32", _FASTER_WHISPER, "faster-whisper"),
    "faster-whisper-int8": Kind("faster-whisper, int8", _FASTER_WHISPER, "faster-whisper", settings=_INT8),
}


def kind_of(name: str) -> Kind | None:
    """A row of BACKENDS; or "package.module:Class", someone else's backend, which is given the artifact."""
    module, _, class_name = name.partition(":")
    if class_name and module.replace(".", "_").isidentifier() and class_name.isidentifier():
        every = ("", GENERATION, *REWRITING, SPEECH)
        return Kind(f"{class_name} of {module}", _all(module, class_name, every), reads="artifact")
    return BACKENDS.get(name)


def backend_class(name: str, task: str) -> type[Backend]:
    """The class of a kind of backend, for a task.

    Raises:
        KeyError: there is no such kind.
    """
    row = kind_of(name)
    if row is None:
        raise KeyError(name)
    module, class_name = row.classes[task if task in row.classes else ""]
    backend: type[Backend] = getattr(import_module(module if ":" in name else f"{__name__}.{module}"), class_name)
    return backend


def plain(value: Any) -> Any:
    """An answer as JSON values: arrays and tensors become lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def text_of(item: Any) -> str:
    """The text, or the first of two, of an item for text-classification."""
    return item["text"] if isinstance(item, Mapping) else item  # type: ignore[no-any-return]


def pair_of(item: Any) -> str | None:
    """The second of two texts, if there are two."""
    return item["text_pair"] if isinstance(item, Mapping) else None


def weight(item: Any) -> int:
    """Characters of an item: what sorting by length sorts by."""
    if isinstance(item, str):
        return len(item)
    return sum(map(weight, item.values() if isinstance(item, Mapping) else item))


def in_batches(items: Sequence[Any], batching: Batching) -> list[list[int]]:
    """Indices of `items`, cut as `batching` says. Its `rows` must be given."""
    order = list(range(len(items)))
    if batching.sort:
        order.sort(key=lambda index: weight(items[index]))
    rows = batching.rows or 1
    return [order[i : i + rows] for i in range(0, len(order), rows)]
