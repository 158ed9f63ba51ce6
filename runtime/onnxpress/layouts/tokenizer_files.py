"""What the tokenizer files of a checkpoint say, as the manifest of an artifact would say it. Opens no tokenizer.

Where there is no tokenizer.json, one is made of what there is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnxpress.errors import CorruptFile, MissingFile, UnsupportedFormat
from onnxpress.format.processors import Side, SpecialToken, TokenizerSettings
from onnxpress.layouts.files import MAX_TOKENIZER_BYTES, Files

# Imported where a tokenizer is read or made, which of an artifact of ours none is.
if TYPE_CHECKING:
    from onnxpress.layouts.tokenizer_sources import Built

TOKENIZER, SETTINGS, SPECIAL_TOKENS = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
#: The side of a target language that has a vocabulary of its own.
TARGET = "tokenizer_target.json"

_ADDED_FILE = "added_tokens.json"
#: Where a tokenizer is that tokenizer.json does not hold.
_SOURCES = (
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "spm.model"),
    *("tokenizer.model", "source.spm", "target.spm", "target_vocab.json"),
)

_KINDS = ("unk", "cls", "sep", "mask", "bos", "eos")

#: transformers writes about 1e30 where a tokenizer knows no limit.
_UNLIMITED = 10**9

#: Model types whose learned positions begin after the padding index: so many fewer tokens fit.
OFFSET_POSITIONS = frozenset(
    {
        *("bertweet", "camembert", "data2vec-text", "esm", "ibert", "longformer", "luke", "lilt"),
        *("markuplm", "layoutlmv3", "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta"),
        *("xlm-roberta-xl", "xmod"),
    }
)

TYPES = "token_type_ids"
_INPUTS = ("input_ids", TYPES, "attention_mask")
#: So many tokens, or one of so many, may lack a row in the model: they were added, and the table was not resized.
_ADDED, _ADDED_SHARE = 16, 50


def is_tokenizer_file(name: str) -> bool:
    """Whether a file belongs to a tokenizer, by its name."""
    named = (TOKENIZER, SETTINGS, SPECIAL_TOKENS, _ADDED_FILE, *_SOURCES, "chat_template.jinja", "chat_template.json")
    return "/" not in name and (name in named or name.endswith((".model", ".spm")))


def has_tokenizer(names: Collection[str]) -> bool:
    """Whether files are there, by their names, that a tokenizer can be made of."""
    return any(name in names for name in (TOKENIZER, *_SOURCES))


def usual_name(name: str) -> str:
    """What a tokenizer's file is usually called: the name itself, or that of files of its kind."""
    if is_tokenizer_file(name):
        return name
    return "vocab.txt" if name.endswith(".txt") else TOKENIZER


def read_tokenizer(files: Files, config: Mapping[str, Any], tables: Collection[tuple[int, ...]]) -> TokenizerSettings:
    """The settings of a checkpoint's tokenizer.

    Args:
        config: config.json.
        tables: the shapes of the graph's initializers with two axes: what has no row for a position has no limit.

    Raises:
        MissingFile: there is no tokenizer, in no form.
        UnsupportedFormat: it is of a class that cannot be made here of its sources.
        CorruptFile: a file is not what it should be.
    """
    built = None if TOKENIZER in files.names else _built(files, config)
    content = files.json(TOKENIZER, MAX_TOKENIZER_BYTES) if built is None else built.source.content
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise CorruptFile(f"{files.folder / TOKENIZER}: not a tokenizer. Download it again.")
    settings = {**files.settings(SPECIAL_TOKENS), **files.settings(SETTINGS)}
    if built is not None:
        usual = {f"{kind}_token": text for kind, text in built.named.items()}
        settings = {
            "model_input_names": list(built.input_names),
            "padding_side": built.padding_side,
            **settings,
            **usual,
        }
    ids = _ids(content)
    special = {
        kind: SpecialToken(text, ids[text])
        for kind in _KINDS
        if (text := _text(settings.get(f"{kind}_token"))) is not None and text in ids
    }
    vocabulary = _vocabulary(config, tables)
    _check_rows(files, ids, special, vocabulary if vocabulary in {shape[0] for shape in tables} else None)
    pad = _text(settings.get("pad_token"))
    pads = (ids.get(pad or ""), config.get("pad_token_id"))
    names = settings.get("model_input_names")
    read = TokenizerSettings(
        file=TOKENIZER,
        input_names=tuple(map(str, names)) if isinstance(names, list) else _INPUTS,
        max_length=_limit(settings, config, tables),
        pad_token_id=next((n for n in pads if isinstance(n, int) and 0 <= n < (vocabulary or n + 1)), 0),
        padding_side=_side(settings.get("padding_side")),
        truncation_side=_side(settings.get("truncation_side")),
        clean_up_tokenization_spaces=_cleans_up(settings, content["model"]),
        special_tokens=special,
        named_tokens=_named_tokens(settings, special),
        vocabulary=vocabulary,
    )
    return _with_languages(files, read, content, settings, config) if built is None else _with_sides(read, built)


def _with_languages(
    files: Files,
    read: TokenizerSettings,
    content: Mapping[str, Any],
    settings: Mapping[str, Any],
    config: Mapping[str, Any],
) -> TokenizerSettings:
    """With the languages of a translator, whose frame a tokenizer.json of another tool may have wrong."""
    from onnxpress.layouts.tokenizer_sources.languages import read_languages

    known = read_languages(content, settings, config)
    if known is None:
        return read
    languages, frame = known
    if content.get("post_processor") != frame:
        files.make(TOKENIZER, json.dumps({**content, "post_processor": frame}, ensure_ascii=False).encode())
    return replace(read, languages=languages)


