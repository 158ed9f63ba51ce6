"""Pictures with a tokenizer beside them: samples of a picture that a text is written about, or of both together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxpress.fetching.limits import FetchLimits
from onnxpress.image.opening import MAX_PIXELS
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.pictures import PictureProcessor
from onnxpress.pipelines.writing import Prompt
from onnxpress.samples import Batch, Collator, Sample
from onnxpress.text.tokenizer import Tokenizer


class PictureTextProcessor(PictureProcessor):
    """Pictures to samples, and the tokenizer of what is asked or written about them."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        self.tokenizer: Tokenizer = model.text_tokenizer()
        self.collator: Collator = WithPrompts(self.collator)

    def begun(
        self,
        raw: Any,
        prompt: Sequence[int] | None,
        max_pixels: int = MAX_PIXELS,
        urls: FetchLimits | None = None,
    ) -> Sample:
        """A picture about which a text begins with these tokens; None: as the model begins.

        Raises:
            InputError: as `PictureProcessor.sample`.
        """
        sample = self.sample(raw, max_pixels=max_pixels, urls=urls)
        return sample if prompt is None else replace(sample, context=Prompt(tuple(prompt)))


@dataclass(frozen=True, slots=True)
class WithPrompts:
    """Samples as `collator` has them, of those together whose texts begin with as many tokens."""

    collator: Collator

    def key(self, sample: Sample) -> Hashable:
        """Rows of one decoder after an encoder are of one length."""
        prompt = sample.context
        return self.collator.key(sample), len(prompt.ids) if isinstance(prompt, Prompt) else None

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """As the other does."""
        return self.collator.collate(samples)
