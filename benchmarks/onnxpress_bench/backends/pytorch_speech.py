"""PyTorch for automatic-speech-recognition: a sequence-to-sequence model through transformers' `generate`.

In float32, or in what the setting "dtype" names; eager.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.pytorch_checkpoint import load, prepare, weight_files


class PyTorchSpeech(Runner):
    """AutoModelForSpeechSeq2Seq: Whisper, and what is used like it."""

    distributions = libraries = ("transformers", "torch")
    _model: Any = None
    _processor: Any = None

    prepare = staticmethod(prepare)

    def load(self) -> None:
        """The processor and the model."""
        self._processor, self._model = load(self.spec, "AutoModelForSpeechSeq2Seq", "AutoProcessor")

    def model_files(self) -> Sequence[Path]:
        """The weights."""
        return weight_files(self.folder)

    def transcribe(self, audio: Any, rate_hz: int) -> str:
        """Greedily, in English if the model knows several languages."""
        import torch

        model, limit = self._model, self.spec.settings["transcript_tokens"]
        several = getattr(model.generation_config, "is_multilingual", False)
        options: dict[str, Any] = {"language": "en", "task": "transcribe"} if several else {}
        options |= {"max_new_tokens": limit} if limit else {}
        inputs = self._processor(audio, sampling_rate=rate_hz, return_tensors="pt")
        features = inputs.input_features.to(model.device, model.dtype)
        with torch.inference_mode():
            ids = model.generate(features, num_beams=1, do_sample=False, **options)
        return str(self._processor.batch_decode(ids, skip_special_tokens=True)[0])
