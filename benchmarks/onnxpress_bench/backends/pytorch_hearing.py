"""PyTorch for models that hear, in float32 or in the setting "dtype"; eager."""

from __future__ import annotations

from typing import Any

from onnxpress_bench.backends import NotMeasured
from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.pytorch_checkpoint import load, prepare, without_gradients


class PyTorchHearing(Runner):
    """Models that write what they hear by `generate`; those with a CTC head by the likeliest token of each moment."""

    distributions = libraries = ("transformers", "torch")
    prepare = staticmethod(prepare)
    _model: Any = None

    def load(self) -> None:
        """Processor and model.

        Raises:
            NotMeasured: windows side by side, which transformers cuts so that they overlap.
        """
        if self.spec.settings["transcript_batch"]:
            raise NotMeasured("transformers hears parts of a long recording twice where windows are side by side")
        self._processor, self._model = load(self.spec)
        self._ids = without_gradients(self._written if self._model.can_generate() else self._likeliest)

    def transcribe(self, audio: Any, rate_hz: int) -> str:
        """In English if the model knows several languages."""
        inputs = self._processor(audio, sampling_rate=rate_hz, return_tensors="pt")
        ids = self._ids(inputs.to(self._model.device, self._model.dtype))
        # As transformers' pipeline: of letters of moments only the blank is no letter.
        return str(self._processor.batch_decode(ids, skip_special_tokens=self._model.can_generate())[0])

    def _written(self, inputs: Any) -> Any:
        model, limit, beams = self._model, *(self.spec.settings[f"transcript_{name}"] for name in ("tokens", "beams"))
        options: dict[str, Any] = {"max_new_tokens": limit} if limit else {}
        if getattr(model.generation_config, "is_multilingual", False):
            options |= {"language": "en", "task": "transcribe"}
        return model.generate(inputs.input_features, num_beams=beams, do_sample=False, **options)

    def _likeliest(self, inputs: Any) -> Any:
        return self._model(**inputs).logits.argmax(dim=-1)
