"""The texts, as token ids, that graphs which write text are compared on. Knows neither torch nor a graph.

A decoder alone reads a text; after an encoder, it reads what the model itself writes about a text, a picture or a
sound.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.transform import SoundTransform
from onnxpress.errors import InputError
from onnxpress.format.pictures import ImageSettings
from onnxpress.format.sounds import SoundSettings
from onnxpress.image.opening import open_picture
from onnxpress.image.transform import Transform
from onnxpress.pipelines.collators import PadTokens, Stack, Together, token_sample
from onnxpress.pipelines.pictures import picture_sample
from onnxpress.pipelines.sounds import sound_sample
from onnxpress.samples import Collator, Sample
from onnxpress.text.tokenizer import Tokenizer, Truncation
from onnxpress_exporter.gate.lengths import LONGEST_TOKENS, far_tokens
from onnxpress_exporter.judging.pictures import (
    QUESTIONS,
    calibration_pictures,
    judged_pictures,
    verification_pictures,
)
from onnxpress_exporter.judging.samples import SINGLES, far_text
from onnxpress_exporter.judging.sounds import verification_sounds
from onnxpress_exporter.judging.speech import calibration_speech, judged_speech
from onnxpress_exporter.judging.texts import CALIBRATION, JUDGED

#: Tokens of one text that variants are judged on, or that quantization watches.
PASSAGE_TOKENS = 192
#: Tokens that the model writes of each text an encoder has read.
WRITTEN_TOKENS = 24
#: Sentences that make one passage.
_SENTENCES = 6

_STACK = Stack()

#: What an encoder takes of a question.
TOKENS = ("input_ids", "attention_mask")


Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Media:
    """What an encoder reads of a picture or a sound, by input of its graph, without the axis of the batch; and what it
    costs. `collator`: makes batches of such."""

    sample: Sample
    collator: Collator

    def __len__(self) -> int:
        return self.sample.cost


@dataclass(frozen=True, slots=True)
class Case:
    """`ids`: what the decoder reads; `source`: what the encoder does, None where there is no encoder."""

    name: str
    ids: tuple[int, ...]
    source: tuple[int, ...] | Media | None = None

    @property
    def text(self) -> tuple[int, ...] | None:
        """The text that an encoder reads; None: there is none."""
        return None if isinstance(self.source, Media) else self.source

    @property
    def key(self) -> Hashable:
        """Only cases of one key can be read together."""
        return self.source.collator.key(self.source.sample) if isinstance(self.source, Media) else None

    def followed_by(self, ids: Sequence[int]) -> Case:
        """The same text, with these tokens after it."""
        return replace(self, ids=(*self.ids, *ids))


@dataclass(frozen=True, slots=True)
class Ends:
    """`start`: the token that a decoder begins with after an encoder; `ends`: those that end a text."""

    start: int
    ends: tuple[int, ...]


def encoded(cases: Sequence[Case]) -> tuple[Arrays, NDArray[np.int64] | None]:
    """What an encoder's graph takes of cases of one key, and which places of it are no padding; None: all."""
    if isinstance(media := cases[0].source, Media):
        samples = [case.source.sample for case in cases if isinstance(case.source, Media)]
        arrays = dict(media.collator.collate(samples).arrays)
        return arrays, arrays.get("attention_mask")
    texts = [case.text or () for case in cases]
    ids, mask = np.zeros((2, len(texts), max(map(len, texts))), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    return {"input_ids": ids, "attention_mask": mask}, mask


#: Goes on after a case: the likeliest tokens, at most so many.
Write = Callable[[Case, int], Sequence[int]]


class MakesCases(Protocol):
    """Where the cases of a model come from. `limit`: the most tokens of a row; `start`: the token that a decoder begins
    with after an encoder, None without one."""

    @property
    def limit(self) -> int | None: ...
    @property
    def start(self) -> int | None: ...

    def verification(self, write: Write) -> list[Case]:
        """The awkward inputs of every export."""

    def far(self, weights: int, vocabulary: int, write: Write) -> Case | None:
        """An input as long as the model takes; None: the usual ones are."""

    def judged(self, write: Write, tokens: int) -> Iterator[Case]:
        """Inputs of so many tokens together that calibration does not see."""

    def calibration(self, write: Write, tokens: int) -> list[Case]:
        """Inputs of so many tokens together that rounding may look at."""


Named = Iterable[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Perceiver:
    """Converts pictures or sounds to cases: the decoder reads what the model writes about them. As `MakesCases` says.

    `read`: makes a sample of one; it raises InputError of what the program refuses, which is left out. `awkward`,
    `judging`, `watched`: make those of verification, of the judges and of calibration, with their names.
    """

    read: Callable[[Any], Sample]
    awkward: Callable[[], Named]
    judging: Callable[[], Named]
    watched: Callable[[], Named]
    limit: int | None
    start: int
    collator: Collator = _STACK

    def verification(self, write: Write) -> list[Case]:
        """Awkward ones."""
        return list(self._cases(self.awkward(), write))

    def far(self, weights: int, vocabulary: int, write: Write) -> None:
        """The usual ones are as large as they get."""

    def judged(self, write: Write, tokens: int) -> Iterator[Case]:
        """Some that calibration does not see, with so many tokens written of them together."""
        return _within(self._cases(self.judging(), write), tokens)

    def calibration(self, write: Write, tokens: int) -> list[Case]:
        """Some that rounding may look at, with so many tokens written of them together."""
        return list(_within(self._cases(self.watched(), write), tokens))

    def _cases(self, inputs: Named, write: Write) -> Iterator[Case]:
        most = min(LONGEST_TOKENS, self.limit or LONGEST_TOKENS)
        for name, raw in inputs:
            try:
                sample = self.read(raw)
            except InputError:
                continue
            begun = Case(name, (self.start,), Media(sample, self.collator))
            yield begun.followed_by(write(begun, min(WRITTEN_TOKENS, most - 1)))


def looker(settings: ImageSettings, limit: int | None, start: int, asked: Tokenizer | None = None) -> Perceiver:
    """Makes cases of pictures, as a manifest's program reads them; with a question about each, where a tokenizer of
    questions is given."""
    transform = Transform(settings)

    def look(pixels: Any) -> Sample:
        return picture_sample(transform, open_picture(pixels))

    read: Callable[[Any], Sample] = look
    collator: Collator = _STACK
    if asked is not None:
        read = _asking(look, asked)
        collator = Together(PadTokens(TOKENS, asked.settings.pad_token_id, pads=False), _STACK)
    return Perceiver(
        read,
        verification_pictures,
        lambda: _numbered("picture", judged_pictures()),
        lambda: _numbered("picture", calibration_pictures()),
        limit,
        start,
        collator,
    )


def _asking(look: Callable[[Any], Sample], tokenizer: Tokenizer) -> Callable[[Any], Sample]:
    """A function as another that reads pictures, which asks one question after the other about them."""
    questions = cycle(QUESTIONS)

    def ask(pixels: Any) -> Sample:
        picture = look(pixels)
        most = Truncation(tokenizer.settings.max_length or LONGEST_TOKENS)
        asked = token_sample(tokenizer.encode(next(questions), truncation=most).ids)
        return Sample({**asked.arrays, **picture.arrays}, asked.cost + picture.cost)

    return ask


def listener(settings: SoundSettings, limit: int | None, start: int) -> Perceiver:
    """Makes cases of speech, as a manifest's program reads it; awkward are sounds of any kind."""
    transform, rate = SoundTransform(settings), settings.rate
    return Perceiver(
        lambda samples: sound_sample(transform, samples),
        lambda: verification_sounds(rate),
        lambda: _numbered("speech", judged_speech(rate)),
        lambda: _numbered("speech", calibration_speech(rate)),
        limit,
        start,
    )


def _numbered(kind: str, inputs: Sequence[Any]) -> Named:
    return ((f"{kind} {number}", raw) for number, raw in enumerate(inputs))


@dataclass(frozen=True, slots=True)
class Reader:
    """Converts texts to cases. Implements `MakesCases`.

    `limit`: the most tokens of a row; `start`: the token that a decoder begins with after an encoder, None without one.
    """

    tokenizer: Tokenizer
    limit: int | None
    start: int | None

    def verification(self, write: Write) -> list[Case]:
        """The awkward texts of every export, those without a token left out."""
        return list(self._cases([(sample.name, sample.text) for sample in SINGLES], LONGEST_TOKENS, write))

    def far(self, weights: int, vocabulary: int, write: Write) -> Case | None:
        """A text as long as the model takes, after an encoder as long as that takes; None: the usual ones are."""
        limit = self.tokenizer.settings.max_length if self.start is not None else self.limit
        tokens = far_tokens(limit, weights, 1 if self.start is not None else vocabulary)
        if tokens is None:
            return None
        name = f"{tokens} tokens, as many as are verified"
        return next(self._cases([(name, far_text(tokens))], tokens, write), None)

    def judged(self, write: Write, tokens: int) -> Iterator[Case]:
        """Real texts of so many tokens together, none of which calibration sees."""
        return _within(self._cases(self._passages(JUDGED), PASSAGE_TOKENS, write), tokens)

    def calibration(self, write: Write, tokens: int) -> list[Case]:
        """Real texts of so many tokens together that rounding may look at."""
        return list(_within(self._cases(self._passages(CALIBRATION), PASSAGE_TOKENS, write), tokens))

    def _passages(self, sentences: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Sentences alone for an encoder, which reads one at a time; passages of several for the rest."""
        step = 1 if self.start is not None else _SENTENCES
        for place in range(0, len(sentences), step):
            text = " ".join(sentences[place : place + step])
            yield text[:40], text

    def _cases(
        self, texts: Sequence[tuple[str, str]] | Iterator[tuple[str, str]], longest: int, write: Write
    ) -> Iterator[Case]:
        most = min(longest, self.limit or longest)
        for name, text in texts:
            ids = tuple(self.tokenizer.encode(text, truncation=Truncation(min(longest, self._read_limit(longest)))).ids)
            if not ids:
                continue
            if self.start is None:
                yield Case(name, ids[:most])
            else:
                begun = Case(name, (self.start,), ids)
                yield begun.followed_by(write(begun, min(WRITTEN_TOKENS, most - 1)))

    def _read_limit(self, longest: int) -> int:
        return self.tokenizer.settings.max_length or longest


def _within(cases: Iterator[Case], tokens: int) -> Iterator[Case]:
    """Take the first cases that together have so many tokens, and at least one."""
    taken = 0
    for case in cases:
        if taken and taken + len(case.ids) > tokens:
            return
        taken += len(case.ids)
        yield case
