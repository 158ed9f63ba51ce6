"""PyTorch for automatic-speech-recognition: a sequence-to-sequence model through transformers' `generate`.

In float32, or in what the setting "dtype" names; eager.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.pytorch import PyTorch
from onnxpress_bench.backends.speech import Speech


class PyTorchSpeech(Speech):
    """AutoModelForSpeechSeq2Seq: Whisper, and what is used like it."""

    distributions: Sequence[str] = PyTorch.distributions
    _model: Any = None
    _processor: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        return PyTorch.prepare(spec)

    def load_libraries(self) -> None:
        import torch
        import transformers  # noqa: F401

        torch.set_num_threads(self.spec.threads)

    def load(self) -> None:
        import torch
        import transformers

        spec, trust = self.spec, self.spec.settings["trust_remote_code"]
        dtype = getattr(torch, spec.settings.get("dtype", "float32"))
        loader: Any = transformers.AutoModelForSpeechSeq2Seq
        processors: Any = transformers.AutoProcessor
        self._processor = processors.from_pretrained(spec.folder, trust_remote_code=trust)
        self._model = loader.from_pretrained(spec.folder, dtype=dtype, trust_remote_code=trust).to(spec.device).eval()

    def model_files(self) -> Sequence[Path]:
        return PyTorch(self.spec).model_files()

    def transcribe(self, audio: Sequence[float], rate_hz: int) -> str:
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
