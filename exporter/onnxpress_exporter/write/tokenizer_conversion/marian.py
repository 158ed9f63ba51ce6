"""MarianTokenizer: a sentencepiece model for each language, and one vocabulary for both or one for each.

transformers 5 reads no punctuation normalizer, installed or not: its `normalize` is never called while tokenizing.
"""

from __future__ import annotations

from typing import Any

from onnxpress.format.processors import LanguageSettings
from onnxpress.layouts.tokenizer_sources.translators import target_rows
from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side, names
from onnxpress_exporter.write.tokenizer_conversion.sentencepiece_model import Layout, added_tokens, side


def convert_marian(tokenizer: Any) -> Conversion:
    """The source side encodes; it decodes too, unless the target language has a vocabulary of its own."""
    source = _side(tokenizer, tokenizer.spm_source, names(tokenizer, tokenizer.encoder), "charsmap.bin")
    if not tokenizer.separate_vocabs:
        return Conversion(source, languages=_languages(tokenizer))
    rows = target_rows(names(tokenizer, tokenizer.target_encoder, added=False), added_tokens(tokenizer))
    return Conversion(source, _side(tokenizer, tokenizer.spm_target, rows, "charsmap_target.bin"))


def _side(tokenizer: Any, processor: Any, rows: list[str], charsmap_file: str) -> Side:
    added = {number: token.content for number, token in tokenizer.added_tokens_decoder.items()}
    layout = Layout(
        rows=rows,
        prefix=(),
        suffix=(int(tokenizer.eos_token_id),),
        charsmap_file=charsmap_file,
        leading_code=True,
        after_special=" ",
        apart=tuple(token for number, token in added.items() if number >= len(rows)),
        foreign_pieces=True,
    )
    return side(tokenizer, processor, layout)


def _languages(tokenizer: Any) -> LanguageSettings | None:
    """The languages of a model with several target languages: `>>fr<<` begins the text."""
    codes = {code[2:-2]: int(tokenizer.encoder[code]) for code in tokenizer.supported_language_codes}
    target = tokenizer.target_lang if tokenizer.target_lang in codes else None
    return LanguageSettings(codes, target="text", default_target=target) if codes else None
