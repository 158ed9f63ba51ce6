"""onnxpress for models that write: a variant of an artifact, or of a checkpoint that is exported once for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.onnxpress_artifact import open_pipeline, prepare, variant_paths


class OnnxpressGeneration(Runner):
    """Token by token, as `stream` gets them. `settings`: precision."""

    distributions = ("onnxpress[cpu]",)
    libraries = ("onnxruntime", "onnxpress")
    prepare = staticmethod(prepare)
    _model: Any = None

    def load(self) -> None:
        """What earlier calls have read would spare it the prompt: nothing is kept."""
        from onnxpress.generation.decoders.models import decoder_model

        pipe = open_pipeline(self.spec, str(self.folder))
        self.tokenizer, self._model = (
            pipe.processor.tokenizer,
            decoder_model(pipe.manifest, pipe.session, prefix_bytes=0),
        )
        self._pipe = pipe

    def model_files(self) -> Sequence[Path]:
        """The variant's graphs."""
        return variant_paths(str(self.folder), self.spec.settings["precision"])

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        return list(self.tokenizer.encode(text, special_tokens=False).ids)

    def generate(self, prompt: Sequence[int], new_tokens: int) -> Iterator[int]:
        """Greedily; no token ends it."""
        from onnxpress.generation.generate import generate
        from onnxpress.generation.settings import GenerationConfig

        decoder = self._model.start(1, len(prompt) + new_tokens)
        try:
            for event in generate(decoder, [list(prompt)], GenerationConfig(max_new_tokens=new_tokens)):
                yield int(event.token or 0)
        finally:
            decoder.close()
