"""faster-whisper: Whisper in CTranslate2, converted from the checkpoint by CTranslate2's own converter, in float32 or
as the setting "quantization" says.

It fills a recording of under 30 s up with zeros among the features, where Whisper has them in the audio. A trained
model transcribes both alike; one with random weights does so only if the recording lasts 30 s.
"""

from __future__ import annotations

from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.ctranslate2_conversion import (
    check_whisper,
    convert_whisper,
    quantization_of,
    silenced,
)

#: Tokens before a transcript: its start, then language and task if there are several, and that there are no timestamps.
_PROMPT, _PROMPT_IN_ENGLISH = 4, 2

#: One pass, as PyTorch does it, without the checks that make it try again at other temperatures.
_ONE_PASS = {
    "language": "en",
    "temperature": 0.0,
    "without_timestamps": True,
    "condition_on_previous_text": False,
    **dict.fromkeys(("compression_ratio_threshold", "log_prob_threshold", "no_speech_threshold")),
}


class FasterWhisper(Runner):
    """One pass; what the checkpoint never says, it does not say either."""

    distributions = ("faster-whisper",)
    libraries = ("faster_whisper",)
    converters = ("ctranslate2", "torch", "transformers")
    files = ("model.bin",)
    _model: Any = None

    check, convert = staticmethod(check_whisper), staticmethod(convert_whisper)

    def load(self) -> None:
        """The model."""
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        options = {"device": "cpu", "compute_type": quantization_of(self.spec), "cpu_threads": self.spec.threads}
        self._model, self._silenced = WhisperModel(str(self.folder), **options), silenced(self.folder)
        self._batched = BatchedInferencePipeline(self._model)

    def transcribe(self, audio: Any, rate_hz: int) -> str:
        """One pass; windows side by side where its own detector of voices hears somebody."""
        beams, limit = self.spec.settings["transcript_beams"], self.spec.settings["transcript_tokens"]
        batch = self.spec.settings["transcript_batch"]
        if limit:  # CTranslate2 stops when half of prompt and limit together is reached
            limit = 2 * limit - (_PROMPT if self._model.model.is_multilingual else _PROMPT_IN_ENGLISH)
        model, windows = (self._batched, {"batch_size": batch}) if batch else (self._model, {})
        options = {"max_new_tokens": limit, "beam_size": beams, **windows, **self._silenced, **_ONE_PASS}
        return "".join(segment.text for segment in model.transcribe(audio, **options)[0])
