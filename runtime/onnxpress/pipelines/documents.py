"""A question about a document as windows of tokens with boxes: how tasks read it whose graph is told where words stand.

As transformers' pipeline has it: the question is split at spaces, the words of the document are encoded word by word,
and each of their tokens has its word's box.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import ArtifactError, InputError
from onnxpress.format.processors import TokenBoxes
from onnxpress.pipelines.collators import BOXES
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.samples import Sample
from onnxpress.text.tokenizer import Encoding, Truncation

#: Boxes are told in thousandths of a page's edges.
_EDGE = 1000

#: transformers lets windows share at most so many tokens, unless told.
_USUAL_STRIDE = 256

_BOX = "[x0, y0, x1, y1], whole numbers from 0 to 1000: thousandths of the page's width and height"


@dataclass(frozen=True, slots=True)
class AskedPage:
    """`words`: of the page, in order; `boxes`: int64 (words, 4), x0, y0, x1, y1 in thousandths of the page's edges."""

    question: str
    words: tuple[str, ...]
    boxes: NDArray[np.int64]


class DocumentProcessor(TextProcessor):
    """Questions with documents to samples: a window each."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        if self.settings.boxes is None:
            raise ArtifactError(
                f"{model.artifact.folder}: it does not say which boxes the tokens of a question have, so "
                f"{model.task.name} cannot run. Export again."
            )
        self._boxes = self.settings.boxes

    def windows(self, document: AskedPage, length: int | None, stride: int | None) -> list[tuple[Encoding, Sample]]:
        """The document in windows of at most `length` tokens, of which two share `stride`; None: as many as the model
        takes, and half of that, or 256 if that is less.

        Raises:
            InputError: the question leaves no room, or a word is none that the model can take.
        """
        asked, words = document.question.split(), list(document.words)
        limit = self.limit(length)
        cut = None
        if limit is not None:
            cut = Truncation(limit, "only_second", self._stride(asked, limit) if stride is None else stride)
        # An empty page is no second text.
        encoding = self.tokenizer.encode(asked, words or None, truncation=cut)
        pieces: list[Encoding] = [encoding, *encoding.overflowing]
        return [(piece, self._sample(piece, document)) for piece in pieces]

    def _sample(self, piece: Encoding, document: AskedPage) -> Sample:
        tokens = self.sample_of(piece)
        boxes = token_boxes(piece, document.boxes, self._boxes, self.tokenizer.special("cls"))
        return replace(tokens, arrays={**tokens.arrays, BOXES: boxes})

    def _stride(self, asked: list[str], limit: int) -> int:
        """As in transformers, but less where the question leaves windows no larger than that."""
        tokens = len(self.tokenizer.encode(asked, special_tokens=False).ids)
        room = limit - tokens - self.tokenizer.special_count(pair=True)
        if room < 1:
            raise InputError(
                f"The question has {tokens} tokens, which leaves no room for the document in {limit} tokens. Shorten "
                "it, or pass a larger max_seq_len if the model takes more."
            )
        usual = min(limit // 2, _USUAL_STRIDE)
        return usual if usual < room else room // 2


def token_boxes(
    encoding: Encoding, boxes: NDArray[np.int64], of_others: TokenBoxes, begin: int | None
) -> NDArray[np.int64]:
    """The boxes of the tokens of a question and a document: int64 (tokens, 4).

    Args:
        boxes: of the document's words, int64 (words, 4).
        of_others: of tokens that are none of its words.
        begin: the id of the token that begins a row.
    """
    rows: list[Sequence[int]] = []
    for number, side, word in zip(encoding.ids, encoding.sequence_ids, encoding.word_ids, strict=True):
        if side == 1 and word is not None:
            rows.append(boxes[word].tolist())
        elif side == 0:
            rows.append(of_others.question)
        else:
            rows.append(of_others.begin if number == begin else of_others.others)
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def read_document(item: Any, task: str) -> AskedPage:
    """The parts of an input; its picture, if there is one, is not looked at.

    Raises:
        InputError: the question or the words are missing, or a box is none.
    """
    if not isinstance(item, Mapping) or "question" not in item:
        raise InputError(
            f'{task} takes {{"question": ..., "word_boxes": ...}}, got {type(item).__name__} {item!r:.60}.'
        )
    question, entries = item["question"], item.get("word_boxes")
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"question must be a text that is not empty, not {type(question).__name__} {question!r:.60}.")
    if entries is None:
        raise InputError(
            "word_boxes is missing: no text is recognized here. Pass the words of the document with their boxes, "
            f"[(word, box), ...], as an OCR program finds them; a box is {_BOX}."
        )
    if isinstance(entries, (str, bytes, Mapping)) or not hasattr(entries, "__iter__"):
        raise InputError(f"word_boxes must be a list of (word, box), not {type(entries).__name__} {entries!r:.60}.")
    words, boxes = [], []
    for place, entry in enumerate(entries):
        if not isinstance(entry, (list, tuple)) or len(entry) != 2 or not isinstance(entry[0], str):
            raise InputError(f"word_boxes[{place}] must be (word, box), not {entry!r:.60}.")
        words.append(entry[0])
        boxes.append(_box(entry[1], place))
    return AskedPage(question, tuple(words), np.array(boxes, dtype=np.int64).reshape(-1, 4))


def _box(value: Any, place: int) -> list[int]:
    try:
        corners = [float(corner) for corner in value]
    except (TypeError, ValueError):
        corners = []
    whole = len(corners) == 4 and all(corner.is_integer() and 0 <= corner <= _EDGE for corner in corners)
    if not whole:
        raise InputError(f"word_boxes[{place}]: a box is {_BOX}; not {value!r:.60}.")
    x0, y0, x1, y1 = (int(corner) for corner in corners)
    if x1 < x0 or y1 < y0:
        raise InputError(f"word_boxes[{place}]: a box is {_BOX}, x0 <= x1 and y0 <= y1; not {value!r:.60}.")
    return [x0, y0, x1, y1]
