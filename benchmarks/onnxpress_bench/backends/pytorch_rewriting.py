"""PyTorch for encoder-decoders: transformers' own `generate`, in float32 or in the setting "dtype"; eager."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.pytorch_checkpoint import load, prepare, weight_files


class PyTorchRewriting(Runner):
    """AutoModelForSeq2SeqLM."""

    distributions = libraries = ("transformers", "torch")
    _model: Any = None

    prepare = staticmethod(prepare)

    def load(self) -> None:
        """The tokenizer and the model."""
        self.tokenizer, self._model = load(self.spec, "AutoModelForSeq2SeqLM")

    def model_files(self) -> Sequence[Path]:
        """The weights."""
        return weight_files(self.folder)

    def rewrite(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        """As one batch."""
        import torch

        batch = self.tokenizer(list(texts), return_tensors="pt", padding=True).to(self.spec.device)
        with torch.inference_mode():
            ids = self._model.generate(
                **batch,
                num_beams=beams,
                do_sample=False,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
                forced_eos_token_id=None,
            )
        return [row[1 : 1 + new_tokens] for row in ids.tolist()]  # without the token that decoding starts with
