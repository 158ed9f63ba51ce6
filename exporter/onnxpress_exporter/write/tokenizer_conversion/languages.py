"""Languages of tokenizers that have a Rust version: NLLB, mBART, mBART-50. Their files hold one language's template."""

from __future__ import annotations

from typing import Any

from onnxpress.format.processors import LanguageSettings
from onnxpress.layouts.tokenizer_sources.languages import CODE
from onnxpress_exporter.write.tokenizer_conversion.base import refuse

_CLASSES = frozenset({"MBartTokenizer", "MBart50Tokenizer", "NllbTokenizer", "SeamlessM4TTokenizer"})


def languages_of(tokenizer: Any) -> LanguageSettings | None:
    """The languages of a tokenizer; None if it has no such notion."""
    if type(tokenizer).__name__ not in _CLASSES:
        return None
    tokens = [str(token) for token in tokenizer.all_special_tokens]
    codes = {token: int(tokenizer.convert_tokens_to_ids(token)) for token in tokens if CODE.fullmatch(token)}
    source = codes.get(str(tokenizer.src_lang))
    if source is None:
        raise refuse(tokenizer, f"its source language {tokenizer.src_lang!r} is none of its language tokens")
    row = tokenizer("").input_ids
    if source not in (row[0], row[-1]):
        raise refuse(tokenizer, f"the source language is neither first nor last in {row}")
    return LanguageSettings(
        codes=codes,
        source_position=0 if row[0] == source else -1,
        target="forced",
        default_source=str(tokenizer.src_lang),
        default_target=tokenizer.tgt_lang if tokenizer.tgt_lang in codes else None,
    )
