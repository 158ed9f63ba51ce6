"""Converts text to rows of ids and back, by a `Segmentation`.

Added tokens are taken out of the text first, a method cuts the rest into tokens, and special tokens surround the row.
This module does not know how a method cuts text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from onnxpress.errors import CorruptFile, InputError
from onnxpress.format.processors import PIECE_SPACE, UNREACHABLE, CharacterRules, Segmentation, TokenizerSettings
from onnxpress.text.encodings import Cut, Encoding, PlainEncoding, Truncation, check_characters, windows
from onnxpress.text.slow.blenderbot_small import BlenderbotWords
from onnxpress.text.slow.byte_level import Bytes
from onnxpress.text.slow.characters import Characters
from onnxpress.text.slow.charsmap import Charsmap
from onnxpress.text.slow.letters import LetterTokens
from onnxpress.text.slow.sentencepiece import SentencePieces

#: Text -> the ids of its tokens and the part of it that each covers, by the merges of tokenizer.json.
Merge = Callable[[str], Sequence[tuple[int, str]]]


class Method(Protocol):
    """One way of cutting text that holds no special tokens."""

    def segment(self, text: str) -> list[int]: ...
    def join(self, names: Sequence[str], special: Collection[str]) -> str: ...


@dataclass(frozen=True, slots=True)
class Added:
    """A token that is taken out of a text before anything else, with the spaces beside it where it says so."""

    id: int
    text: str
    special: bool
    lstrip: bool
    rstrip: bool


class PieceEncoder:
    """A `tokenizer.json` read with its `segmentation`. Holds no state between calls.

    Raises:
        CorruptFile: the files are not what the settings say.
    """

    def __init__(
        self,
        file: Path,
        settings: TokenizerSettings,
        segmentation: Segmentation,
        charsmap_file: Path | None,
        merge: Merge,
    ) -> None:
        self._settings, self._segmentation = settings, segmentation
        try:
            content = json.loads(file.read_bytes())
            self._added = {
                token["content"]: Added(
                    token["id"], token["content"], token["special"], token["lstrip"], token["rstrip"]
                )
                for token in content["added_tokens"]
            }
            self._names = {**_names(content["model"]), **{token.id: token.text for token in self._added.values()}}
            self._unknown = self._names[segmentation.unknown_id]
            charsmap = None if charsmap_file is None else Charsmap(charsmap_file.read_bytes(), str(charsmap_file))
            self._method = _METHODS[segmentation.method](self._model(content, charsmap, merge))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptFile(
                f"{file}: does not fit the manifest's segmentation ({error}). Export or download the artifact again."
            ) from None
        longest_first = sorted(self._added, key=len, reverse=True)
        self._split = re.compile(f"({'|'.join(map(re.escape, longest_first))})") if longest_first else None
        self._special_ids = {token.id for token in self._added.values() if token.special}
        self._special_names = {token.text for token in self._added.values() if token.special} | {*segmentation.apart}

    def _model(self, content: Mapping[str, Any], charsmap: Charsmap | None, merge: Merge) -> _Model:
        scores = None
        if content["model"]["type"] == "Unigram":
            pieces = ((name, score) for name, score in content["model"]["vocab"] if not name.startswith(UNREACHABLE))
            scores = {name: float(score) for name, score in pieces if name not in self._added}
        return _Model(self._segmentation, charsmap, self._names, scores, merge)

    def encode(self, text: str, pair: str | None, truncation: Truncation | None, special_tokens: bool) -> Encoding:
        """Encode a text, or a pair of texts, as one row of ids.

        Raises:
            InputError: a text with half a character (a lone surrogate), or no room for it.
        """
        ids = self._ids(text)
        if pair is not None:
            ends, second = special_tokens and self._ends_each_text, self._ids(pair)
            ids = [*ids, *(self._suffix(ids) if ends else ()), *(second or (self._suffix(()) if ends else ()))]
        if truncation is None:
            return self._row(ids, special_tokens)
        room = truncation.max_length - (self.special_count if special_tokens else 0)
        if room < 0:
            raise InputError(
                f"{truncation.max_length} tokens leave no room for the text beside {self.special_count} special ones. "
                "Choose a larger maximum length."
            )
        if pair is not None and len(ids) > room:
            raise InputError("A pair of texts cannot be cut with this tokenizer. Shorten one of them.")
        side = truncation.side or self._settings.truncation_side
        parts = windows(len(ids), room, truncation.stride, side)
        first, *rest = (ids[start:end] for start, end in parts)
        return Cut(self._row(first, special_tokens), lambda: [self._row(part, special_tokens) for part in rest])

    def decode(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        """Decode ids to text. An id without a token counts as unknown."""
        numbers = (number for number in ids if not (skip_special_tokens and number in self._special_ids))
        names = [self._names[number] for number in self.known(numbers)]
        return self._method.join(names, self._special_names)

    def known(self, ids: Iterable[int]) -> list[int]:
        """The ids of tokens that there are: others are the unknown one's."""
        vocabulary, unknown = self._segmentation.vocabulary, self._segmentation.unknown_id
        return [number if number < vocabulary and number in self._names else unknown for number in ids]

    def token(self, token_id: int) -> str:
        """Name the token of an id; "" where there is none."""
        return self._names.get(token_id, "").removeprefix(UNREACHABLE)

    @property
    def special_count(self) -> int:
        """How many special tokens surround a row."""
        return len(self._segmentation.prefix) + len(self._segmentation.suffix)

    def _ids(self, text: str) -> list[int]:
        """The ids of a text alone."""
        check_characters([text])
        if self._segmentation.canonical is not None:
            text = PIECE_SPACE + text.replace(PIECE_SPACE, " ")
        if isinstance(self._method, Characters):
            text = self._method.prepare(text)
        ids: list[int] = []
        for part in self._parts(text):
            if isinstance(part, Added):
                ids.append(part.id)
            else:
                ids += self._method.segment(part)
        vocabulary, unknown = self._segmentation.vocabulary, self._segmentation.unknown_id
        return [number if number < vocabulary else unknown for number in ids]

    def _parts(self, text: str) -> Iterator[str | Added]:
        """Cut the text at its added tokens. Such a token may take the spaces beside it along, those that are tokens,
        too."""
        parts = [part for part in ([text] if self._split is None else self._split.split(text)) if part]
        for place, part in enumerate(parts):
            token = self._added.get(part)
            if token is not None and token.rstrip and place + 1 < len(parts):
                parts[place + 1] = parts[place + 1].lstrip()
            if token is not None and token.lstrip and place:
                parts[place - 1] = parts[place - 1].rstrip()
        yield from (self._added.get(part, part) for part in parts if part)

    @property
    def _ends_each_text(self) -> bool:
        return self._segmentation.method == "bytes" or self._segmentation.ends_each_text

    def _suffix(self, ids: Sequence[int]) -> Sequence[int]:
        """What follows these ids: some do not end a text twice."""
        suffix = self._segmentation.suffix
        return () if self._ends_each_text and suffix and [*ids[-1:]] == [*suffix] else suffix

    def _row(self, ids: list[int], special_tokens: bool) -> PlainEncoding:
        before, after = (self._segmentation.prefix, self._suffix(ids)) if special_tokens else ((), ())
        whole = [*before, *ids, *after]
        mask = [1] * len(before) + [0] * len(ids) + [1] * len(after)
        return PlainEncoding(
            whole,
            [0] * len(whole),
            [self.token(number) for number in whole],
            [(0, 0)] * len(whole),
            mask,
            [None] * len(whole),
            [None if special else 0 for special in mask],
        )


