"""zero-shot-image-classification: any labels, by how near a picture is to a sentence with each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.format.manifest import PairScores
from onnxpress.pipelines.candidates import hypotheses_of, labels_of
from onnxpress.pipelines.compared import Vectors
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.pair_measuring import compares, measured
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, pictures_of
from onnxpress.pipelines.zero_shot_by_vectors import Embedder, ZeroShotByVectors

#: What the graph of pictures does in its model.
_PICTURES = "vision"

#: A sentence for a label, unless a call says another.
_TEMPLATE = "This is a photo of {}."


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotImageOptions(PictureOptions):
    """`candidate_labels`: strings or numbers, or one string with commas between them (kept as a tuple).
    `hypothesis_template`: a sentence with {} where the label goes."""

    candidate_labels: Any = ()
    hypothesis_template: str = _TEMPLATE

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        object.__setattr__(self, "candidate_labels", labels_of(self.candidate_labels))
        self.hypotheses()

    def hypotheses(self) -> list[str]:
        """The template with each label.

        Raises:
            InputError: as of `hypotheses_of`.
        """
        return hypotheses_of(self.hypothesis_template, self.candidate_labels, _TEMPLATE)


class PictureEmbedder(Embedder):
    """Of pictures."""

    options_type = PictureOptions
    processor_type = PictureProcessor
    role = _PICTURES


class ZeroShotImageClassification(ZeroShotByVectors[ZeroShotImageOptions, PictureProcessor]):
    """`pipe(picture, labels)` -> [{"score", "label"}, ...] of all labels, best first; of a list of pictures, a list.
    The labels' vectors are computed once: those of the texts that were asked for last are remembered.

    `embed_images(pictures)` and `embed_texts(texts)` give the vectors themselves, for searches.
    """

    options_type = ZeroShotImageOptions
    processor_type = PictureProcessor
    embedder_type = PictureEmbedder
    role = _PICTURES

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
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
        return self._ask(pictures_of(image, options), candidate_labels, options)

    def embed_images(self, pictures: Any, **options: Any) -> Vectors:
        """float32 (pictures, dimensions): transformers' `get_image_features`, each divided by its length.

        Args:
            pictures: one or several, in any form that a call takes.
            options: those of every call, such as `batch_size`, and `max_pixels`.

        Raises:
            InputError: one is no picture, damaged or too large.
        """
        return self._embed(pictures_of(pictures, options), options)
