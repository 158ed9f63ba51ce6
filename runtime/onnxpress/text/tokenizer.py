"""Text to token ids and back, as the checkpoint's own tokenizer does it.

Padding is done in batching.py. This module knows nothing of tasks or graphs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.ctc.frames import collapsed
from onnxpress.errors import InputError
from onnxpress.format.processors import TokenizerSettings
from onnxpress.text.encodings import Cut, Encoding, Strategy, Truncation, replaced
from onnxpress.text.languages import language_id, with_target
from onnxpress.text.rust import StatelessTokenizer, guarded
from onnxpress.text.stream_decoder import StreamDecoder
from onnxpress.text.truncation import Parts, cannot_cut, truncate

if TYPE_CHECKING:
    from onnxpress.text.slow.encoder import PieceEncoder

#: Ids of the tokenizers library are below.
_MOST_IDS = 2**32

__all__ = ["Encoding", "Strategy", "StreamDecoder", "Tokenizer", "Truncation", "clean_up"]


class Tokenizer:
    """A `tokenizer.json` with its settings. Calls change nothing, so that threads and forks may share it.

    `files`: where the other files are that the settings name; those that are not in it lie beside `file`.

    Raises:
        CorruptFile: a file is not what the settings say.
        MissingDependency: tokenizers is not installed.
    """

    def __init__(self, file: Path, settings: TokenizerSettings, files: Mapping[str, Path] | None = None) -> None:
        self.file = file
        self.settings = settings
        self._files = dict(files or {})
        self._open()

    def _open(self) -> None:
        self._stateless = StatelessTokenizer(self.file)
        self._rust = self._stateless.tokenizer
        self._pieces: PieceEncoder | None = None
        if (segmentation := self.settings.segmentation) is not None:
            charsmap = None if segmentation.charsmap_file is None else self._path(segmentation.charsmap_file)
            from onnxpress.text.slow.encoder import PieceEncoder

            self._pieces = PieceEncoder(self.file, self.settings, segmentation, charsmap, self._merge)
        target = self.settings.target
        #: The tokenizer of the target side, which decodes; this one where both sides share it.
        self.target: Tokenizer = self
        if target is not None:
            self.target = Tokenizer(self._path(target.file), target, self._files)

    def _path(self, name: str) -> Path:
        return self._files.get(name, self.file.parent / name)

    def _merge(self, text: str) -> list[tuple[int, str]]:
        data = text.encode()  # the model counts bytes
        tokens = ((token.id, token.offsets) for token in guarded(lambda: self._rust.model.tokenize(text)))
        return [(number, data[start:end].decode()) for number, (start, end) in tokens]

    def encode(
        self,
        text: str | Sequence[str],
        pair: str | Sequence[str] | None = None,
        *,
        truncation: Truncation | None = None,
        special_tokens: bool = True,
        source_language: str | None = None,
        target_language: str | None = None,
    ) -> Encoding:
        """Encode a text or a pair of texts, each as it is, or both already split into words (a sequence of strings).

        The target language only matters to models that read it from the text; others are told by the first token that
        they generate (`language_id`). Without a source language, the checkpoint's default stands in the row.

        Raises:
            InputError: not text, or `max_length` leaves no room beside the special tokens or the stride, or the model
                does not know the language.
        """
        first = self._checked(text, target_language)
        _check_pair(first, pair)
        source_id = None if source_language is None else self.language_id(source_language)
        if self._pieces is None:
            second = None if pair is None else self._stateless.raw(pair if isinstance(pair, str) else list(pair))
            encoding = self._finished(self._stateless.raw(first), second, truncation, special_tokens)
        else:
            encoding = self._in_pieces(first, pair, truncation, special_tokens)
        return self._with_source(encoding, source_id, special_tokens)

    def encode_batch(
        self,
        texts: Sequence[str | Sequence[str]],
        pairs: Sequence[str | None] | None = None,
        *,
        truncation: Truncation | None = None,
        special_tokens: bool = True,
        source_language: str | None = None,
        target_language: str | None = None,
    ) -> list[Encoding]:
        """Each text, or pair of a text and the one at its place in `pairs`, as `encode` gives it, while other threads
        run.

        Raises:
            InputError: as `encode`.
        """
        source_id = None if source_language is None else self.language_id(source_language)
        checked = [self._checked(text, target_language) for text in texts]
        seconds = [None] * len(checked) if pairs is None else list(pairs)
        for first, second in zip(checked, seconds, strict=True):
            _check_pair(first, second)
        plain = [text for text in checked if isinstance(text, str)]
        if self._pieces is not None or len(plain) < len(checked):
            encodings = [
                self.encode(first, second, truncation=truncation, special_tokens=special_tokens)
                for first, second in zip(checked, seconds, strict=True)
            ]
        else:
            raw = iter(self._stateless.raw_batch([*plain, *(text for text in seconds if text is not None)]))
            firsts = list(islice(raw, len(plain)))
            encodings = [
                self._finished(first, None if second is None else next(raw), truncation, special_tokens)
                for first, second in zip(firsts, seconds, strict=True)
            ]
        return [self._with_source(encoding, source_id, special_tokens) for encoding in encodings]

    def _checked(self, text: str | Sequence[str], target_language: str | None) -> str | list[str]:
        """The text or words, with what asks for the target language."""
        if not isinstance(text, str) and not all(isinstance(word, str) for word in text):
            raise InputError(f"Expected a text or a list of words, got {_shown(text)}.")
        if target_language is None:
            return text if isinstance(text, str) else list(text)
        if isinstance(text, str):
            return with_target(self.settings.languages, text, target_language)
        self.language_id(target_language)
        return list(text)

    def _finished(self, first: Any, second: Any, truncation: Truncation | None, special_tokens: bool) -> Encoding:
        """Raw tokens of a text or a pair, cut, with special tokens."""
        if truncation is not None:
            special_count = self.special_count(pair=second is not None) if special_tokens else 0
            side = truncation.side or self.settings.truncation_side
            parts = truncate(first, second, truncation, truncation.max_length - special_count, side)
        else:
            parts = Parts(first, second)
        encoding: Encoding = self._stateless.finish(parts.first, parts.second, special_tokens)
        if truncation is not None and len(encoding.ids) > truncation.max_length:
            raise InputError(cannot_cut("it leaves no room for the text", truncation))
        if parts.with_overflowing is None:
            return encoding
        make_parts = parts.with_overflowing
        return Cut(encoding, lambda: self._overflowing(make_parts(), special_tokens))

    def _overflowing(self, parts: Parts, special_tokens: bool) -> list[Any]:
        return self._stateless.finish(parts.first, parts.second, special_tokens).overflowing

    def _in_pieces(
        self,
        first: str | list[str],
        pair: str | Sequence[str] | None,
        truncation: Truncation | None,
        special_tokens: bool,
    ) -> Encoding:
        assert self._pieces is not None
        if not isinstance(first, str) or not (pair is None or isinstance(pair, str)):
            raise InputError("This tokenizer takes texts, not words. Join the words with spaces.")
        encoding = self._pieces.encode(first, pair, truncation, special_tokens)
        if truncation is not None and len(encoding.ids) > truncation.max_length:
            raise InputError(cannot_cut("it leaves no room for the text", truncation))
        return encoding

    def _with_source(self, encoding: Encoding, source_id: int | None, special_tokens: bool) -> Encoding:
        """With the token of the source language where the model wants it."""
        position = None if self.settings.languages is None else self.settings.languages.source_position
        if source_id is None or position is None or not special_tokens:
            return encoding
        return replaced(encoding, position, source_id, self.token(source_id))

    def language_id(self, code: str) -> int:
        """The id of a language's token: what to force as first generated token, where the target is asked for so.

        Raises:
            InputError: the model does not know the language.
        """
        return language_id(self.settings.languages, code)

    def decode(
        self,
        ids: Sequence[int],
        *,
        skip_special_tokens: bool = False,
        cleans_up: bool | None = None,
        group_tokens: bool = True,
    ) -> str:
        """Token ids (of the target side, where the sides differ) to text. `cleans_up`: remove spaces as `clean_up`
        does; None: where the checkpoint does. `group_tokens`, of a tokenizer with a blank: neighbours of one id are one
        token, as a CTC model answers them; False: they are several."""
        if self.target is not self:
            return self.target.decode(ids, skip_special_tokens=skip_special_tokens, cleans_up=cleans_up)
        if (blank := self.settings.blank) is not None:
            if self._pieces is not None:  # here transformers leaves special tokens out of the moments, not of the text
                skipped = self.special_ids() if skip_special_tokens else ()
                ids = [number for number in self._pieces.known(ids) if number not in skipped]
            ids = collapsed(ids, blank, group=group_tokens)
        text = self._text(ids, skip_special_tokens)
        return clean_up(text) if self._cleans_up(cleans_up) else text

    def _cleans_up(self, asked: bool | None) -> bool:
        return self.settings.clean_up_tokenization_spaces if asked is None else asked

    def _text(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        if self._pieces is not None:
            return self._pieces.decode(ids, skip_special_tokens)
        return self._stateless.decode(ids, skip_special_tokens=skip_special_tokens)

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
        return " ".join(tokens) if decoder is None else str(guarded(lambda: decoder.decode(list(tokens))))

    def token(self, token_id: int) -> str:
        """The token of an id, "" if there is none."""
        if self._pieces is not None:
            return self._pieces.token(token_id)
        return self._rust.id_to_token(token_id) or ""

    def tokens(self) -> list[str]:
        """Every token, by id; "" where there is none."""
        vocabulary = self._rust.get_vocab(with_added_tokens=True)
        return [self.token(number) for number in range(max(vocabulary.values(), default=-1) + 1)]

    def vocabulary_size(self, *, added: bool) -> int:
        """How many tokens there are, with or without those that were added to the model's."""
        return int(self._rust.get_vocab_size(with_added_tokens=added))

    def added_tokens(self) -> dict[str, int]:
        """The tokens that were added to the model's, and their ids, in the order of the ids."""
        return {token.content: number for number, token in sorted(self._rust.get_added_tokens_decoder().items())}

    def special_ids(self) -> set[int]:
        """The ids of tokens that are no text: what `skip_special_tokens` skips."""
        return {number for number, token in self._rust.get_added_tokens_decoder().items() if token.special}

    def special_texts(self) -> set[str]:
        """The texts of those that were added."""
        return {token.content for token in self._rust.get_added_tokens_decoder().values() if token.special}

    def token_id(self, token: str) -> int | None:
        """The id of a token, None if the vocabulary does not have it."""
        number: int | None = guarded(lambda: self._rust.token_to_id(token), [token])
        return number

    def special(self, kind: str) -> int | None:
        """The id of a special token by kind ("mask", "cls", "sep", "unk", "bos", "eos"), None if there is none."""
        entry = self.settings.special_tokens.get(kind)
        return None if entry is None else entry.id

    def check_ids(self, ids: Sequence[int]) -> None:
        """Refuse ids that the model's table of tokens has no row for: what it answers for them means nothing.

        Raises:
            InputError: there is one; the message names its token.
        """
        rows = self.settings.vocabulary
        if rows is None or not len(ids) or (max(ids) < rows and min(ids) >= 0):
            return
        number = next(number for number in ids if not 0 <= number < rows)
        token = self.token(number) if 0 <= number < _MOST_IDS else ""  # the library takes no others
        raise InputError(
            f"The model has no row for the token {token!r} (id {number}): its table of tokens has {rows} "
            "rows, and the tokenizer knows more. Leave it out of the text."
        )

    def special_count(self, *, pair: bool) -> int:
        """How many special tokens are added to a text or a pair."""
        if self._pieces is not None:
            return self._pieces.special_count
        return self._stateless.special_count(pair=pair)

    @property
    def marks_subwords(self) -> bool:
        """Whether tokens that continue a word carry a prefix, as WordPiece's ## does."""
        return bool(getattr(self._rust.model, "continuing_subword_prefix", None))

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file, "settings": self.settings, "files": self._files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.file, self.settings, self._files = state["file"], state["settings"], state["files"]
        self._open()


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


def _check_pair(first: str | list[str], pair: object) -> None:
    if pair is None or (isinstance(first, str) and isinstance(pair, str)):
        return
    if not isinstance(pair, Sequence) or not all(isinstance(word, str) for word in pair):
        raise InputError(f"Expected a text or a list of words as second of the pair, got {_shown(pair)}.")
    if isinstance(first, str) or isinstance(pair, str):
        raise InputError("A pair is of two texts, or of two lists of words. Split both into words, or join the words.")


def _shown(value: object) -> str:
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 60 else shown[:57] + '...'}"
