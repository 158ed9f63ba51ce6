"""text-to-audio: a text, spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import ArtifactError, InputError
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.collators import token_ids
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.speech import speaker_of
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.samples import Sample
from onnxpress.suggestions import did_you_mean


class Audio(TypedDict):
    """`audio`: float32 (samples,), from -1 to 1; `sampling_rate`: of them, a second."""

    audio: NDArray[np.float32]
    sampling_rate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TextToAudioOptions:
    """`forward_params`: what the model takes besides, as in transformers, such as "speaker_id" or "speaker_embeddings";
    `generate_kwargs` the same, and goes over it. `seed`: of the noise: the same text sounds the same; None: each time
    another."""

    forward_params: Mapping[str, Any] = field(default_factory=dict)
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = 0

    def __post_init__(self) -> None:
        for name in ("forward_params", "generate_kwargs"):
            value = getattr(self, name)
            if value is None:
                object.__setattr__(self, name, {})
            elif not isinstance(value, Mapping):
                raise InputError(f"{name} must be a dictionary, not {type(value).__name__}.")
        if self.seed is not None and (
            isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0
        ):
            raise InputError(
                f"seed is {self.seed!r:.40}; it must be a number from 0, or None for other noise each time."
            )

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the model takes besides the text."""
        return {**self.forward_params, **self.generate_kwargs}


class TextToAudio(Pipeline[TextToAudioOptions, TextProcessor]):
    """`pipe(text)` -> {"audio": float32 (samples,), "sampling_rate": ...}; a list of texts gives a list of these."""

    options_type = TextToAudioOptions
    processor_type = TextProcessor

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        settings = self.manifest.postprocessing.speech
        if settings is None:
            raise ArtifactError(f"{self.artifact.folder}: it does not say how it speaks. Export again.")
        self._rate, self._speak = settings.rate, speaker_of(model, settings)

    def __call__(self, text_inputs: Any = None, **options: Any) -> Any:  # type: ignore[override]  # transformers' name
        if text_inputs is None and "inputs" in options:
            text_inputs = options.pop("inputs")
        return super().__call__(text_inputs, **options)

    def check(self, options: TextToAudioOptions) -> None:
        known = self._speak.names
        for name in options.parameters:
            if name not in known:
                raise InputError(
                    f"forward_params has {name!r:.40}.{did_you_mean(str(name), known)} This model takes: "
                    f"{', '.join(known)}."
                )

    def prepare(self, item: Any, options: TextToAudioOptions) -> Prepared[None]:
        self.check(options)
        return Prepared((self.processor.sample(item),), None)

    def compute(self, samples: Sequence[Sample], options: TextToAudioOptions) -> list[NDArray[np.float32]]:
        """Text by text: what is spoken depends on no neighbour."""
        return [
            self._speak(np.array([token_ids(sample)], np.int64), options.parameters, options.seed) for sample in samples
        ]

    def finish(self, context: None, values: list[Any], options: TextToAudioOptions) -> Audio:
        return Audio(audio=values[0], sampling_rate=self._rate)
