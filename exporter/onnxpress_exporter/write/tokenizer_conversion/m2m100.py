"""M2M100Tokenizer and Speech2TextTokenizer: one sentencepiece model, a vocabulary, and tokens for the languages."""

from __future__ import annotations

from typing import Any

from onnxpress.format.processors import LanguageSettings
from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, names, refuse
from onnxpress_exporter.write.tokenizer_conversion.sentencepiece_model import Layout, side


def convert_m2m100(tokenizer: Any) -> Conversion:
    """The source language's token begins a row; the target language's is the first to be generated."""
    layout = Layout(
        rows=names(tokenizer, {**tokenizer.encoder, **tokenizer.lang_token_to_id}),
        prefix=tuple(map(int, tokenizer.prefix_tokens)),
        suffix=tuple(map(int, tokenizer.suffix_tokens)),
    )
    languages = LanguageSettings(
        codes={code: int(number) for code, number in tokenizer.lang_code_to_id.items()},
        source_position=0,
        target="forced",
        default_source=tokenizer.src_lang,
        default_target=tokenizer.tgt_lang,
    )
    return Conversion(side(tokenizer, tokenizer.sp_model, layout), languages=languages)


def convert_speech_to_text(tokenizer: Any) -> Conversion:
    """Texts are what the model says, so there is no source language."""
    if tokenizer.do_upper_case:
        raise refuse(tokenizer, "it writes decoded text in capitals")
    layout = Layout(
        rows=names(tokenizer, tokenizer.encoder),
        prefix=tuple(map(int, tokenizer.prefix_tokens)),
        suffix=(int(tokenizer.eos_token_id),),
        after_special=" ",
    )
    codes = {code: int(number) for code, number in tokenizer.lang_code_to_id.items()}
    languages = LanguageSettings(codes, target="forced", default_target=tokenizer.tgt_lang) if codes else None
    return Conversion(side(tokenizer, tokenizer.sp_model, layout), languages=languages)
