"""The result of a conversion, and what every converter needs of a slow tokenizer. Knows no tokenizer class."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnxpress.format.processors import LanguageSettings, Segmentation
from onnxpress_exporter.errors import UnsupportedCheckpoint

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a tokenizer. `segmentation`: what the runtime does beside tokenizer.json; None: the file says all.
    `extra`: file name -> content of what `segmentation` names."""

    rust: Tokenizer
    segmentation: Segmentation | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conversion:
    """A slow tokenizer, ready to be written. `target`: the other side, where it has a vocabulary of its own. `blank`:
    the id of CTC's blank, where it decodes moments."""

    source: Side
    target: Side | None = None
    languages: LanguageSettings | None = None
    blank: int | None = None


def refuse(tokenizer: Any, reason: str) -> UnsupportedCheckpoint:
    """The error that says why a tokenizer has no exact conversion."""
    return UnsupportedCheckpoint(f"{type(tokenizer).__name__} has no exact tokenizer.json here: {reason}.")


def names(tokenizer: Any, tokens: Mapping[str, int], *, added: bool = True) -> list[str]:
    """List the tokens by row number: those of the vocabulary and, with `added`, those added to it.

    Raises UnsupportedCheckpoint where two tokens share a row or a row has none.
    """
    rows = {number: token for token, number in tokens.items()}
    if len(rows) != len(tokens):
        raise refuse(tokenizer, "two tokens of its vocabulary share an id")
    if added:
        rows |= {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
    missing = next((number for number in range(max(rows) + 1) if number not in rows), None)
    if missing is not None:
        raise refuse(tokenizer, f"its vocabulary has no token with the id {missing}")
    ordered = [rows[number] for number in range(len(rows))]
    if len(set(ordered)) != len(ordered):
        raise refuse(tokenizer, "a token of its vocabulary has two ids")
    return ordered


def add_tokens(tokenizer: Any, rust: Tokenizer, plain: Collection[str] = ()) -> None:
    """Tell the Rust tokenizer which tokens are taken out of a text before all else, under their own ids.

    One whose id is behind the last row belongs to the other side. `plain`: tokens that decoding never skips.
    """
    from tokenizers import AddedToken

    special_ids, rows = set(tokenizer.all_special_ids), rust.get_vocab_size()
    for number, token in tokenizer.added_tokens_decoder.items():
        if number >= rows:
            continue
        if token.single_word:
            raise refuse(tokenizer, f"the token {token.content!r} is to be found between spaces only")
        copy = AddedToken(token.content, lstrip=token.lstrip, rstrip=token.rstrip, normalized=False)
        special = number in special_ids and token.content not in plain
        (rust.add_special_tokens if special else rust.add_tokens)([copy])
        if rust.token_to_id(token.content) != number:
            raise refuse(tokenizer, f"the token {token.content!r} would change its id {number}")


def frame(rust: Tokenizer, prefix: tuple[int, ...], suffix: tuple[int, ...]) -> None:
    """Put these ids around every text, for readers that know tokenizer.json alone."""
    from tokenizers.processors import TemplateProcessing

    before, after = ([str(rust.id_to_token(number)) for number in side] for side in (prefix, suffix))
    rust.post_processor = TemplateProcessing(
        single=[*before, "$A", *after],
        pair=[*before, "$A", "$B", *after],
        special_tokens=list(zip((*before, *after), (*prefix, *suffix), strict=True)),
    )


def enclose(rust: Tokenizer, before: str | None, after: str) -> None:
    """Put a token before the first text, if there is one, and one after each."""
    from tokenizers.processors import TemplateProcessing

    first = [] if before is None else [before]
    rust.post_processor = TemplateProcessing(
        single=[*first, "$A", after],
        pair=[*first, "$A", after, "$B", after],
        special_tokens=[(token, rust.token_to_id(token)) for token in dict.fromkeys((*first, after))],
    )
