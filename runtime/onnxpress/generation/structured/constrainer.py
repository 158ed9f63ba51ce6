"""Grammars as constraints of the decode loop: which tokens keep a text in form. The only importer of llguidance.

Knows neither a model nor a search.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from onnxpress.errors import InputError, MissingDependency
from onnxpress.generation.rules import Scores
from onnxpress.generation.structured.grammars import Grammar
from onnxpress.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

#: Between the parts of a JSON text: as compact, and as spaced or indented, as people write it. Without a bound, a model
#: might write spaces for ever.
_SPACE = r"[ ]|\n[ ]{0,24}"

#: What stands for a space in tokens of sentencepiece.
_WORD_MARK = "\u2581"


class Constrainer:
    """Makes constraints for one tokenizer, whose vocabulary is read once. Thread-safe, picklable."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._vocabularies: dict[tuple[int, ...], LLTokenizer] = {}

    def constraint(self, grammar: Grammar, ends: Sequence[int]) -> GrammarConstraint:
        """What holds one row to a grammar; `ends` are the tokens that end a text.

        Raises:
            InputError: the grammar is not valid or asks for what cannot be constrained, or the tokenizer's tokens have
                no text of their own.
            MissingDependency: llguidance is not installed.
        """
        llguidance = _import()
        make = {
            "json_schema": lambda text: llguidance.LLMatcher.grammar_from_json_schema(
                text, overrides={"whitespace_pattern": _SPACE}
            ),
            "regex": llguidance.LLMatcher.grammar_from_regex,
            "grammar": llguidance.LLMatcher.grammar_from_lark,
        }[grammar.kind]
        limits = llguidance.LLParserLimits(verbose_errors=False)
        vocabulary = self._vocabulary(tuple(ends))
        try:
            matcher = llguidance.LLMatcher(vocabulary, make(grammar.text), log_level=0, limits=limits)
        except ValueError as error:
            raise InputError(f"The {_NAMES[grammar.kind]} is not valid: {_first(error)}.") from None
        if matcher.is_error():
            raise InputError(f"The {_NAMES[grammar.kind]} cannot be followed: {_first(matcher.get_error())}.")
        return GrammarConstraint(matcher)

    def _vocabulary(self, ends: tuple[int, ...]) -> LLTokenizer:
        if self._pid != os.getpid():  # another thread of the parent may have held the lock
            self._lock, self._pid = threading.Lock(), os.getpid()
        with self._lock:
            if ends not in self._vocabularies:
                self._vocabularies[ends] = _read(self.tokenizer, ends)
            return self._vocabularies[ends]

    def __getstate__(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.tokenizer = state["tokenizer"]
        self._start()


_NAMES = {"json_schema": "JSON schema", "regex": "regular expression", "grammar": "grammar"}


class GrammarConstraint:
    """Holds one row to a grammar. Implements `constraints.Constraint`."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def restrict(self, scores: Scores) -> None:
        """Set what may not come to minus infinity: float32 (vocabulary).

        Raises:
            InputError: the grammar is too large to be followed.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        self._check()
        allowed = np.unpackbits(bits, count=min(len(scores), 8 * len(bits)), bitorder="little").view(np.bool_)
        np.copyto(scores[: len(allowed)], -np.inf, where=~allowed)
        scores[len(allowed) :] = -np.inf

    def advance(self, token: int) -> None:
        """This token came.

        Raises:
            InputError: it is not one that the grammar allows.
        """
        self._matcher.consume_token(token)
        self._check()

    def forced(self) -> Sequence[int]:
        """The tokens that must come now, often none."""
        return self._matcher.compute_ff_tokens()

    @property
    def ended(self) -> bool:
        """The text is complete, and nothing can follow."""
        return bool(self._matcher.is_stopped())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InputError(f"The text cannot be held to its form: {_first(self._matcher.get_error())}.")


def _read(tokenizer: Tokenizer, ends: tuple[int, ...]) -> LLTokenizer:
    llguidance = _import()
    target = tokenizer.target
    if target.settings.segmentation is None:
        try:
            return cast(
                "LLTokenizer",
                llguidance.LLTokenizer(target.file.read_text(encoding="utf-8"), eos_token=list(ends) or None),
            )
        except ValueError:  # a decoder that llguidance does not know
            if not any(_WORD_MARK in token for token in target.tokens()):
                raise InputError(
                    "Structured output needs a tokenizer whose tokens have a text of their own: byte-level BPE or "
                    "sentencepiece. This model's has not."
                ) from None
    return cast("LLTokenizer", llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Pieces(target, ends))))


class _Pieces:
    """The tokens of a sentencepiece vocabulary as bytes, as llguidance wants them."""

    def __init__(self, tokenizer: Tokenizer, ends: tuple[int, ...]) -> None:
        tokens = tokenizer.tokens()
        special = tokenizer.special_ids()
        self.eos_token_id = ends[0] if ends else tokenizer.special("eos")
        self.bos_token_id = None
        self.special_token_ids = sorted({*special, *ends})
        self.tokens = [
            token.encode() if number in special else token.replace(_WORD_MARK, " ").encode()
            for number, token in enumerate(tokens)
        ]
        self._ids = {token: number for number, token in enumerate(self.tokens) if token and number not in special}
        self._longest = max(map(len, self._ids), default=0)

    def __call__(self, text: bytes) -> list[int]:
        """The longest token at each place: the tokenizer itself would put a space before a text."""
        ids, place = [], 0
        while place < len(text):
            sizes = range(min(self._longest, len(text) - place), 0, -1)
            size = next((size for size in sizes if text[place : place + size] in self._ids), 0)
            if not size:
                break
            ids.append(self._ids[text[place : place + size]])
            place += size
        return ids


def _import() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingDependency("Structured output needs llguidance: `pip install 'onnxpress[structured]'`.") from error
    return llguidance


def _first(error: object) -> str:
    """What is wrong, on one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:300].rstrip(".") or "unknown"
