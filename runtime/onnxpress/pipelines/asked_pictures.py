"""A question about a picture as one sample: how tasks read it whose graph takes both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxpress.errors import InputError
from onnxpress.image.opening import open_picture
from onnxpress.pipelines.collators import Stack, Together
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor
from onnxpress.pipelines.text_processor import TextProcessor, strategy
from onnxpress.samples import Collator, Sample


class AskedProcessor(PictureProcessor):
    """Pictures with questions to samples: the arrays of both."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        self.texts = TextProcessor(model)
        self.collator: Collator = Together(self.texts.collator, Stack())

    def asked(self, image: Any, question: str, options: PictureOptions, truncation: Any = None) -> Sample:
        """One question about one picture.

        Raises:
            InputError: the picture is none, or the question is too long.
        """
        chosen = strategy(truncation)
        cut = None if chosen is None else self.texts.truncation(chosen)
        asked = self.texts.sample_of(self.texts.tokenizer.encode(question, truncation=cut))
        picture = self.sample_of(open_picture(image, options.max_pixels, options.urls))
        return Sample({**asked.arrays, **picture.arrays}, asked.cost + picture.cost)


def image_and_question(item: Any, task: str) -> tuple[Any, str]:
    """The parts of an input.

    Raises:
        InputError: one is missing, or the question is no text.
    """
    if not isinstance(item, Mapping) or "image" not in item or "question" not in item:
        raise InputError(f'{task} takes {{"image": ..., "question": ...}}, got {type(item).__name__} {item!r:.60}.')
    if not isinstance(item["question"], str):
        raise InputError(f"question must be a text, not {type(item['question']).__name__} {item['question']!r:.60}.")
    return item["image"], item["question"]


def paired(image: Any, question: Any) -> Any:
    """The inputs of a call that names parts: one of each, a list of one with the other, or every question about every
    picture, the pictures of a question side by side, as in transformers."""
    if question is None:
        return image
    questions = list(question) if isinstance(question, (list, tuple)) else [question]
    images = list(image) if isinstance(image, (list, tuple)) else [image]
    pairs = [{"image": picture, "question": text} for text in questions for picture in images]
    return pairs if isinstance(question, (list, tuple)) or isinstance(image, (list, tuple)) else pairs[0]
