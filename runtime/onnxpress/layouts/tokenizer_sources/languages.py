"""The languages of translators whose tokenizer.json says them with its added tokens: NLLB, mBART, mBART-50, M2M100.

The file holds the frame of one language, and not always the one that transformers puts around a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.format.processors import LanguageSettings
from onnxpress.layouts.tokenizer_sources.parts import Json, template, text_of

#: en_XX, eng_Latn
CODE = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")
_MARKED = re.compile(r"__([a-z]{2,3})__")


@dataclass(frozen=True, slots=True)
class _Family:
    """`position`: where the source language's token stands in a row. `source`: the usual one. `marked`: whether its
    token is `__en__`."""

    position: int
    source: str
    marked: bool = False

    def code_of(self, token: str) -> str | None:
        """The language of a token; None: it is of none."""
        marks = (_MARKED if self.marked else CODE).fullmatch(token)
        return None if marks is None else marks[1] if self.marked else token


_FAMILIES: Mapping[str, _Family] = {
    "NllbTokenizer": _Family(0, "eng_Latn"),
    "MBartTokenizer": _Family(-1, "en_XX"),
    "MBart50Tokenizer": _Family(0, "en_XX"),
    "M2M100Tokenizer": _Family(0, "en", marked=True),
}
#: model_type -> class, where tokenizer_config.json names a general one.
_CLASSES = {"m2m_100": "M2M100Tokenizer", "mbart": "MBartTokenizer", "nllb": "NllbTokenizer"}


def read_languages(
    content: Mapping[str, Any], settings: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[LanguageSettings, Json] | None:
    """The languages of a tokenizer.json, and what it puts around a text of the default one; None: it has none.

    Args:
        settings: tokenizer_config.json.
        config: config.json.
    """
    named = str(settings.get("tokenizer_class") or "").removesuffix("Fast")
    family = _FAMILIES.get(named) or _FAMILIES.get(_CLASSES.get(str(config.get("model_type", "")), ""))
    added = [token for token in content.get("added_tokens") or () if isinstance(token, Mapping)]
    ids = {str(token.get("content")): number for token in added if isinstance(number := token.get("id"), int)}
    if family is None:
        return None
    if family.marked and not any(map(family.code_of, ids)):
        family = _FAMILIES["NllbTokenizer"]  # its graphs are M2M100's
    tokens = {code: token for token in ids if (code := family.code_of(token)) is not None}
    codes = {code: ids[token] for code, token in tokens.items()}
    end = text_of(settings.get("eos_token")) or "</s>"
    source = settings.get("src_lang")
    source = source if source in codes else family.source
    if source not in codes or end not in ids:
        return None
    position = -1 if settings.get("legacy_behaviour") is True else family.position
    target = settings.get("tgt_lang")
    frame = f"{tokens[source]}:0 {{}} {end}:0" if position == 0 else f"{{}} {end}:0 {tokens[source]}:0"
    processor = template(
        frame.format("$A:0"), frame.format("$A:0 $B:0"), {k: v for k, v in ids.items() if v is not None}
    )
    return LanguageSettings(codes, position, "forced", source, target if target in codes else None), processor
