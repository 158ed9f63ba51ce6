"""CTranslate2's translator, converted from PyTorch by its own converter, in float32 or int8.

It takes tokens as strings, as its documentation shows; the checkpoint's tokenizer makes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import conversion
from onnxpress_bench.backends.translation import Translation

_VOCABULARY = "shared_vocabulary.json"


class CTranslate2Translation(Translation):
    """`settings`: quantization, and converted, the folder of the conversion, which `prepare` sets."""

    distributions: Sequence[str] = ("ctranslate2", "transformers", "sentencepiece")
    _translator: Any = None
    _tokenizer: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        folder = conversion(spec, ("ctranslate2", "torch", "transformers"), lambda target: _convert(spec, target))
        return replace(spec, settings={**spec.settings, "converted": str(folder)})

    def load_libraries(self) -> None:
        import ctranslate2  # noqa: F401
        import transformers  # noqa: F401

    def load(self) -> None:
        import ctranslate2
        import transformers

        self._tokenizer = transformers.AutoTokenizer.from_pretrained(self.spec.folder)
        self._translator = ctranslate2.Translator(
            self.spec.settings["converted"],
            device="cpu",
            inter_threads=1,
            intra_threads=self.spec.threads,
            compute_type=str(self.spec.settings.get("quantization", "float32")),
        )

    def model_files(self) -> Sequence[Path]:
        return sorted(path for path in Path(self.spec.settings["converted"]).iterdir() if path.is_file())

    def translate(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        tokenizer = self._tokenizer
        sources = [tokenizer.convert_ids_to_tokens(ids) for ids in tokenizer(list(texts))["input_ids"]]
        found = self._translator.translate_batch(
            sources, beam_size=beams, min_decoding_length=new_tokens, max_decoding_length=new_tokens
        )
        return [tokenizer.convert_tokens_to_ids(one.hypotheses[0]) for one in found]


def _convert(spec: BackendSpec, target: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    converter = TransformersConverter(spec.folder, trust_remote_code=spec.settings["trust_remote_code"])
    converter.convert(str(target), quantization=str(spec.settings.get("quantization", "float32")), force=True)
