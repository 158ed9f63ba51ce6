"""faster-whisper: Whisper in CTranslate2, converted from the checkpoint by CTranslate2's own converter, in float32.

It fills a recording of under 30 s up with zeros among the features, where Whisper has them in the audio. A trained
model transcribes both alike; one with random weights does so only if the recording lasts 30 s.
"""

from __future__ import annotations

from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.base import Runner

#: Tokens before a transcript: its start, then language and task if there are several, and that there are no timestamps.
_PROMPT, _PROMPT_IN_ENGLISH = 4, 2

#: One greedy pass, as PyTorch does it, without the checks that make it try again at other temperatures.
_GREEDY = {
    "language": "en",
    "beam_size": 1,
    "temperature": 0.0,
    "without_timestamps": True,
    "condition_on_previous_text": False,
    "compression_ratio_threshold": None,
    "log_prob_threshold": None,
    "no_speech_threshold": None,
}


class FasterWhisper(Runner):
    """`settings`: suppressed, the tokens never said, and blank, which `prepare` sets."""

    distributions = ("faster-whisper",)
    libraries = ("faster_whisper",)
    files = ("model.bin",)
    _model: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        """Convert."""
        from onnxpress_bench.backends.faster_whisper_conversion import prepare

        return prepare(spec)

    def load(self) -> None:
        """The model."""
        from faster_whisper import WhisperModel

        threads = self.spec.threads
        self._model = WhisperModel(str(self.folder), device="cpu", compute_type="float32", cpu_threads=threads)

    def transcribe(self, audio: Any, rate_hz: int) -> str:
        """One greedy pass."""
        settings, limit = self.spec.settings, self.spec.settings["transcript_tokens"]
        if limit:  # CTranslate2 stops when half of prompt and limit together is reached
            limit = 2 * limit - (_PROMPT if self._model.model.is_multilingual else _PROMPT_IN_ENGLISH)
        suppressed = {"suppress_tokens": list(settings["suppressed"]), "suppress_blank": settings["blank"]}
        segments, _ = self._model.transcribe(audio, max_new_tokens=limit, **suppressed, **_GREEDY)
        return "".join(segment.text for segment in segments)
