"""Text to token ids and back, as the checkpoint's own tokenizer does it. The only importer of tokenizers.

Truncation is a setting of the Rust tokenizer, not an argument of a call, so each call sets it and encodes under a
lock. Padding is done in batching.py. This module knows nothing of tasks or graphs.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from onnxpress.errors import CorruptFile, InputError, MissingDependency
from onnxpress.format.processors import TokenizerSettings
from onnxpress.text.encodings import Encoding, Strategy, Truncation, replaced
from onnxpress.text.languages import language_id, with_target
from onnxpress.text.slow.encoder import PieceEncoder
from onnxpress.text.stream_decoder import StreamDecoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RustTokenizer

__all__ = ["Encoding", "Strategy", "StreamDecoder", "Tokenizer", "Truncation", "clean_up"]


class Tokenizer:
    """A `tokenizer.json` with its settings. Thread-safe; reopens lazily in a fork and after unpickling.

    Raises:
        CorruptFile: the file is not a tokenizer.
        MissingDependency: tokenizers is not installed.
    """

    def __init__(self, file: Path, settings: TokenizerSettings) -> None:
        self.file = file
        self.settings = settings
        self._start()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._truncation: Truncation | Literal["unknown"] | None = None
        self._rust = _load(self.file)
        self._pieces: PieceEncoder | None = None
        if (segmentation := self.settings.segmentation) is not None:
            self._pieces = PieceEncoder(self.file, self.settings, segmentation, self._merge)
        target = self.settings.target
        #: The tokenizer of the target side, which decodes; this one where both sides share it.
        self.target: Tokenizer = self if target is None else Tokenizer(self.file.parent / target.file, target)

    def _merge(self, text: str) -> list[tuple[int, str]]:
        data = text.encode()  # the model counts bytes
        tokens = ((token.id, token.offsets) for token in self._rust.model.tokenize(text))
        return [(number, data[start:end].decode()) for number, (start, end) in tokens]

    def encode(
        self,
        text: str | Sequence[str],
        pair: str | None = None,
        *,
        truncation: Truncation | None = None,
        special_tokens: bool = True,
        source_language: str | None = None,
        target_language: str | None = None,
    ) -> Encoding:
        """Encode a text, a pair of texts, or a text already split into words (a sequence of strings).

        The target language only matters to models that read it from the text; others are told by the first token that
        they generate (`language_id`). Without a source language, the checkpoint's default stands in the row.

        Raises:
            InputError: not text, or `max_length` leaves no room beside the special tokens or the stride, or the model
                does not know the language.
        """
        words = not isinstance(text, str)
        if words and not all(isinstance(word, str) for word in text):
            raise InputError(f"Expected a text or a list of words, got {_shown(text)}.")
        if pair is not None and not isinstance(pair, str):
            raise InputError(f"Expected a text as second of the pair, got {_shown(pair)}.")
        first = text if isinstance(text, str) else list(text)
        source_id = None if source_language is None else self.language_id(source_language)
        if target_language is not None:
            if not isinstance(first, str):
                self.language_id(target_language)
            else:
                first = with_target(self.settings.languages, first, target_language)
        encoding = self._encode(first, pair, truncation, special_tokens)
        if truncation is not None and len(encoding.ids) > truncation.max_length:
            raise InputError(_encode_error("it leaves no room for the text", truncation))
        position = None if self.settings.languages is None else self.settings.languages.source_position
        if source_id is None or position is None or not special_tokens:
            return encoding
        return replaced(encoding, position, source_id, self.token(source_id))

    def _encode(
        self, first: str | list[str], pair: str | None, truncation: Truncation | None, special_tokens: bool
    ) -> Encoding:
        words = not isinstance(first, str)
        if self._pieces is not None:
            if words:
                raise InputError("This tokenizer takes texts, not words. Join the words with spaces.")
            return self._pieces.encode(str(first), pair, truncation, special_tokens)
        self._after_fork()
        with self._lock:
            fits = self._room(first, pair, truncation, special_tokens)
            self._set(truncation if fits else None)
            try:
                encoding: Encoding = self._rust.encode(
                    first, pair, is_pretokenized=words, add_special_tokens=special_tokens
                )
            except Exception as error:  # the Rust extension raises plain Exception
                raise InputError(_encode_error(error, truncation)) from None
        return encoding

    def language_id(self, code: str) -> int:
        """The id of a language's token: what to force as first generated token, where the target is asked for so.

        Raises:
            InputError: the model does not know the language.
        """
        return language_id(self.settings.languages, code)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool = False, cleans_up: bool | None = None) -> str:
        """Token ids (of the target side, where the sides differ) to text. `cleans_up`: remove spaces as `clean_up`
        does; None: where the checkpoint does."""
        if self.target is not self:
            return self.target.decode(ids, skip_special_tokens=skip_special_tokens, cleans_up=cleans_up)
        text = self._text(ids, skip_special_tokens)
        return clean_up(text) if self._cleans_up(cleans_up) else text

    def _cleans_up(self, asked: bool | None) -> bool:
        return self.settings.clean_up_tokenization_spaces if asked is None else asked

    def _text(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        if self._pieces is not None:
            return self._pieces.decode(ids, skip_special_tokens)
        return str(self._rust.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def stream_decoder(self, *, skip_special_tokens: bool = True, cleans_up: bool | None = None) -> StreamDecoder:
        """Decode a row as it grows: the pieces, joined, are what `decode` gives for the whole."""
        if self.target is not self:
            return self.target.stream_decoder(skip_special_tokens=skip_special_tokens, cleans_up=cleans_up)
        return StreamDecoder(
            lambda ids: self._text(ids, skip_special_tokens),
            self.token,
            skipped=self.special_ids() if skip_special_tokens else (),
            clean_up=clean_up if self._cleans_up(cleans_up) else None,
        )

    def join(self, tokens: Sequence[str]) -> str:
        """Tokens to text as the tokenizer's decoder joins them, without clean-up."""
        decoder = self._rust.decoder
        return str(decoder.decode(list(tokens))) if decoder is not None else " ".join(tokens)

    def token(self, token_id: int) -> str:
        """The token of an id, "" if there is none."""
        if self._pieces is not None:
            return self._pieces.token(token_id)
        return self._rust.id_to_token(token_id) or ""

    def tokens(self) -> list[str]:
        """Every token, by id; "" where there is none."""
        vocabulary = self._rust.get_vocab(with_added_tokens=True)
        return [self.token(number) for number in range(max(vocabulary.values(), default=-1) + 1)]

    def special_ids(self) -> set[int]:
        """The ids of tokens that are no text: what `skip_special_tokens` skips."""
        return {number for number, token in self._rust.get_added_tokens_decoder().items() if token.special}

    def token_id(self, token: str) -> int | None:
        """The id of a token, None if the vocabulary does not have it."""
        return self._rust.token_to_id(token)

    def special(self, kind: str) -> int | None:
        """The id of a special token by kind ("mask", "cls", "sep", "unk", "bos", "eos"), None if there is none."""
        entry = self.settings.special_tokens.get(kind)
        return None if entry is None else entry.id

    def special_count(self, *, pair: bool) -> int:
        """How many special tokens are added to a text or a pair."""
        if self._pieces is not None:
            return self._pieces.special_count
        return int(self._rust.num_special_tokens_to_add(pair))

    @property
    def marks_subwords(self) -> bool:
        """Whether tokens that continue a word carry a prefix, as WordPiece's ## does."""
        return bool(getattr(self._rust.model, "continuing_subword_prefix", None))

    def _room(
        self, text: str | Sequence[str], pair: str | None, truncation: Truncation | None, special_tokens: bool
    ) -> bool:
        """Whether the tokenizer can cut with this truncation at all. Where it cannot, the Rust library does not cut
        (less room than special tokens) or aborts with a trace on stderr (less room than the stride)."""
        if truncation is None:
            return True
        room = truncation.max_length - (self.special_count(pair=pair is not None) if special_tokens else 0)
        if truncation.stride > 0 and pair is not None:
            kept = {"only_first": pair, "only_second": text}.get(truncation.strategy)
            if kept is not None:
                self._set(None)
                whole = self._rust.encode(kept, is_pretokenized=not isinstance(kept, str), add_special_tokens=False)
                room -= len(whole.ids)
        return room > truncation.stride if truncation.stride else room >= 0

    def _set(self, truncation: Truncation | None) -> None:
        if truncation == self._truncation:
            return
        self._truncation = "unknown"  # until it is done: Ctrl-C may come between any two of these lines
        if truncation is None:
            self._rust.no_truncation()
        else:
            side = truncation.side or self.settings.truncation_side
            try:
                self._rust.enable_truncation(
                    max_length=truncation.max_length,
                    stride=truncation.stride,
                    strategy=truncation.strategy,
                    direction=side,
                )
            except Exception as error:
                raise InputError(_encode_error(error, truncation)) from None
        self._truncation = truncation

    def _after_fork(self) -> None:
        if self._pid != os.getpid():  # another thread of the parent may have held the lock
            self._lock = threading.Lock()
            self._pid = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file, "settings": self.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.file, self.settings = state["file"], state["settings"]
        self._start()


_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def clean_up(text: str) -> str:
    """Remove the spaces that word-level decoding puts before English punctuation, as transformers does."""
    for before, after in _CLEAN_UP:
        text = text.replace(before, after)
    return text


def _load(file: Path) -> RustTokenizer:
    try:
        from tokenizers import Tokenizer as RustTokenizer
    except ImportError as error:
        raise MissingDependency("tokenizers is not installed: `pip install onnxpress[cpu]`.") from error
    try:
        rust = RustTokenizer.from_file(os.fspath(file))
    except Exception as error:  # the Rust extension raises plain Exception
        raise CorruptFile(f"{file}: not a tokenizer ({error}). Export or download the artifact again.") from None
    rust.no_truncation()
    rust.no_padding()
    return rust


def _encode_error(error: object, truncation: Truncation | None) -> str:
    if truncation is None:
        return f"The text cannot be tokenized ({error})."
    return (
        f"The text cannot be cut to {truncation.max_length} tokens with a stride of {truncation.stride} "
        f"({error}). Choose a larger maximum length or a smaller stride."
    )


def _shown(value: object) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"
