"""Writes a transformers tokenizer as an exact tokenizer.json, and the settings that this file cannot hold.

Knows no task and no graph. "Exact" is proved, id for id, each time one is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.format.processors import LanguageSettings, SpecialToken, TokenizerSettings
from onnxpress.layouts.tokenizer_files import OFFSET_POSITIONS
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.tables import Tables
from onnxpress_exporter.write.tokenizer_conversion import Conversion, Side, convert, languages_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer as RustTokenizer
    from transformers import PreTrainedTokenizerBase

FILE_NAME = "tokenizer.json"
TARGET_FILE_NAME = "tokenizer_target.json"

# How many languages are tried when a tokenizer is proved: all of them share one template.
_LANGUAGES_TRIED = 3

# How many rows of ids are decoded then, and how long.
_TEXTS_TRIED, _IDS_TOGETHER = 300, 16

#: transformers writes about 1e30 where a tokenizer knows no limit.
UNLIMITED = 10**9

_SPECIAL_TOKENS = ("unk", "cls", "sep", "mask", "bos", "eos")

# Texts on which tokenizers differ when they differ: scripts, composition, control, spacing, length.
_PROBES: tuple[str, ...] = (
    "",
    " ",
    "  \t\n ",
    "Hello, World!",
    " leading and trailing ",
    "two  spaces, three   spaces\tand a tab\nand a line",
    "don't can't we've I'm isn't it's 'quoted' \"double\"",
    "UPPER lower MiXeD İstanbul ßtraße ﬁne ǅ",
    "caf\u00e9 cafe\u0301 na\u00efve \u00c5ngstr\u00f6m A\u030angstrom",
    "1,234.56 3.14e-10 2026-11-21 #tag @user a_b c++ 50% $9.99 http://example.org/?q=1&r=2",
    "你好，世界。自然语言处理 日本語テキスト 한국어 텍스트",
    "שלום עולם مرحبا بالعالم हिन्दी ไทย Ελληνικά Русский",
    "🙂 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ☃ ❤️",
    "zero\u200bwidth no\u00a0break soft\u00adhyphen bom\ufeff rtl\u202emark nul\x00 bell\x07 del\x7f",
    "\u2028line\u2029paragraph \u3000wide \u2009thin …—–“”‘’",
    "[CLS] [SEP] [MASK] [PAD] [UNK] <s> </s> <mask> <pad> <unk> <|endoftext|> <cls> <sep>",
    "a" * 300,
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "\U0001f9ff\U00020000 \ue000private \ufffd",
)


def write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write `folder`/tokenizer.json and what belongs to it; the runtime encodes with them exactly as `tokenizer` does.

    Raises UnsupportedCheckpoint if transformers does something to the ids that the runtime does not: single texts,
    pairs, with and without special tokens, in several languages, and the texts of the ids are compared.
    """
    from tokenizers import Tokenizer as RustTokenizer

    conversion = convert(tokenizer)
    if conversion is not None:
        _write(conversion.source, folder / FILE_NAME)
        if conversion.target is not None:
            _write(conversion.target, folder / TARGET_FILE_NAME)
    elif (backend := getattr(tokenizer, "backend_tokenizer", None)) is not None:
        _save(RustTokenizer.from_str(backend.to_str()), folder / FILE_NAME)
    else:
        raise UnsupportedCheckpoint(
            f"{type(tokenizer).__name__} has no exact version in the Rust `tokenizers` library, and no converter here."
        )
    _prove(tokenizer, Tokenizer(folder / FILE_NAME, _settings(tokenizer, None, conversion, Tables())))


def _write(side: Side, path: Path) -> None:
    _save(side.rust, path)
    for name, content in side.extra.items():
        path.with_name(name).write_bytes(content)


def _save(rust: RustTokenizer, path: Path) -> None:
    # Lengths are the runtime's business: a limit left in the file would cut texts silently.
    rust.no_truncation()
    rust.no_padding()
    rust.save(str(path), pretty=True)


