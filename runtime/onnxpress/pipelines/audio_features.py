"""feature-extraction of sounds: what the encoder returns for every moment of a sound, unpooled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.sounds import SoundProcessor, WholeSoundOptions, call_sounds
from onnxpress.pipelines.tensors import as_tensors, check_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFeatureOptions(WholeSoundOptions):
    """`return_tensors`: "np" or True for arrays, "pt" for PyTorch's tensors where the caller has imported torch, False
    or None for nested lists."""

    return_tensors: Any = None

    def __post_init__(self) -> None:
        WholeSoundOptions.__post_init__(self)
        check_tensors(self.return_tensors)


class AudioFeatureExtraction(Pipeline[AudioFeatureOptions, SoundProcessor]):
    """`pipe(sound)` -> nested lists of floats (1, moments, hidden), or with `return_tensors` a float32 array of this
    shape: transformers' `AutoModel(...).last_hidden_state`; a list of sounds gives a list of these."""

    options_type = AudioFeatureOptions
    processor_type = SoundProcessor
    __call__ = call_sounds

    def prepare(self, item: Any, options: AudioFeatureOptions) -> Prepared[None]:
        return Prepared((self.processor.sample(item, options=options),), None)

    def finish(self, context: None, values: list[Any], options: AudioFeatureOptions) -> Any:
        return as_tensors(values[0][self.answer_name][None], options.return_tensors)
