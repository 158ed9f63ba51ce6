"""Tokenizers that split texts as BERT's first tokenizer in Python does: ProphetNet's and RoCBert's."""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side, add_tokens, enclose, names, refuse

#: Letters with a case, and characters that do not end a word for them, as the Unicode Standard, section 3.13, has them.
_CASED = r"\p{Lu}\p{Ll}\p{Lt}\p{Other_Lowercase}\p{Other_Uppercase}"
_IGNORED = (
    r"\p{Mn}\p{Me}\p{Cf}\p{Lm}\p{Sk}'.:\x{B7}\x{387}\x{55F}\x{5F4}\x{2018}\x{2019}\x{2024}\x{2027}"
    r"\x{FE13}\x{FE52}\x{FE55}\x{FF07}\x{FF0E}\x{FF1A}"
)

#: A capital sigma at the end of a word, of which Python makes another small letter than of others, and the Rust library
#: does not.
_FINAL_SIGMA = rf"[{_CASED}][{_IGNORED}]*\K\x{{3A3}}(?![{_IGNORED}]*[{_CASED}])"


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
    rust.normalizer = _normalizer(basic)
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    add_tokens(tokenizer, rust)
    return rust


def _normalizer(basic: Any) -> normalizers.Normalizer:
    strips = bool(basic.do_lower_case) if basic.strip_accents is None else bool(basic.strip_accents)
    clean = {"clean_text": True, "handle_chinese_chars": bool(basic.tokenize_chinese_chars)}
    if not basic.do_lower_case:
        return normalizers.BertNormalizer(**clean, strip_accents=strips, lowercase=False)
    return normalizers.Sequence(
        [
            normalizers.BertNormalizer(**clean, strip_accents=False, lowercase=False),
            normalizers.Replace(Regex(_FINAL_SIGMA), "\N{GREEK SMALL LETTER FINAL SIGMA}"),
            normalizers.BertNormalizer(
                clean_text=False, handle_chinese_chars=False, strip_accents=strips, lowercase=True
            ),
        ]
    )