@dataclass(frozen=True, slots=True)
class _Model:
    segmentation: Segmentation
    charsmap: Charsmap | None
    names: Mapping[int, str]
    scores: Mapping[str, float] | None
    merge: Merge


_METHODS: Mapping[str, Callable[[_Model], Method]] = {
    "sentencepiece": lambda model: SentencePieces(
        model.segmentation, model.charsmap, model.names, model.scores, model.merge
    ),
    "blenderbot-small": lambda model: BlenderbotWords(model.merge),
    "bytes": lambda model: Bytes(),
    "letters": lambda model: _letters(model),
    "characters": lambda model: Characters(_rules(model.segmentation), model.names, model.segmentation.unknown_id),
}


def _letters(model: _Model) -> LetterTokens:
    settings = model.segmentation.letters
    if settings is None:
        raise ValueError("the method is letters, and no letters are told")
    ids = {name: number for number, name in model.names.items()}
    return LetterTokens(settings, ids, model.segmentation.unknown_id)


def _rules(segmentation: Segmentation) -> CharacterRules:
    if segmentation.characters is None:
        raise ValueError("it has no rules for characters")
    return segmentation.characters


def _names(model: Mapping[str, Any]) -> dict[int, str]:
    """Id -> token, as the file names it."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        return {number: name for number, (name, _) in enumerate(vocabulary)}
    return {number: name for name, number in vocabulary.items()}
