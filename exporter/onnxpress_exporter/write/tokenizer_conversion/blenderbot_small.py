"""BlenderbotSmallTokenizer: byte-pair merges over lower-case words, continued pieces marked with "@@"."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE

from onnxpress.format.processors import Segmentation
from onnxpress.text.slow.blenderbot_small import END_OF_WORD
from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side, add_tokens, names, refuse

_CONTINUED = "@@"


def convert_blenderbot_small(tokenizer: Any) -> Conversion:
    """Convert the symbols of the merges to the rows that transformers looks up for them."""
    rows = names(tokenizer, tokenizer.encoder)
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    symbols = {row if row in added else _symbol(row): number for number, row in enumerate(rows)}
    if len(symbols) != len(rows):
        raise refuse(tokenizer, f"its vocabulary has tokens that end with {END_OF_WORD}")
    merges = [pair for pair, _ in sorted(tokenizer.bpe_ranks.items(), key=lambda item: item[1])]
    if wrong := next((pair for pair in merges if len(pair) != 2), None):
        raise refuse(tokenizer, f"merges.txt has the line {' '.join(wrong)!r}")
    for first, second in merges:
        for symbol in (first, second, first + second):
            symbols.setdefault(symbol, len(symbols))
    rust = Tokenizer(
        BPE(symbols, merges, unk_token=str(tokenizer.unk_token), end_of_word_suffix=END_OF_WORD, fuse_unk=False)
    )
    rust.normalizer = normalizers.Lowercase()
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.BPEDecoder(suffix=END_OF_WORD)
    add_tokens(tokenizer, rust)
    segmentation = Segmentation("blenderbot-small", len(rows), rows.index(str(tokenizer.unk_token)))
    return Conversion(Side(rust, segmentation))


def _symbol(row: str) -> str:
    return row.removesuffix(_CONTINUED) if row.endswith(_CONTINUED) else row + END_OF_WORD
