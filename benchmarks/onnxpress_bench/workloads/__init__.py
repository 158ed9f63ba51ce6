"""What each family of tasks is measured with: its inputs, made from a seed, and how a backend's own verb answers them.

A new family is one file with `make_inputs` and `answer`, and one row in WORKLOADS. This module knows nothing of time,
and imports nothing but the standard library: workers count what they import.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxpress import Artifact
    from onnxpress_bench.comparison import Settings


@dataclass(frozen=True, slots=True)
class Inputs:
    """`shapes`: "rows x tokens" -> queries, each of so many items. `stream`: items of mixed length, with their
    `stream_tokens`; `uniform`: of one. `tokens`: mean tokens of an item, by shape, and of "stream" and "uniform".
    `first`: the item of the cold start. `parameters`: scenario -> what it alone needs. `judged`: what answers are
    compared on, in place of a few of the stream's. `settings`: what every backend must know of these inputs."""

    unit: str
    first: Any
    stream: Sequence[Any]
    shapes: Mapping[str, Sequence[Sequence[Any]]] = field(default_factory=dict)
    stream_tokens: Sequence[int] = ()
    uniform: Sequence[Any] = ()
    tokens: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    judged: Sequence[Any] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sizes:
    """How long the inputs are, of models that write or hear.

    `prompt_tokens`, `new_tokens`: every prompt's length is continued by every number of new tokens; what is rewritten
    gets the largest number. `batches`, `beams`: so many texts at once, each of about `source_tokens` words, rewritten
    with every number of beams. `audio_s`: seconds of recordings, whole, at most 30, and `recordings` of each
    length; `transcript_tokens`: where a transcript is cut; None: at the model's own limit; `transcript_beams`: of its
    search; `transcript_batch`: so many windows of a recording side by side, which may then take an hour.
    `pictures`: so many at once, with a longer edge of so many pixels, as "8x500". `load`: scenario of servers -> its
    parameters.
    """

    prompt_tokens: Sequence[int] = (128,)
    new_tokens: Sequence[int] = (32,)
    batches: Sequence[int] = (1, 16)
    beams: Sequence[int] = (1, 4)
    source_tokens: int = 24
    audio_s: Sequence[int] = (5,)
    recordings: int = 3
    transcript_tokens: int | None = None
    transcript_beams: int = 1
    transcript_batch: int | None = None
    pictures: Sequence[str] = ("1x500", "8x500")
    load: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """What inputs are made for: a checkpoint's `folder`, or an artifact's with the artifact itself."""

    task: str
    folder: Path
    artifact: Artifact | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A row of WORKLOADS. `tasks` empty: all others. `scenarios`: those that can measure it; `usual`: unless others are
    asked for. `reads_checkpoint`: whether a checkpoint without an artifact will do, which every backend converts."""

    module: str
    scenarios: tuple[str, ...]
    usual: tuple[str, ...]
    tasks: frozenset[str] = frozenset()
    reads_checkpoint: bool = True

    def make_inputs(self, model: Model, settings: Settings, sizes: Sizes) -> Inputs:
        """The inputs of a run; the same settings, sizes and tokenizer give the same ones."""
        inputs: Inputs = import_module(f"{__name__}.{self.module}").make_inputs(model, settings, sizes)
        return inputs

    def answer(self, backend: Any, items: Sequence[Any]) -> Sequence[Any]:
        """A backend's answers to the items of one batch."""
        answers: Sequence[Any] = import_module(f"{__name__}.{self.module}").answer(backend, items)
        return answers


GENERATION = "text-generation"
SPEECH = "automatic-speech-recognition"
#: Of pictures, those whose answers are JSON.
PICTURES = (
    *("image-classification", "image-feature-extraction", "zero-shot-image-classification"),
    *("object-detection", "zero-shot-object-detection"),
)
REWRITING = ("translation", "summarization", "text2text-generation")

WORKLOADS: tuple[Workload, ...] = (
    Workload("prompts", ("generation", "streams"), ("generation",), frozenset({GENERATION})),
    Workload("rewriting", ("translation",), ("translation",), frozenset(REWRITING)),
    Workload("speech", ("audio",), ("audio",), frozenset({SPEECH})),
    Workload(
        "pictures",
        ("single-stream", "multi-stream", "offline", "mixed", "server"),
        ("single-stream", "multi-stream"),
        frozenset(PICTURES),
        reads_checkpoint=False,
    ),
    Workload(
        "texts",
        (
            *("single-stream", "multi-stream", "offline", "mixed", "server"),
            *("rate", "single", "neighbours", "overload"),
        ),
        ("single-stream", "mixed"),
        reads_checkpoint=False,
    ),
)


def workload_of(task: str) -> Workload:
    """The workload of a task."""
    return next(row for row in WORKLOADS if task in row.tasks or not row.tasks)
