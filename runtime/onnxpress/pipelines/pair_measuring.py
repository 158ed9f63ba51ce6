"""Finds out how a graph of another tool compares the vectors of texts and pictures: by asking it for some scores.

Such a graph takes a text and a picture and returns a vector of each and their score, and no file of its tool's says how
the score follows from the vectors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, PairScores
from onnxpress.image.making import picture_of
from onnxpress.math import normalize
from onnxpress.pipelines.pictures import PictureProcessor
from onnxpress.pipelines.text_tower import TextTower

#: What the graph is asked about: texts that mean unlike things, and pictures that look unlike.
_TEXTS = ("a photo of a cat", "red", "two people walking in the rain", "0123456789")
_PICTURES = 4
_EDGE = 96

_SCORES, _TEXT_VECTORS = "logits_per_image", "text_embeds"

#: Largest difference of a score from what was found, as a share of the largest score.
_ERROR = 1e-4


def compares(graph: GraphInfo) -> bool:
    """Whether a graph of pictures compares them with texts by itself."""
    return {_SCORES, _TEXT_VECTORS} <= {tensor.name for tensor in graph.outputs}


def measured(
    pairs: PairScores, session: Session, graph: str, vectors: str, texts: TextTower, pictures: PictureProcessor
) -> PairScores:
    """With the scale and the bias that the graph multiplies cosines by and adds.

    Args:
        graph: the one that compares; `vectors`: its output of pictures.

    Raises:
        UnsupportedFormat: its scores do not follow so.
    """
    generator = np.random.default_rng(0)
    cosines: list[NDArray[Any]] = []
    scores: list[NDArray[Any]] = []
    for text in _TEXTS:
        tokens = texts.collate(texts.samples([text], truncation=True)).arrays
        coarse = generator.integers(0, 256, (_PICTURES, _PICTURES, 3), dtype=np.uint8)
        image = picture_of(np.kron(coarse, np.ones((_EDGE // _PICTURES, _EDGE // _PICTURES, 1), np.uint8)))
        pixels = pictures.collator.collate([pictures.sample_of(image)]).arrays
        outputs = session.run({**pixels, **tokens}, graph=graph)
        mine, theirs = normalize(outputs[vectors]), normalize(outputs[_TEXT_VECTORS])
        cosines.append((mine @ theirs.T).astype(np.float64).ravel())
        scores.append(outputs[_SCORES].astype(np.float64).ravel())
    cosine, score = np.concatenate(cosines), np.concatenate(scores)
    biased = pairs.function == "sigmoid"
    columns = np.stack([cosine, np.ones_like(cosine)], axis=1) if biased else cosine[:, None]
    solution = np.linalg.lstsq(columns, score, rcond=None)[0]
    if not np.abs(columns @ solution - score).max() <= _ERROR * max(1.0, np.abs(score).max()):
        raise UnsupportedFormat(
            "The graph compares texts with pictures otherwise than by the cosine of their vectors, a scale and a bias. "
            "Export the checkpoint with `onnxpress export`."
        )
    return replace(pairs, scale=float(solution[0]), bias=float(solution[1]) if biased else 0.0)
