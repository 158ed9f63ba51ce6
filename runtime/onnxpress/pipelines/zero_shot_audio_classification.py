"""zero-shot-audio-classification: any labels, by how near a sound is to a sentence with each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxpress.pipelines.candidates import hypotheses_of, labels_of
from onnxpress.pipelines.compared import Vectors
from onnxpress.pipelines.sounds import SoundProcessor, WholeSoundOptions, sounds_of
from onnxpress.pipelines.zero_shot_by_vectors import Embedder, ZeroShotByVectors

#: What the graph of sounds does in its model.
_SOUNDS = "audio"

#: A sentence for a label, unless a call says another.
_TEMPLATE = "This is a sound of {}."


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotAudioOptions(WholeSoundOptions):
    """`candidate_labels`: strings or numbers, or one string with commas between them (kept as a tuple).
    `hypothesis_template`: a sentence with {} where the label goes."""

    candidate_labels: Any = ()
    hypothesis_template: str = _TEMPLATE

    def __post_init__(self) -> None:
        WholeSoundOptions.__post_init__(self)
        object.__setattr__(self, "candidate_labels", labels_of(self.candidate_labels))
        self.hypotheses()

    def hypotheses(self) -> list[str]:
        """The template with each label.

        Raises:
            InputError: as of `hypotheses_of`.
        """
        return hypotheses_of(self.hypothesis_template, self.candidate_labels, _TEMPLATE)


class SoundEmbedder(Embedder):
    """Of sounds."""

    options_type = WholeSoundOptions
    processor_type = SoundProcessor
    role = _SOUNDS


class ZeroShotAudioClassification(ZeroShotByVectors[ZeroShotAudioOptions, SoundProcessor]):
    """`pipe(sound, labels)` -> [{"score", "label"}, ...] of all labels, best first; of a list of sounds, a list.
    The labels' vectors are computed once: those of the texts that were asked for last are remembered.

    `embed_audio(sounds)` and `embed_texts(texts)` give the vectors themselves, for searches.
    """

    options_type = ZeroShotAudioOptions
    processor_type = SoundProcessor
    embedder_type = SoundEmbedder
    role = _SOUNDS

    def __call__(  # type: ignore[override]  # `inputs` is `audios` in transformers
        self, audios: Any = None, candidate_labels: Any = None, **options: Any
    ) -> Any:
        return self._ask(sounds_of(audios, options), candidate_labels, options)

    def embed_audio(self, sounds: Any, **options: Any) -> Vectors:
        """float32 (sounds, dimensions): transformers' `get_audio_features`, each of length 1.

        Args:
            sounds: one or several, in any form that a call takes.
            options: those of every call, such as `batch_size`, and those of sounds, such as `channel`.

        Raises:
            InputError: one is no sound, damaged or too long.
        """
        return self._embed(sounds_of(sounds, options), options)
