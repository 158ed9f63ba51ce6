"""Text to sentencepiece's tokens and back, as the sentencepiece library does it, without that library.

Normalization and segmentation follow normalizer.cc, unigram_model.cc and sentencepiece_processor.cc. Knows nothing of
special tokens in a text, of files, or of what surrounds a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from onnxpress.manifest import Segmentation
from onnxpress.pieces.charsmap import Charsmap
from onnxpress.pieces.unigram import Unigram

SPACE = "▁"

#: Begins the name of a token that no text may become: pieces hold no space. It is not part of the token.
UNREACHABLE = " "

_CODE = re.compile(r">>.*?<<", re.DOTALL)
_SPACES = re.compile(" {2,}")


class SentencePieces:
    """`names`: id -> token, unreachable ones marked. `scores`: the pieces of a unigram model with their log
    probabilities; None for a byte-pair model, whose merges `merge` knows: normalized text -> ids."""

    def __init__(
        self,
        settings: Segmentation,
        charsmap: Charsmap | None,
        names: Mapping[int, str],
        scores: Mapping[str, float] | None,
        merge: Callable[[str], Sequence[int]],
    ) -> None:
        self._settings, self._charsmap, self._merge = settings, charsmap, merge
        self._pieces = {name: number for number, name in names.items() if not name.startswith(UNREACHABLE)}
        self._codes = {
            name.removeprefix(UNREACHABLE): number
            for number, name in names.items()
            if number < settings.vocabulary and name.endswith("<<")
        }
        self._unigram = None if scores is None else Unigram(scores)

    def segment(self, text: str) -> list[int]:
        """The ids of a text without special tokens; those that the model has no row for included."""
        ids: list[int] = []
        if self._settings.leading_code and (code := _CODE.match(text)):
            ids.append(self._codes.get(code[0], self._settings.unknown_id))
            text = text[code.end() :]
        text = self.normalize(text)
        if not text:
            return ids
        if self._unigram is None:
            return [*ids, *self._merge(text)]
        unknown = self._settings.unknown_id
        return [*ids, *(self._pieces.get(piece, unknown) for piece in self._unigram.segment(text))]

    def normalize(self, text: str) -> str:
        """What the pieces are matched against."""
        if not text:
            return ""
        text = text if self._charsmap is None else self._charsmap.apply(text)
        if self._settings.remove_extra_whitespaces:
            text = _SPACES.sub(" ", text).lstrip(" ")
            if not text:
                return ""
        text = (SPACE if self._settings.add_dummy_prefix else "") + text.replace(" ", SPACE)
        return text.rstrip(SPACE) if self._settings.remove_extra_whitespaces else text

    def join(self, names: Sequence[str], special: Collection[str]) -> str:
        """The text of tokens. Each run between special tokens is decoded on its own, as transformers does it."""
        parts: list[str] = []
        run: list[str] = []
        for name in names:
            if name in special:
                parts += (self._join_run(run), name, self._settings.after_special)
                run = []
            else:
                run.append(name)
        parts.append(self._join_run(run))
        return "".join(parts).replace(SPACE, " ").strip()

    def _join_run(self, names: Sequence[str]) -> str:
        text = ""
        at_start = self._settings.add_dummy_prefix or self._settings.remove_extra_whitespaces
        for name in names:
            if name.startswith(UNREACHABLE):  # not a piece of this model: as it is, or a control symbol without text
                name = name.removeprefix(UNREACHABLE)
                text += "" if name in self._settings.invisible else name
                continue
            if at_start and not text:
                stripped = name.removeprefix(SPACE)
                at_start = self._settings.remove_extra_whitespaces or stripped == name
                name = stripped
            text += name.replace(SPACE, " ")
        return text
