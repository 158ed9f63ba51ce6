"""PyTorch for encoder-decoders: transformers' own `generate`, in float32, eager."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.pytorch import PyTorch
from onnxpress_bench.backends.translation import Translation


class PyTorchTranslation(Translation):
    """AutoModelForSeq2SeqLM."""

    distributions: Sequence[str] = PyTorch.distributions
    _model: Any = None
    _tokenizer: Any = None

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
        loader: Any = transformers.AutoModelForSeq2SeqLM
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(spec.folder, trust_remote_code=trust)
        model = loader.from_pretrained(spec.folder, dtype=torch.float32, trust_remote_code=trust)
        self._model = model.to(spec.device).eval()

    def model_files(self) -> Sequence[Path]:
        return PyTorch(self.spec).model_files()

    def translate(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        import torch

        batch = self._tokenizer(list(texts), return_tensors="pt", padding=True).to(self.spec.device)
        with torch.inference_mode():
            found = self._model.generate(
                **batch,
                num_beams=beams,
                do_sample=False,
                min_new_tokens=new_tokens,
                max_new_tokens=new_tokens,
                forced_eos_token_id=None,
            )
        return [row[1 : 1 + new_tokens] for row in found.tolist()]  # without the token that decoding starts with
