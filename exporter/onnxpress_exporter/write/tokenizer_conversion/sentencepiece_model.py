"""Converts a side of a slow tokenizer that a sentencepiece model cuts. How, the runtime knows, which builds the same of
the files alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from onnxpress.layouts.tokenizer_sources.parts import AddedToken
from onnxpress.layouts.tokenizer_sources.piece_rows import PieceRows, piece_side
from onnxpress.layouts.tokenizer_sources.sentencepiece_file import parse_sentencepiece
from onnxpress_exporter.write.tokenizer_conversion.base import Side, refuse


@dataclass(frozen=True, slots=True)
class Layout:
    """What the tokenizer class says about a side. `rows`: row number -> token; `charsmap_file`: where to put it."""

    rows: Sequence[str]
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    charsmap_file: str = "charsmap.bin"
    leading_code: bool = False
    after_special: str = ""
    foreign_pieces: bool = False  # may the vocabulary hold pieces that the model lacks
    apart: tuple[str, ...] = ()


def added_tokens(tokenizer: Any) -> dict[int, AddedToken]:
    """Id -> token that transformers takes out of a text before all else."""
    special_ids = set(tokenizer.all_special_ids)
    return {
        number: AddedToken(
            token.content, token.lstrip, token.rstrip, special=number in special_ids, single_word=token.single_word
        )
        for number, token in tokenizer.added_tokens_decoder.items()
    }


def side(tokenizer: Any, processor: Any, layout: Layout) -> Side:
    """Convert the side of `tokenizer` whose text `processor`, a sentencepiece.SentencePieceProcessor, cuts.

    Raises UnsupportedCheckpoint for what has no exact counterpart: sampling, byte fallback, symbols of the model's
    own, spaces behind words.
    """
    model = parse_sentencepiece(processor.serialized_model_proto(), type(tokenizer).__name__)
    rows = PieceRows(
        rows=layout.rows,
        added=added_tokens(tokenizer),
        unknown=str(tokenizer.unk_token),
        prefix=layout.prefix,
        suffix=layout.suffix,
        charsmap_file=layout.charsmap_file,
        leading_code=layout.leading_code,
        after_special=layout.after_special,
        foreign_pieces=layout.foreign_pieces,
        apart=layout.apart,
        random=tokenizer.sp_model_kwargs,
    )
    built = piece_side(model, rows, lambda reason: refuse(tokenizer, reason))
    return Side(Tokenizer.from_str(json.dumps(built.content)), built.segmentation, built.extra)
