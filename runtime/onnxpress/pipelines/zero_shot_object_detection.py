"""zero-shot-object-detection: where in a picture things are that the call names, by the nearness of places to texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.format.pictures import PadToSquare
from onnxpress.image.opening import open_picture
from onnxpress.math import sigmoid
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.boxes import Detection, corners, whole_pixels
from onnxpress.pipelines.candidates import check_labels
from onnxpress.pipelines.inputs import listed, picked
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.pictures import PictureOptions, PictureProcessor, pictures_of
from onnxpress.pipelines.text_tower import TextTower
from onnxpress.samples import Batch

#: What the graph of pictures gives of each place, beside its vector, which is its first output.
SHIFTS, SCALES, BOXES = "logit_shift", "logit_scale", "pred_boxes"

#: An input that is an object.
_FIELDS = ("image", "candidate_labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShotDetectionOptions(PictureOptions):
    """`candidate_labels`: texts, or one text that is cut at its commas. `threshold`: only what has a higher score.
    `top_k`: at most so many, the best; None or 0: all."""

    candidate_labels: Any = ()
    threshold: float = 0.1
    top_k: int | None = None

    def __post_init__(self) -> None:
        PictureOptions.__post_init__(self)
        object.__setattr__(self, "candidate_labels", _labels(self.candidate_labels))
        value: Any = self.threshold
        if isinstance(value, bool) or not isinstance(value, Real) or isnan(value):
            raise InputError(f"threshold is {self.threshold!r}; it must be a number, such as 0.1.")
        if self.top_k is not None and (not isinstance(self.top_k, int) or self.top_k < 0):
            raise InputError(f"top_k is {self.top_k!r}; it must be a number of objects.")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a picture is asked: labels, and the edges in pixels that boxes are fractions of, (height, width)."""

    labels: tuple[str, ...]
    edges: tuple[int, int]


#: Of a picture: scores float32 (places, labels), and boxes float32 (places, 4).
_Found = tuple[NDArray[np.float32], NDArray[np.float32]]


class ZeroShotObjectDetection(Pipeline[ZeroShotDetectionOptions, PictureProcessor]):
    """`pipe(picture, labels)` -> [{"score", "label", "box": {"xmin", "ymin", "xmax", "ymax"}}, ...], best first, in
    pixels of the picture; of a list of pictures, or of {"image", "candidate_labels"}, a list. A picture is read once
    for all labels, whose vectors are computed once: those of the texts that were asked for last are remembered.
    """

    options_type = ZeroShotDetectionOptions
    processor_type = PictureProcessor
    role = "vision"

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        self._texts = TextTower(model)
        self._square = PadToSquare() in self.processor.settings.steps

    def __call__(  # type: ignore[override]  # `inputs` is `image` in transformers
        self, image: Any = None, candidate_labels: Any = None, **options: Any
    ) -> Any:
        if "text_queries" in options:  # as transformers called it first
            candidate_labels = options.pop("text_queries")
        pictures = pictures_of(image, options)
        if candidate_labels is not None:
            if _is_lists(candidate_labels):
                pictures = _each_with_its_own(listed(pictures), candidate_labels)
            else:
                options["candidate_labels"] = candidate_labels
        return super().__call__(pictures, **options)

    def prepare(self, item: Any, options: ZeroShotDetectionOptions) -> Prepared[_Asked]:
        picture, labels = item, options.candidate_labels
        if isinstance(item, Mapping):
            (picture,) = picked(item, _FIELDS[:1], _FIELDS[1:])
            labels = _labels(item[_FIELDS[1]]) if _FIELDS[1] in item else labels
        check_labels(labels)
        vectors = self._texts.embed(labels)
        image = open_picture(picture, options.max_pixels, options.urls)
        side = max(image.size)
        edges = (side, side) if self._square else (image.height, image.width)
        return Prepared((self.processor.sample_of(image, vectors),), _Asked(labels, edges))

    def reduce(self, batch: Batch, outputs: Outputs, options: ZeroShotDetectionOptions) -> Sequence[_Found]:
        places = zip(
            batch.samples,
            *(outputs[name] for name in (self.answer_name, SHIFTS, SCALES, BOXES)),
            strict=False,
        )
        return [
            (sigmoid((vectors @ sample.context.T + shift[:, None]) * scale[:, None]), np.array(boxes))
            for sample, vectors, shift, scale, boxes in places
        ]

    def finish(self, context: _Asked, values: list[Any], options: ZeroShotDetectionOptions) -> list[Detection]:
        scores, boxes = values[0]
        # Label by label, as transformers asks; what scores nothing at all is none.
        labels, places = np.nonzero(((scores > options.threshold) & (scores != 0)).T)
        chosen = scores[places, labels]
        order = np.argsort(-chosen, kind="stable")[: options.top_k or None]
        edges = whole_pixels(corners(boxes[places[order]]), *context.edges)
        return [
            Detection(score=float(chosen[i]), label=context.labels[labels[i]], box=box)
            for i, box in zip(order, edges, strict=True)
        ]


def _labels(value: Any) -> tuple[str, ...]:
    """As transformers reads them: one text is cut at its commas, and the spaces behind these stay."""
    if isinstance(value, str):
        return tuple(value.split(","))
    labels = tuple(value) if isinstance(value, Iterable) else ()
    if not isinstance(value, Iterable) or not all(isinstance(label, str) for label in labels):
        raise InputError(f"candidate_labels must be texts, or one text with commas, not {value!r:.60}.")
    return labels


def _is_lists(labels: Any) -> bool:
    return isinstance(labels, (list, tuple)) and bool(labels) and all(isinstance(row, (list, tuple)) for row in labels)


def _each_with_its_own(pictures: Any, labels: Sequence[Any]) -> list[dict[str, Any]]:
    if not isinstance(pictures, (list, tuple)) or len(pictures) != len(labels):
        count = len(pictures) if isinstance(pictures, (list, tuple)) else 1
        raise InputError(
            f"candidate_labels has {len(labels)} lists, and there are {count} pictures: pass a list for each picture, "
            "or one for all."
        )
    return [dict(zip(_FIELDS, row, strict=True)) for row in zip(pictures, labels, strict=True)]
