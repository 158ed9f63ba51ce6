"""zero-shot-image-classification: any labels, by how near a picture is to a sentence with each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from onnxpress.format.manifest import PairScores
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.candidates import check_labels, hypotheses_of, labels_of
from onnxpress.pipelines.class_scores import Classification
from onnxpress.pipelines.compared import ComparedTexts, Vectors, stacked, unit_vectors
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.pair_measuring import compares, measured
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, pictures_of
from onnxpress.samples import Batch

#: What the graph of pictures does in its model.
_PICTURES = "vision"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotImageOptions(PictureOptions):
    """`candidate_labels`: strings or numbers, or one string with commas between them (kept as a tuple).
    `hypothesis_template`: a sentence with {} where the label goes."""

    candidate_labels: Any = ()
    hypothesis_template: str = "This is a photo of {}."

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        object.__setattr__(self, "candidate_labels", labels_of(self.candidate_labels))
        self.hypotheses()

    def hypotheses(self) -> list[str]:
        """The template with each label.

        Raises:
            InputError: as of `hypotheses_of`.
        """
        return hypotheses_of(self.hypothesis_template, self.candidate_labels, "This is a photo of {}.")


class ZeroShotImageClassification(Pipeline[ZeroShotImageOptions, PictureProcessor]):
    """`pipe(picture, labels)` -> [{"score", "label"}, ...] of all labels, best first; of a list of pictures, a list.
    The labels' vectors are computed once: those of the texts that were asked for last are remembered.

    `embed_images(pictures)` and `embed_texts(texts)` give the vectors themselves, for searches.
    """

    options_type = ZeroShotImageOptions
    processor_type = PictureProcessor
    role = _PICTURES

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        self._texts = ComparedTexts(model)
        if self.pairs.scale is None and compares(self.graph):
            self._texts.pairs = measured(
                *(self.pairs, self.session, self.graph_name, self.answer_name, self._texts.tower, self.processor)
            )

    @property
    def pairs(self) -> PairScores:
        """How texts and pictures are compared; of a graph that compares them itself, as it was found to do."""
        return self._texts.pairs

    def __call__(  # type: ignore[override]  # `inputs` is `image` in transformers
        self, image: Any = None, candidate_labels: Any = None, **options: Any
    ) -> Any:
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return super().__call__(pictures_of(image, options), **options)

    def embed_images(self, pictures: Any, **options: Any) -> Vectors:
        """float32 (pictures, dimensions): transformers' `get_image_features`, each divided by its length.

        Args:
            pictures: one or several, in any form that a call takes.
            options: those of every call, such as `batch_size`, and `max_pixels`.

        Raises:
            InputError: one is no picture, damaged or too large.
        """
        return stacked(self._embedder(pictures_of(pictures, options), **options), self)

    def embed_texts(self, texts: Any, *, truncation: bool = False) -> Vectors:
        """float32 (texts, dimensions): transformers' `get_text_features`, each divided by its length.

        Args:
            texts: one or several, as they are: `hypothesis_template` has no part in it.
            truncation: cut texts that are longer than the model takes, which are refused otherwise.

        Raises:
            InputError: one is no text, or too long.
        """
        return self._texts.embed(texts, truncation=truncation)

    def check(self, options: ZeroShotImageOptions) -> None:
        check_labels(options.candidate_labels)

    def prepare(self, item: Any, options: ZeroShotImageOptions) -> Prepared[Vectors]:
        self.check(options)
        labels = self._texts.of_hypotheses(options.hypotheses())
        return Prepared((self.processor.sample(item, max_pixels=options.max_pixels, urls=options.urls),), labels)

    def reduce(self, batch: Batch, outputs: Outputs, options: ZeroShotImageOptions) -> Sequence[Vectors]:
        return unit_vectors(self, outputs)

    def finish(self, context: Vectors, values: list[Any], options: ZeroShotImageOptions) -> list[Classification]:
        return self._texts.classified(context, values[0], options.candidate_labels)

    @cached_property
    def _embedder(self) -> PictureEmbedder:
        return PictureEmbedder(self.loaded, {})


class PictureEmbedder(Pipeline[PictureOptions, PictureProcessor]):
    """`embedder(picture)` -> float32 (dimensions,), of length 1."""

    options_type = PictureOptions
    processor_type = PictureProcessor
    role = _PICTURES

    def prepare(self, item: Any, options: PictureOptions) -> Prepared[None]:
        return Prepared((self.processor.sample(item, max_pixels=options.max_pixels, urls=options.urls),), None)

    def reduce(self, batch: Batch, outputs: Outputs, options: PictureOptions) -> Sequence[Vectors]:
        return unit_vectors(self, outputs)

    def finish(self, context: None, values: list[Any], options: PictureOptions) -> Vectors:
        return np.asarray(values[0])
