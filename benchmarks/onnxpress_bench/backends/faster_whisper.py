"""faster-whisper: Whisper in CTranslate2, converted from the checkpoint by CTranslate2's own converter, in float32.

It fills a recording of under 30 s up with zeros among the features, where Whisper has them in the audio. A trained
model transcribes both alike; one with random weights does so only if the recording lasts 30 s.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import conversion
from onnxpress_bench.backends.speech import Speech

#: Of the checkpoint, what faster-whisper reads beside the model.
_COPIED = ["preprocessor_config.json", "tokenizer.json"]

#: Tokens before a transcript: its start, then language and task if there are several, and that there are no timestamps.
_PROMPT, _PROMPT_IN_ENGLISH = 4, 2


class FasterWhisper(Speech):
    """`settings`: converted, the conversion's folder, and suppressed, the tokens never said, which `prepare` sets."""

    distributions: Sequence[str] = ("faster-whisper",)
    _model: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        if spec.settings["model_type"] != "whisper":
            raise NotImplementedError(f"faster-whisper runs Whisper, not {spec.settings['model_type']}")
        folder = conversion(spec, ("ctranslate2", "torch", "transformers"), lambda target: _convert(spec, target))
        file = Path(spec.folder, "generation_config.json")
        known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        own = {"suppressed": known.get("suppress_tokens") or [], "blank": bool(known.get("begin_suppress_tokens"))}
        return replace(spec, settings={**spec.settings, **own, "converted": str(folder)})

    def load_libraries(self) -> None:
        import faster_whisper  # noqa: F401

    def load(self) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(
            self.spec.settings["converted"], device="cpu", compute_type="float32", cpu_threads=self.spec.threads
        )

    def model_files(self) -> Sequence[Path]:
        return [Path(self.spec.settings["converted"], "model.bin")]

    def transcribe(self, audio: Sequence[float], rate_hz: int) -> str:
        """As PyTorch does: one greedy pass, without the checks that make it try again at other temperatures."""
        settings, limit = self.spec.settings, self.spec.settings["transcript_tokens"]
        if limit:  # CTranslate2 stops when half of prompt and limit together is reached
            limit = 2 * limit - (_PROMPT if self._model.model.is_multilingual else _PROMPT_IN_ENGLISH)
        segments, _ = self._model.transcribe(
            audio,
            language="en",
            beam_size=1,
            temperature=0.0,
            without_timestamps=True,
            condition_on_previous_text=False,
            compression_ratio_threshold=None,
            log_prob_threshold=None,
            no_speech_threshold=None,
            suppress_tokens=list(settings["suppressed"]),
            suppress_blank=settings["blank"],
            max_new_tokens=limit,
        )
        return "".join(segment.text for segment in segments)


def _convert(spec: BackendSpec, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    copied = [name for name in _COPIED if Path(spec.folder, name).is_file()]
    trust = spec.settings["trust_remote_code"]
    TransformersConverter(spec.folder, copy_files=copied, trust_remote_code=trust).convert(
        str(target), quantization="float32", force=True
    )