def _prove(tokenizer: PreTrainedTokenizerBase, written: Tokenizer) -> None:
    """Raise UnsupportedCheckpoint unless both give the same ids, types and texts for every probe."""
    specials = tuple(token for token in tokenizer.all_special_tokens if token)
    texts = (*_PROBES, f"x {' '.join(specials)} y", f"x{''.join(specials)}y", *(f"a {token}" for token in specials))
    for special in (True, False):
        for text in texts:
            _same(tokenizer, written, text, None, special)
    for first, second in zip(texts, reversed(texts), strict=True):
        if second:  # transformers takes an empty second text for none at all
            _same(tokenizer, written, first, second, True)
    if written.target.settings.segmentation is not None:
        _prove_texts(tokenizer, written, written.target.settings.segmentation.vocabulary)
    languages = written.settings.languages
    if languages is not None and languages.source_position is not None:
        _prove_languages(tokenizer, written, languages)


def _prove_texts(tokenizer: Any, written: Tokenizer, rows: int) -> None:
    """Raise UnsupportedCheckpoint unless ids give the same text, neighbours from all over the vocabulary together."""
    step = max(_IDS_TOGETHER, rows // _TEXTS_TRIED)
    for start in range(0, rows, step):
        ids = list(range(start, min(start + _IDS_TOGETHER, rows)))
        for skip in (True, False):
            theirs = tokenizer.decode(ids, skip_special_tokens=skip)
            ours = written.decode(ids, skip_special_tokens=skip)
            if theirs != ours:
                raise UnsupportedCheckpoint(
                    f"{type(tokenizer).__name__} has no exact tokenizer.json: of the ids from {start} on transformers "
                    f"makes {theirs[:60]!r}, the runtime {ours[:60]!r}."
                )


def _prove_languages(tokenizer: Any, written: Tokenizer, languages: LanguageSettings) -> None:
    default = tokenizer.src_lang
    try:
        for code in list(languages.codes)[-_LANGUAGES_TRIED:]:
            tokenizer.src_lang = code
            for text in _PROBES:
                _same(tokenizer, written, text, None, True, code)
    finally:
        tokenizer.src_lang = default


def _same(
    tokenizer: Any, written: Tokenizer, text: str, pair: str | None, special: bool, language: str | None = None
) -> None:
    fast = getattr(tokenizer, "is_fast", False)
    expected = tokenizer(
        text,
        pair,
        add_special_tokens=special,
        truncation=False,
        padding=False,
        return_token_type_ids=True if special or fast else None,  # RoCBert's refuses the question
        verbose=False,
    )
    # transformers drops an empty pair
    encoding = written.encode(text, pair or None, special_tokens=special, source_language=language)
    compared: list[tuple[str, Any, Any]] = [("ids", expected["input_ids"], encoding.ids)]
    if "token_type_ids" in tokenizer.model_input_names or fast:
        compared.append(("token types", expected.get("token_type_ids", encoding.type_ids), encoding.type_ids))
    if written.settings.segmentation is not None and written.settings.target is None:
        for skip in (True, False):
            theirs = tokenizer.decode(encoding.ids, skip_special_tokens=skip)
            compared.append(("text", theirs, written.decode(encoding.ids, skip_special_tokens=skip)))
    for what, theirs, ours in compared:
        if list(theirs) != list(ours):
            shown = repr(text if pair is None else (text, pair))[:80]
            raise UnsupportedCheckpoint(
                f"{type(tokenizer).__name__} has no exact tokenizer.json: for {shown} transformers "
                f"gives the {what} {theirs[:12]!r}, the runtime {ours[:12]!r}."
            )


def _full_config(config: Any) -> Any:
    """Complete a config: config.json may leave out what equals its class's default."""
    if not isinstance(config, Mapping):
        return config
    from transformers import AutoConfig

    return AutoConfig.for_model(**{"model_type": "", **config})


def max_length_tokens(tokenizer: PreTrainedTokenizerBase, config: Any, tables: Tables) -> int | None:
    """The longest input in tokens, special ones included: what the tokenizer says and the model holds.

    `config` is config.json's content or transformers' object; None means no limit is known.
    """
    limits = [int(tokenizer.model_max_length)]
    config = _full_config(config)
    positions = getattr(config, "max_position_embeddings", getattr(config, "max_encoder_position_embeddings", None))
    if tables.positions and isinstance(positions, int) and positions > 0:
        padding = getattr(config, "pad_token_id", None)
        offset = 0
        if config.model_type in OFFSET_POSITIONS:
            offset = (1 if padding is None else int(padding)) + 1
        limits.append(positions - offset)
    limit = min(limits)
    return limit if limit < UNLIMITED else None


def tokenizer_settings(
    tokenizer: PreTrainedTokenizerBase, config: Any, tables: Tables | None = None
) -> TokenizerSettings:
    """Collect the settings that the runtime needs and tokenizer.json lacks.

    Without a padding token that the model has a row for, the one of its config or 0 fills rows: padded positions are
    masked. `tables`: the model's; None: nothing but its config is known.

    Raises:
        UnsupportedCheckpoint: the model has no row for a token that is put around every text.
    """
    settings = _settings(tokenizer, config, convert(tokenizer), tables or Tables())
    around = tokenizer("")["input_ids"]
    if settings.vocabulary is not None and (beyond := [number for number in around if number >= settings.vocabulary]):
        raise UnsupportedCheckpoint(
            f"The tokenizer puts {tokenizer.convert_ids_to_tokens(beyond[0])!r} (id {beyond[0]}) around every text, "
            f"but the model's table of tokens has {settings.vocabulary} rows. Resize it to the tokenizer "
            "(`model.resize_token_embeddings`), or save the model with the tokenizer that it was trained with."
        )
    return settings


def _settings(tokenizer: Any, config: Any, conversion: Conversion | None, tables: Tables) -> TokenizerSettings:
    special = {}
    for kind in _SPECIAL_TOKENS:
        token, number = getattr(tokenizer, f"{kind}_token"), getattr(tokenizer, f"{kind}_token_id")
        if token is not None and number is not None:
            special[kind] = SpecialToken(str(token), int(number))
    pads = (tokenizer.pad_token_id, getattr(_full_config(config), "pad_token_id", None), 0)
    settings = TokenizerSettings(
        file=FILE_NAME,
        input_names=tuple(tokenizer.model_input_names),
        max_length=max_length_tokens(tokenizer, config, tables),
        pad_token_id=next(
            int(pad) for pad in pads if pad is not None and (tables.tokens is None or pad < tables.tokens)
        ),
        pad_token_type_id=int(tokenizer.pad_token_type_id),
        padding_side="left" if tokenizer.padding_side == "left" else "right",
        truncation_side="left" if tokenizer.truncation_side == "left" else "right",
        clean_up_tokenization_spaces=_cleans_up(tokenizer),
        special_tokens=special,
        named_tokens=_named_tokens(tokenizer, special),
        vocabulary=tables.tokens,
        languages=languages_of(tokenizer) if conversion is None else conversion.languages,
        segmentation=None if conversion is None else conversion.source.segmentation,
        blank=_blank(tokenizer) if conversion is None else conversion.blank,
    )
    if conversion is None or conversion.target is None:
        return settings
    target = replace(
        settings, file=TARGET_FILE_NAME, languages=None, segmentation=conversion.target.segmentation, target=None
    )
    return replace(settings, target=target)


#: Tokenizers with a Rust version whose `decode` takes a CTC model's moments; their blank is the padding.
_OF_MOMENTS = ("ParakeetTokenizer", "LasrTokenizer")


def _blank(tokenizer: Any) -> int | None:
    return int(tokenizer.pad_token_id) if type(tokenizer).__name__ in _OF_MOMENTS else None


def _named_tokens(tokenizer: Any, special: Mapping[str, SpecialToken]) -> dict[str, str]:
    """What transformers lets chat templates know by name, beside the special tokens of every tokenizer."""
    known = {f"{kind}_token": token.text for kind, token in special.items()}
    return {name: text for name, text in tokenizer.special_tokens_map.items() if known.get(name) != text}


def _cleans_up(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether decoding removes spaces before punctuation: as set, but by default not where it would corrupt BPE."""
    if not tokenizer.clean_up_tokenization_spaces:
        return False
    if not hasattr(tokenizer, "backend_tokenizer"):
        return True
    forced = getattr(tokenizer, "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output", False)
    return bool(forced) or type(tokenizer.backend_tokenizer.model).__name__ != "BPE"
