"""Tokenizers that split texts as BERT's first tokenizer in Python does: ProphetNet's and RoCBert's."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side, add_tokens, enclose, names, refuse


def convert_prophetnet(tokenizer: Any) -> Conversion:
    """Convert one that puts an end after each text and nothing before it."""
    rust = _word_pieces(tokenizer)
    enclose(rust, None, tokenizer.sep_token)
    return Conversion(Side(rust))


def convert_roc_bert(tokenizer: Any) -> Conversion:
    """Convert one that encloses texts as BERT does. What it makes beside ids is a matter of the graph."""
    rust = _word_pieces(tokenizer)
    end, begin = ((str(token), tokenizer.vocab[str(token)]) for token in (tokenizer.sep_token, tokenizer.cls_token))
    rust.post_processor = processors.BertProcessing(end, begin)
    return Conversion(Side(rust))


def _word_pieces(tokenizer: Any) -> Tokenizer:
    """Convert to the parts that BERT's own tokenizers have in Rust.

    Characters that the running Python's Unicode does not know yet are dropped by transformers, and are letters to the
    Rust library: as with BERT.
    """
    if not tokenizer.do_basic_tokenize:
        raise refuse(tokenizer, "do_basic_tokenize is off")
    basic = tokenizer.basic_tokenizer
    if others := basic.never_split - set(tokenizer.all_special_tokens):
        raise refuse(tokenizer, f"never_split has {sorted(others)[0]!r}, which is no special token")
    rows = {row: number for number, row in enumerate(names(tokenizer, tokenizer.vocab))}
    rust = Tokenizer(WordPiece(rows, unk_token=str(tokenizer.unk_token), max_input_chars_per_word=100))
    rust.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=basic.tokenize_chinese_chars,
        strip_accents=basic.strip_accents,
        lowercase=basic.do_lower_case,
    )
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    add_tokens(tokenizer, rust)
    return rust
