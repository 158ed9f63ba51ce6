"""zero-shot-audio-classification: any labels, by how near a sound is to a sentence with each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.candidates import check_labels, hypotheses_of, labels_of
from onnxpress.pipelines.class_scores import Classification
from onnxpress.pipelines.compared import ComparedTexts, Vectors, stacked, unit_vectors
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.sounds import SoundProcessor, WholeSoundOptions, sounds_of
from onnxpress.samples import Batch

#: What the graph of sounds does in its model.
_SOUNDS = "audio"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotAudioOptions(WholeSoundOptions):
    """`candidate_labels`: strings or numbers, or one string with commas between them (kept as a tuple).
    `hypothesis_template`: a sentence with {} where the label goes."""

    candidate_labels: Any = ()
    hypothesis_template: str = "This is a sound of {}."

    def __post_init__(self) -> None:
        WholeSoundOptions.__post_init__(self)
        object.__setattr__(self, "candidate_labels", labels_of(self.candidate_labels))
        self.hypotheses()

    def hypotheses(self) -> list[str]:
        """The template with each label.

        Raises:
            InputError: as of `hypotheses_of`.
        """
        return hypotheses_of(self.hypothesis_template, self.candidate_labels, "This is a sound of {}.")


class ZeroShotAudioClassification(Pipeline[ZeroShotAudioOptions, SoundProcessor]):
    """`pipe(sound, labels)` -> [{"score", "label"}, ...] of all labels, best first; of a list of sounds, a list.
    The labels' vectors are computed once: those of the texts that were asked for last are remembered.

    `embed_audio(sounds)` and `embed_texts(texts)` give the vectors themselves, for searches.
    """

    options_type = ZeroShotAudioOptions
    processor_type = SoundProcessor
    role = _SOUNDS

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        self._texts = ComparedTexts(model)

    def __call__(  # type: ignore[override]  # `inputs` is `audios` in transformers
        self, audios: Any = None, candidate_labels: Any = None, **options: Any
    ) -> Any:
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return super().__call__(sounds_of(audios, options), **options)

    def embed_audio(self, sounds: Any, **options: Any) -> Vectors:
        """float32 (sounds, dimensions): transformers' `get_audio_features`, each of length 1.

        Args:
            sounds: one or several, in any form that a call takes.
            options: those of every call, such as `batch_size`, and those of sounds, such as `channel`.

        Raises:
            InputError: one is no sound, damaged or too long.
        """
        return stacked(self._embedder(sounds_of(sounds, options), **options), self)

    def embed_texts(self, texts: Any, *, truncation: bool = False) -> Vectors:
        """float32 (texts, dimensions): transformers' `get_text_features`, each of length 1.

        Args:
            texts: one or several, as they are: `hypothesis_template` has no part in it.
            truncation: cut texts that are longer than the model takes, which are refused otherwise.

        Raises:
            InputError: one is no text, or too long.
        """
        return self._texts.embed(texts, truncation=truncation)

    def check(self, options: ZeroShotAudioOptions) -> None:
        check_labels(options.candidate_labels)

    def prepare(self, item: Any, options: ZeroShotAudioOptions) -> Prepared[Vectors]:
        self.check(options)
        labels = self._texts.of_hypotheses(options.hypotheses())
        return Prepared((self.processor.sample(item, options=options),), labels)

    def reduce(self, batch: Batch, outputs: Outputs, options: ZeroShotAudioOptions) -> Sequence[Vectors]:
        return unit_vectors(self, outputs)

    def finish(self, context: Vectors, values: list[Any], options: ZeroShotAudioOptions) -> list[Classification]:
        return self._texts.classified(context, values[0], options.candidate_labels)

    @cached_property
    def _embedder(self) -> SoundEmbedder:
        return SoundEmbedder(self.loaded, {})


class SoundEmbedder(Pipeline[WholeSoundOptions, SoundProcessor]):
    """`embedder(sound)` -> float32 (dimensions,), of length 1."""

    options_type = WholeSoundOptions
    processor_type = SoundProcessor
    role = _SOUNDS

    def prepare(self, item: Any, options: WholeSoundOptions) -> Prepared[None]:
        return Prepared((self.processor.sample(item, options=options),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: WholeSoundOptions) -> Sequence[Vectors]:
        return unit_vectors(self, outputs)

    def finish(self, context: None, values: list[Any], options: WholeSoundOptions) -> Vectors:
        return np.asarray(values[0])