def _with_sides(settings: TokenizerSettings, built: Built) -> TokenizerSettings:
    """With what a tokenizer.json that was made of its sources cannot say."""
    segmented = replace(settings, segmentation=built.source.segmentation, languages=built.languages)
    if built.target is None:
        return segmented
    return replace(segmented, target=replace(settings, file=TARGET, segmentation=built.target.segmentation))


def _built(files: Files, config: Mapping[str, Any]) -> Built:
    """Make a tokenizer.json of its sources.

    Raises:
        MissingFile: there are none.
        UnsupportedFormat, CorruptFile: as of `build`.
    """
    from onnxpress.layouts.tokenizer_sources import build

    sources = [name for name in _SOURCES if name in files.names]
    if not sources:
        raise MissingFile(
            f"{files.folder / TOKENIZER}: there is no such file. Pass tokenizer=, a folder or a {TOKENIZER}. Or make "
            "it where transformers is installed: "
            f"AutoTokenizer.from_pretrained(CHECKPOINT).save_pretrained({str(files.folder)!r})."
        )
    built = build(files, config, sources)
    for name, side in ((TOKENIZER, built.source), (TARGET, built.target)):
        if side is not None:
            files.make(name, json.dumps(side.content, ensure_ascii=False).encode())
            for extra, data in side.extra.items():
                files.make(extra, data)
    return built


def _ids(content: Mapping[str, Any]) -> dict[str, int]:
    """The id of each token, by its text."""
    vocabulary = content["model"].get("vocab")
    ids: dict[str, int] = {}
    if isinstance(vocabulary, dict):
        ids |= vocabulary
    elif isinstance(vocabulary, list):  # Unigram: pieces with their scores
        ids |= {str(entry[0]): number for number, entry in enumerate(vocabulary) if isinstance(entry, list) and entry}
    for token in content.get("added_tokens") or ():
        if isinstance(token, dict):
            ids[str(token.get("content"))] = token.get("id", -1)
    return {text: number for text, number in ids.items() if isinstance(number, int) and number >= 0}


def _check_rows(files: Files, ids: Mapping[str, int], special: Mapping[str, SpecialToken], rows: int | None) -> None:
    """Refuse a tokenizer whose tokens the model's table has no rows for.

    Args:
        rows: of the table; None: not known.

    Raises:
        UnsupportedFormat: there are many, or one is put around every text.
    """
    if rows is None:
        return
    beyond = [number for number in ids.values() if number >= rows]
    around = [special[kind] for kind in ("cls", "sep") if kind in special and special[kind].id >= rows]
    if len(beyond) > max(_ADDED, len(ids) // _ADDED_SHARE) or around:
        raise UnsupportedFormat(
            f"{files.folder}: {TOKENIZER} has ids up to {max(beyond)}, and the graph's table of tokens has {rows} "
            "rows: one of them is of another model. Get both from the same export."
        )


def _text(token: Any) -> str | None:
    """The text of a token, which is written as it is or as an object."""
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) and text else None


def _limit(settings: Mapping[str, Any], config: Mapping[str, Any], tables: Collection[tuple[int, ...]]) -> int | None:
    """The most tokens of a row: what the tokenizer says, and rows of the model's table of positions."""
    limits = []
    said = settings.get("model_max_length")
    if isinstance(said, (int, float)) and 0 < said < _UNLIMITED:
        limits.append(int(said))
    positions = config.get("max_position_embeddings") or config.get("n_positions")
    rows = {shape[0] for shape in tables}
    if isinstance(positions, int) and positions in rows:
        limits.append(positions - _offset(config))
    return min(limits, default=None)


def _offset(config: Mapping[str, Any]) -> int:
    """By how many rows a table of positions is longer than a text may be: RoBERTa's kin count from the padding's."""
    model_type = str(config.get("model_type", ""))
    padding = config.get("pad_token_id")
    return (padding if isinstance(padding, int) else 1) + 1 if model_type in OFFSET_POSITIONS else 0


def _vocabulary(config: Mapping[str, Any], tables: Collection[tuple[int, ...]]) -> int | None:
    """Rows of the table of tokens, where the graph has one that is as long as the config says."""
    size = config.get("vocab_size")
    return size if isinstance(size, int) and any(size in shape for shape in tables) else None


def _side(value: Any) -> Side:
    return "left" if value == "left" else "right"


def _cleans_up(settings: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    """As transformers does: by default not, and not for BPE, whose spaces mean something."""
    forced = settings.get("clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output") is True
    return settings.get("clean_up_tokenization_spaces") is True and (forced or model.get("type") != "BPE")


def _named_tokens(settings: Mapping[str, Any], special: Mapping[str, SpecialToken]) -> dict[str, str]:
    """What chat templates know by name, beside the special tokens of every tokenizer."""
    known = {f"{kind}_token": token.text for kind, token in special.items()}
    extra = settings.get("extra_special_tokens")
    named = {**settings, **(extra if isinstance(extra, Mapping) else {})}
    texts = {str(name): _text(token) for name, token in named.items() if str(name).endswith("_token")}
    return {name: text for name, text in texts.items() if text is not None and known.get(name) != text}
