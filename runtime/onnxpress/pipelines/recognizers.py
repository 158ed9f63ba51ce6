"""The kinds of models that hear speech: each is a row of KINDS, and a class in a file of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from onnxpress.errors import ArtifactError
from onnxpress.format.manifest import Manifest
from onnxpress.pipelines.batching import Prepared
from onnxpress.samples import Collator, Sample

if TYPE_CHECKING:
    from onnxpress.pipelines.automatic_speech_recognition import SpeechOptions
    from onnxpress.pipelines.loaded import LoadedModel


class Recognizer(Protocol):
    """A model that says what is spoken. It is called with a `LoadedModel`; its options are those of every kind, and it
    refuses those that it has no use for."""

    @property
    def collator(self) -> Collator:
        """What tells which samples may be computed together."""

    def check(self, options: SpeechOptions) -> None:
        """Refuse options with which no sound can be answered.

        Raises:
            InputError: which.
        """

    def prepare(self, item: Any, options: SpeechOptions) -> Prepared[Any]:
        """One sound, as a caller has it, as samples.

        Raises:
            InputError: it is none, or the options are wrong.
        """

    def compute(self, samples: Sequence[Sample], options: SpeechOptions) -> Sequence[Any]:
        """One value for each sample."""

    def finish(self, context: Any, values: list[Any], options: SpeechOptions) -> dict[str, Any]:
        """The result of one sound: "text", and "chunks" where times are asked for."""

    def stream(self, item: Any, options: SpeechOptions) -> Iterator[dict[str, Any]]:
        """The chunks of one sound as they are known.

        Raises:
            InputError: as `prepare`.
        """


@dataclass(frozen=True, slots=True)
class Kind:
    """`suits`: whether a manifest is of this kind; `place`: "module:Class" of its recognizer."""

    suits: Callable[[Manifest], bool]
    place: str


#: The first that suits is taken.
KINDS: tuple[Kind, ...] = (
    Kind(lambda manifest: manifest.generation is not None, "onnxpress.pipelines.written_speech:WrittenSpeech"),
)


def recognizer_of(model: LoadedModel) -> Recognizer:
    """What says what is spoken, by an artifact's manifest.

    Raises:
        ArtifactError: its model is of no kind that is known.
    """
    manifest = model.artifact.manifest
    for kind in KINDS:
        if kind.suits(manifest):
            module, name = kind.place.split(":")
            recognizer: Recognizer = getattr(import_module(module), name)(model)
            return recognizer
    raise ArtifactError(f"{model.artifact.folder}: its model does not say what is spoken. Export again.")
