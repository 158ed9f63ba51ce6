"""onnxruntime-genai: its own loop around ONNX Runtime, on the graph that its model builder makes of the checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import conversion
from onnxpress_bench.backends.generation import Generation
from onnxpress_bench.backends.tools import run_tool

_CONFIG = "genai_config.json"


class GenAI(Generation):
    """`settings`: precision, as the builder names it, and converted, the builder's folder, which `prepare` sets."""

    distributions: Sequence[str] = ("onnxruntime-genai",)
    _model: Any = None
    _tokenizer: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        folder = conversion(spec, ("onnxruntime-genai", "transformers"), lambda target: _build(spec, target))
        return replace(spec, settings={**spec.settings, "converted": str(folder)})

    def load_libraries(self) -> None:
        import onnxruntime_genai  # noqa: F401

    def load(self) -> None:
        import onnxruntime_genai as og

        config = og.Config(self.spec.settings["converted"])
        options = {"intra_op_num_threads": self.spec.threads, "inter_op_num_threads": 1}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self._model = og.Model(config)
        self._tokenizer = og.Tokenizer(self._model)
        self._tokenizer.update_options(add_special_tokens="false")

    def model_files(self) -> Sequence[Path]:
        return sorted(Path(self.spec.settings["converted"]).glob("*.onnx*"))

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text).tolist()
        return ids

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        import onnxruntime_genai as og

        parameters = og.GeneratorParams(self._model)
        parameters.set_search_options(max_length=len(prompt) + new_tokens, do_sample=False)
        generator = og.Generator(self._model, parameters)
        generator.append_tokens(prompt)
        for _ in range(new_tokens):
            generator.generate_next_token()
            yield int(generator.get_next_tokens()[0])


def _build(spec: BackendSpec, target: Path) -> None:
    """The builder's command, as its documentation gives it."""
    cache = target / "cache"
    run_tool(
        *("-m", "onnxruntime_genai.models.builder", "-i", spec.folder, "-o", str(target)),
        *("-p", spec.settings["precision"], "-e", "cpu", "-c", str(cache)),
    )
    if cache.is_dir():
        cache.rmdir()
    # An end-of-text token would end it, and the rest would be padding that costs nothing. An empty list is only taken
    # from the file.
    file = target / _CONFIG
    config = json.loads(file.read_text(encoding="utf-8"))
    config["model"]["eos_token_id"] = []
    file.write_text(json.dumps(config, indent=1), encoding="utf-8")
