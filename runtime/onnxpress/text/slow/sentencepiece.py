"""Converts text to sentencepiece's tokens and back, exactly as the sentencepiece library does.

Normalization and segmentation follow normalizer.cc, unigram_model.cc and sentencepiece_processor.cc. Knows nothing of
special tokens in a text, of files, or of what surrounds a row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

from onnxpress.format.processors import PIECE_SPACE as SPACE
from onnxpress.format.processors import UNREACHABLE, Canonical, Segmentation
from onnxpress.text.slow.charsmap import Charsmap
from onnxpress.text.slow.unigram import Unigram

_CODE = re.compile(r">>.*?<<", re.DOTALL)
_SPACES = re.compile(" {2,}")
_WHITE = re.compile(r"\s+")


class SentencePieces:
    """`names`: id -> token, unreachable ones marked. `scores`: the pieces of a unigram model with their log
    probabilities; None for a byte-pair model, whose merges `merge` knows: text -> ids and what they cover."""

    def __init__(
        self,
        settings: Segmentation,
        charsmap: Charsmap | None,
        names: Mapping[int, str],
        scores: Mapping[str, float] | None,
        merge: Callable[[str], Sequence[tuple[int, str]]],
    ) -> None:
        self._settings, self._charsmap, self._merge = settings, charsmap, merge
        self._rows = {
            name.removeprefix(UNREACHABLE): number for number, name in names.items() if number < settings.vocabulary
        }
        self._unigram = None if scores is None else Unigram(scores)

    def segment(self, text: str) -> list[int]:
        """The ids of a text without special tokens. Runs that the model cannot cut are looked up as they are."""
        pieces: list[str] = []
        if self._settings.canonical is not None:
            text = self._canonical(text, self._settings.canonical)
        if self._settings.leading_code and (code := _CODE.match(text)):
            pieces.append(code[0])
            text = text[code.end() :]
        if text := self.normalize(text):
            pieces += self._pieces(text)
        return [self._rows.get(piece, self._settings.unknown_id) for piece in pieces]

    def _canonical(self, text: str, settings: Canonical) -> str:
        text = text.lower() if settings.lower_case else text
        return _WHITE.sub(" ", text.translate(str.maketrans("", "", settings.removed))).strip()

    def _pieces(self, text: str) -> list[str]:
        if self._unigram is not None:
            return self._unigram.segment(text)
        return [piece for _, piece in self._merge(text)]

    def normalize(self, text: str) -> str:
        """Normalize a text to the form that the pieces are matched against."""
        if not text:
            return ""
        text = text if self._charsmap is None else self._charsmap.apply(text)
        if self._settings.remove_extra_whitespaces:
            text = _SPACES.sub(" ", text)
            if self._settings.canonical is None:  # to the model, something stands before such a text
                text = text.lstrip(" ")
            if not text:
                return ""
        text = (SPACE if self._settings.add_dummy_prefix else "") + text.replace(" ", SPACE)
        return text.rstrip(SPACE) if self._settings.remove_extra_whitespaces else text

    def join(self, names: Sequence[str], special: Collection[str]) -> str:
        """The text of tokens. Each run between special tokens is decoded on its own, as transformers does it."""
        if self._settings.joins_plainly:
            return "".join(name.removeprefix(UNREACHABLE) for name in names).replace(SPACE, " ").strip()
        parts: list[str] = []
        run: list[str] = []
        after_special = False
        for name in names:
            if (token := name.removeprefix(UNREACHABLE)) in special:
                before = "" if after_special and not run else self._settings.before_special
                parts += (before, self._join_run(run), token, self._settings.after_special)
                run, after_special = [], True
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
