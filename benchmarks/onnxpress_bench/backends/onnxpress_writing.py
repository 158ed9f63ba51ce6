"""onnxpress for models that write or hear: a variant of an artifact, or of a checkpoint exported once for all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.onnxpress import open_pipeline
from onnxpress_bench.backends.onnxpress_artifact import prepare
from onnxpress_bench.backends.onnxpress_transcripts import transcript_options


class OnnxpressWriting(Runner):
    """Token by token, as `stream` gets them; encoder-decoders through the pipeline. `settings`: precision."""

    distributions = ("onnxpress[cpu]",)
    libraries = ("onnxruntime", "onnxpress")
    prepare = staticmethod(prepare)
    _pipe: Any = None
    _model: Any = None

    def load(self) -> None:
        """The pipeline; of a decoder one that keeps nothing, which would spare it a prompt that it has read before."""
        from onnxpress.generation.decoders.models import decoder_model

        pipe = self._pipe = open_pipeline(self.spec)
        if self.spec.task == "text-generation":
            self.tokenizer = pipe.processor.tokenizer
            self._model = decoder_model(pipe.manifest, pipe.session, prefix_bytes=0)

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

    def transcribe(self, audio: Any, rate_hz: int) -> str:
        """With the settings that all backends transcribe with."""
        options = transcript_options(self._pipe, self.spec.settings)
        return str(self._pipe({"raw": audio, "sampling_rate": rate_hz}, **options)["text"])

    def rewrite(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        """As one batch."""
        length = {"min_new_tokens": new_tokens, "max_new_tokens": new_tokens, "forced_eos_token_id": None}
        search = {"num_beams": beams, "do_sample": False, "batch_size": len(texts), "return_tensors": True}
        answers = self._pipe(list(texts), **search, **length)
        # The key's name has the task's in it.
        ids = [next(ids for key, ids in answer.items() if key.endswith("_token_ids")) for answer in answers]
        return [list(row)[-new_tokens:] for row in ids]
