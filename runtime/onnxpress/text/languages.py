"""Languages of a translation checkpoint: their tokens, and how a target language is asked for. Knows no tokenizer."""

from __future__ import annotations

from onnxpress.errors import InputError
from onnxpress.format.processors import LanguageSettings

_SHOWN = 8


def language_id(settings: LanguageSettings | None, code: str) -> int:
    """The id of a language's token.

    Raises:
        InputError: there are no languages, or not this one.
    """
    codes = {} if settings is None else settings.codes
    if not codes:
        raise InputError(f"This model knows no languages, so {code!r} cannot be chosen. Leave the language out.")
    if not isinstance(code, str) or code not in codes:
        more = f" and {len(codes) - _SHOWN} more" if len(codes) > _SHOWN else ""
        raise InputError(f"No language {code!r}. This model knows {', '.join(list(codes)[:_SHOWN])}{more}.")
    return codes[code]


def with_target(settings: LanguageSettings | None, text: str, code: str) -> str:
    """The text that asks for a target language, where its token begins the text; elsewhere the text as it is.

    Raises:
        InputError: as `language_id`.
    """
    language_id(settings, code)
    return f">>{code}<< {text}" if settings is not None and settings.target == "text" else text
