"""onnxpress for encoder-decoders: the pipeline as users call it, asked for ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.onnxpress_artifact import open_pipeline, prepare, variant_paths


class OnnxpressRewriting(Runner):
    """`settings`: precision."""

    distributions = ("onnxpress[cpu]",)
    libraries = ("onnxruntime", "onnxpress")
    prepare = staticmethod(prepare)
    _pipe: Any = None

    def load(self) -> None:
        """The pipeline."""
        self._pipe = open_pipeline(self.spec, str(self.folder))

    def model_files(self) -> Sequence[Path]:
        """The variant's graphs."""
        return variant_paths(str(self.folder), self.spec.settings["precision"])

    def rewrite(self, texts: Sequence[str], beams: int, new_tokens: int) -> list[list[int]]:
        """As one batch."""
        answers = self._pipe(
            list(texts),
            num_beams=beams,
            do_sample=False,
            min_new_tokens=new_tokens,
            max_new_tokens=new_tokens,
            forced_eos_token_id=None,
            batch_size=len(texts),
            return_tensors=True,
        )
        return [_ids(answer)[-new_tokens:] for answer in answers]


def _ids(answer: Any) -> list[int]:
    """Of whichever task: its name is a part of the key."""
    return next(list(ids) for key, ids in answer.items() if key.endswith("_token_ids"))
