"""What can be measured: the protocols and the table of backends.

A new backend is one class and one row in BACKENDS. This module knows nothing of time or of any one library, and
imports nothing but the standard library: a worker measures how long a backend's own imports take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable


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

    What a kind of model needs beyond that is a protocol of its own: Split, Generates, Transcribes.
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
class Generates(Protocol):
    """A backend for text-generation: token ids in, token ids out one by one, greedily."""

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Exactly `new_tokens` ids, each as soon as it is known; an end-of-text token does not end it."""


@runtime_checkable
class Transcribes(Protocol):
    """A backend for automatic-speech-recognition."""

    def transcribe(self, audio: Sequence[float], rate_hz: int) -> str:
        """The text of mono audio, samples in [-1, 1]."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of BACKENDS. `tasks` empty: every task. `peer`: the environment of its own that it runs in
    (environments.py); None: that of onnxpress. `reads`: what the spec's folder is. `settings` are added to those of
    every spec of this kind. `precision`: the one variant of an artifact that it reads; None: each. `by_task`: module
    and class of the tasks that are served by others than `module` and `name`."""

    module: str
    name: str
    about: str
    tasks: frozenset[str] = frozenset()
    peer: str | None = None
    reads: Literal["artifact", "checkpoint"] = "checkpoint"
    settings: Mapping[str, Any] = field(default_factory=dict)
    precision: str | None = None
    by_task: Mapping[str, tuple[str, str]] = field(default_factory=dict)


_ENCODERS = frozenset({"feature-extraction", "sentence-similarity", "text-classification"})

_TEXT, _SPEECH, _TRANSLATION = "text-generation", "automatic-speech-recognition", "translation"
_PYTORCH = {
    _TEXT: ("pytorch_generation", "PyTorchGeneration"),
    _SPEECH: ("pytorch_speech", "PyTorchSpeech"),
    _TRANSLATION: ("pytorch_translation", "PyTorchTranslation"),
}
_CTRANSLATE2 = {_TRANSLATION: ("ctranslate2_translation", "CTranslate2Translation")}
_OURS = {
    _TEXT: ("onnxpress_generation", "OnnxpressGeneration"),
    _TRANSLATION: ("onnxpress_generation", "OnnxpressTranslation"),
}


def _text(module: str, name: str, about: str, peer: str, **settings: str) -> Kind:
    return Kind(module, name, about, tasks=frozenset({_TEXT}), peer=peer, settings=settings)


def _writes(precision: str) -> Kind:
    """onnxpress on a checkpoint that it exports itself."""
    return Kind(
        "onnxpress_generation",
        "OnnxpressGeneration",
        f"onnxpress, {precision}",
        tasks=frozenset(_OURS),
        settings={"precision": precision},
        by_task=_OURS,
    )


#: What users name with --backend.
BACKENDS: Mapping[str, Kind] = {
    "onnxpress": Kind("onnxpress", "Onnxpress", "an artifact's variants through onnxpress.pipeline", reads="artifact"),
    "pytorch": Kind("pytorch", "PyTorch", "PyTorch in float32, eager", by_task=_PYTORCH),
    "pytorch-bf16": Kind(
        "pytorch", "PyTorch", "PyTorch in bfloat16, eager", settings={"dtype": "bfloat16"}, by_task=_PYTORCH
    ),
    "torch.compile": Kind("pytorch", "PyTorch", "PyTorch in float32, torch.compile", settings={"compile": True}),
    "transformers": Kind("pytorch", "PyTorch", "transformers' pipeline, float32", settings={"pipeline": True}),
    "onnxruntime": Kind(
        "onnxruntime", "OnnxRuntime", "the artifact's graph in ONNX Runtime, by hand", tasks=_ENCODERS, reads="artifact"
    ),
    "tokenizer+session": Kind(
        "onnxruntime",
        "OnnxRuntime",
        "the artifact's graph in ONNX Runtime, by hand, up to the graph's output",
        tasks=_ENCODERS,
        reads="artifact",
        settings={"bare": True},
    ),
    "onnxruntime-dynamic-int8": Kind(
        "onnxruntime_dynamic",
        "DynamicInt8",
        "the artifact's fp32 graph through ONNX Runtime's own dynamic quantization",
        tasks=_ENCODERS,
        reads="artifact",
        precision="fp32",
    ),
    "openvino": Kind("openvino", "OpenVINO", "OpenVINO, float32", tasks=_ENCODERS, peer="openvino"),
    "openvino-int8": Kind(
        "openvino",
        "OpenVINO",
        "OpenVINO, int8 by NNCF",
        tasks=_ENCODERS,
        peer="openvino",
        settings={"quantization": "int8"},
    ),
    "ctranslate2": Kind(
        "ctranslate2",
        "CTranslate2",
        "CTranslate2, float32",
        tasks=_ENCODERS | {_TRANSLATION},
        peer="ctranslate2",
        by_task=_CTRANSLATE2,
    ),
    "ctranslate2-int8": Kind(
        "ctranslate2",
        "CTranslate2",
        "CTranslate2, int8",
        tasks=_ENCODERS | {_TRANSLATION},
        peer="ctranslate2",
        settings={"quantization": "int8"},
        by_task=_CTRANSLATE2,
    ),
    "optimum-onnx": Kind("optimum", "Optimum", "optimum-onnx, float32", tasks=_ENCODERS, peer="optimum-onnx"),
    "fastembed": Kind(
        "fastembed", "FastEmbed", "fastembed, float32", tasks=frozenset({"sentence-similarity"}), peer="fastembed"
    ),
    "llama.cpp": _text("llama_cpp", "LlamaCpp", "llama.cpp, float32", "llama-cpp-python", quantization="f32"),
    "llama.cpp-q8_0": _text("llama_cpp", "LlamaCpp", "llama.cpp, Q8_0", "llama-cpp-python", quantization="q8_0"),
    "llama.cpp-q4_0": _text("llama_cpp", "LlamaCpp", "llama.cpp, Q4_0", "llama-cpp-python", quantization="q4_0"),
    "onnxruntime-genai": _text("genai", "GenAI", "onnxruntime-genai, float32", "onnxruntime-genai", precision="fp32"),
    "onnxruntime-genai-int4": _text("genai", "GenAI", "onnxruntime-genai, int4", "onnxruntime-genai", precision="int4"),
    "onnxpress-fp32": _writes("fp32"),
    "onnxpress-int8": _writes("int8"),
    "onnxpress-q8": _writes("q8"),
    "onnxpress-q4": _writes("q4"),
    "faster-whisper": Kind(
        "faster_whisper", "FasterWhisper", "faster-whisper, float32", tasks=frozenset({_SPEECH}), peer="faster-whisper"
    ),
}


def kind_of(name: str) -> Kind | None:
    """A row of BACKENDS; or "package.module:Class", someone else's backend, which is given the artifact."""
    module, _, own = name.partition(":")
    if own and module.replace(".", "_").isidentifier() and own.isidentifier():
        return Kind(module, own, f"{own} of {module}", reads="artifact")
    return BACKENDS.get(name)


def backend_class(name: str, task: str) -> type[Backend]:
    """The class of a kind of backend, for a task.

    Raises:
        KeyError: there is no such kind.
    """
    row = kind_of(name)
    if row is None:
        raise KeyError(name)
    module, own = row.by_task.get(task, (row.module, row.name))
    found: type[Backend] = getattr(import_module(module if ":" in name else f"onnxpress_bench.backends.{module}"), own)
    return found


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
