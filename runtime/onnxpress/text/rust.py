"""The seam to the `tokenizers` library: its tokenizer without state, and its failures as named errors.

Truncation, padding and the post-processor are settings of the Rust tokenizer, not arguments of a call. They are taken
off when it is loaded and never set again, so that any number of threads may use it at once: `raw` gives the tokens of
a text as they are, `truncation.truncate` cuts them, `finish` puts the special tokens around them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from onnxpress.errors import CorruptFile, InputError, MissingDependency
from onnxpress.text.encodings import check_characters

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

_Result = TypeVar("_Result")

# From this many characters, or ids, on a text, or a list, is encoded or decoded without holding Python's lock, which
# costs some 50 microseconds.
_LONG = 4096


class StatelessTokenizer:
    """A `tokenizer.json`. Its calls change nothing.

    Raises:
        CorruptFile: the file is not a tokenizer.
        MissingDependency: tokenizers is not installed.
    """

    def __init__(self, file: Path) -> None:
        self.tokenizer = _load(file)
        self._processor = self.tokenizer.post_processor or _no_processor()
        self.tokenizer.post_processor = None

    def raw(self, text: str | list[str]) -> Encoding:
        """The tokens of one text, or of one text split into words, without special tokens. A long text is encoded
        while other threads run: `encode` holds Python's lock, `encode_batch` does not."""
        if isinstance(text, str) and len(text) >= _LONG:
            return self.raw_batch([text])[0]
        parts = [text] if isinstance(text, str) else text
        words = not isinstance(text, str)
        return guarded(lambda: self.tokenizer.encode(text, is_pretokenized=words, add_special_tokens=False), parts)

    def raw_batch(self, texts: Sequence[str]) -> list[Encoding]:
        """The tokens of each text, without special tokens. Other threads run meanwhile, unless the texts are few and
        short: sharing them out among the cores would take longer than they do."""
        if sum(map(len, texts)) < _LONG:
            return [self.raw(text) for text in texts]
        return guarded(lambda: self.tokenizer.encode_batch(list(texts), add_special_tokens=False), texts)

    def finish(self, first: Encoding, second: Encoding | None, special_tokens: bool) -> Encoding:
        """What `raw` gave for a text or a pair, with type ids and, if wanted, special tokens."""
        encoding: Encoding = guarded(lambda: self._processor.process(first, second, special_tokens))
        return encoding

    def special_count(self, *, pair: bool) -> int:
        """How many special tokens are added to a text or a pair."""
        return int(self._processor.num_special_tokens_to_add(pair))

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Token ids to text. Many ids are decoded while other threads run, as a long text is encoded."""
        if len(ids) >= _LONG:
            rows = [list(ids)]
            return guarded(lambda: self.tokenizer.decode_batch(rows, skip_special_tokens=skip_special_tokens))[0]
        return str(guarded(lambda: self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)))


def guarded(call: Callable[[], _Result], texts: Sequence[str] = ()) -> _Result:
    """What a call into the library returns. `texts`: those that it is about.

    A panic of the Rust code arrives as a PanicException, which is no Exception: `except Exception` lets it end the
    program. The library has by then written a trace to stderr, which cannot be kept from there without taking stderr
    from all threads.

    Raises:
        InputError: the library cannot take the text, or failed on it.
    """
    try:
        return call()
    except Exception as error:  # the Rust extension raises plain Exception
        check_characters(texts)
        raise InputError(f"The text cannot be tokenized ({error}).") from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise InputError(
            f"The text cannot be tokenized: the tokenizers library failed on it ({error}). Leave this text out, or "
            "change it."
        ) from None


def _load(file: Path) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingDependency("tokenizers is not installed: `pip install 'onnxpress[cpu]'`.") from error
    try:
        tokenizer = guarded(lambda: Tokenizer.from_file(os.fspath(file)))
    except InputError as error:
        reason = str(error).partition("(")[2].rpartition(")")[0]
        raise CorruptFile(f"{file}: not a tokenizer ({reason}). Export or download the artifact again.") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _no_processor() -> Any:
    """What stands in for a missing post-processor: it adds nothing."""
    from tokenizers.processors import Sequence as Processors

    return Processors([])
