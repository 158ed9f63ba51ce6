"""Texts beside vectors of something else, a picture or a sound: what zero-shot tasks of both share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.math import normalize, top_k
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.class_scores import FUNCTIONS, Classification
from onnxpress.pipelines.inputs import is_stream, items_of, listed
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.suitable import pair_scores
from onnxpress.pipelines.text_tower import TextTower

Vectors = NDArray[np.float32]


class ComparedTexts:
    """The vectors of texts, and what they score beside another's. Thread-safe, picklable."""

    def __init__(self, model: LoadedModel) -> None:
        #: What reads the texts.
        self.tower = TextTower(model)
        #: How they are compared with another's.
        self.pairs = pair_scores(model.artifact.manifest)

    def of_hypotheses(self, texts: Sequence[str]) -> Vectors:
        """float32 (texts, dimensions), each of length 1, not to be written to.

        Raises:
            InputError: one is longer than the model takes.
        """
        return self.tower.embed(texts)

    def embed(self, texts: Any, *, truncation: bool) -> Vectors:
        """float32 (texts, dimensions), each of length 1, of one text or of several in any form that a call takes.

        Raises:
            InputError: one is no text, or too long.
        """
        texts = listed(texts)
        many = is_stream(texts) or isinstance(texts, (list, tuple))
        return self.tower.embed(list(items_of(texts)) if many else [texts], truncation=truncation).copy()

    def classified(self, vectors: Vectors, other: Vectors, labels: Sequence[Any]) -> list[Classification]:
        """All labels, best first, by their vectors (labels, dimensions) and another's (dimensions,)."""
        pairs = self.pairs
        logits = vectors @ other * np.float32(pairs.scale or 1.0) + np.float32(pairs.bias)
        scores = FUNCTIONS[pairs.function](logits)
        return [Classification(score=float(scores[i]), label=labels[i]) for i in top_k(scores, len(labels))]


def unit_vectors(pipe: Pipeline[Any, Any], outputs: Outputs) -> Sequence[Vectors]:
    """The answers of a batch, float32 (dimensions,) each, divided by their lengths."""
    return list(normalize(outputs[pipe.answer_name]))


def stacked(answers: Any, pipe: Pipeline[Any, Any]) -> Vectors:
    """What an embedder gives for one input or for several, as float32 (inputs, dimensions)."""
    rows = [answers] if isinstance(answers, np.ndarray) else list(answers)
    return np.array(rows, np.float32).reshape(len(rows), int(pipe.graph.outputs[0].axes[-1]))
