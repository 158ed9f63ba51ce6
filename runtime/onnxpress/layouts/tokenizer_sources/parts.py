"""Parts of a tokenizer.json, and the tokens that a checkpoint adds to its vocabulary. Knows no tokenizer class."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxpress.errors import CorruptFile, UnsupportedFormat
from onnxpress.format.processors import LanguageSettings, Segmentation

Json = dict[str, Any]

#: In the order in which transformers adds them.
KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is taken out of a text before all else. `lstrip`, `rstrip`: with the spaces beside it."""

    text: str
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = False
    special: bool = True
    single_word: bool = False


@dataclass(frozen=True, slots=True)
class Side:
    """What a tokenizer.json holds. `segmentation`: what the runtime does beside it; `extra`: file name -> content of
    what the segmentation names."""

    content: Json
    segmentation: Segmentation | None = None
    extra: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Built:
    """A tokenizer that was made of its sources. `named`: its special tokens by kind. `target`: the side that decodes,
    where it has a vocabulary of its own. `input_names`, `padding_side`: the usual ones of its class."""

    source: Side
    named: Mapping[str, str]
    input_names: tuple[str, ...] = ("input_ids", "attention_mask")
    target: Side | None = None
    languages: LanguageSettings | None = None
    padding_side: str = "right"


@dataclass(frozen=True, slots=True)
class Said:
    """What the small files of a checkpoint say of its tokens.

    `settings`: tokenizer_config.json, over special_tokens_map.json where they say the same. `added`: id -> token.
    """

    settings: Mapping[str, Any]
    added: Mapping[int, AddedToken]
    where: str

    @staticmethod
    def of(config: Mapping[str, Any], special: Mapping[str, Any], added: Mapping[str, Any], where: str) -> Said:
        """Read tokenizer_config.json, special_tokens_map.json and added_tokens.json, as transformers does.

        Raises:
            CorruptFile: an id or a token is none.
        """
        decoder = config.get("added_tokens_decoder")
        try:
            if isinstance(decoder, Mapping):
                return Said(config, {int(number): _token(token) for number, token in decoder.items()}, where)
            merged = {**config, **special}
            named = {text_of(merged.get(f"{kind}_token")) for kind in KINDS} | set(map(text_of, _extra(merged)))
            tokens = {
                int(number): AddedToken(text, normalized=text not in named, special=text in named)
                for text, number in added.items()
            }
        except (TypeError, ValueError, KeyError) as error:
            raise CorruptFile(f"{where}: its added tokens are no tokens ({error}). Download it again.") from None
        return Said(merged, tokens, where)

    def named(self, usual: Mapping[str, str | AddedToken | None]) -> dict[str, AddedToken]:
        """The special tokens by kind: those that are said, or the class's usual ones."""
        by_text = {token.text: token for token in self.added.values()}
        tokens = {}
        for kind in KINDS:
            said = self.settings.get(f"{kind}_token", usual.get(kind))
            if said is None:
                continue
            ours = usual.get(kind)
            if isinstance(said, str) and isinstance(ours, AddedToken):
                token = replace(ours, text=said)
            else:
                token = said if isinstance(said, AddedToken) else _token(said)
            tokens[kind] = by_text.get(token.text, token)
        return tokens

    @property
    def extra(self) -> list[AddedToken]:
        """Further special tokens."""
        return [_token(token) for token in _extra(self.settings)]

    def flag(self, name: str, usual: bool) -> bool:
        """A setting that is true or false."""
        value = self.settings.get(name)
        return value if isinstance(value, bool) else usual


def _extra(settings: Mapping[str, Any]) -> Iterable[Any]:
    for name in ("extra_special_tokens", "additional_special_tokens"):
        value = settings.get(name)
        if isinstance(value, (list, tuple)) and value:
            return value
    return ()


def text_of(token: Any) -> str | None:
    """The text of a token, which is written as it is or as an object."""
    content = token.get("content") if isinstance(token, Mapping) else token
    return content if isinstance(content, str) else None


def _token(token: Any) -> AddedToken:
    if isinstance(token, str):
        return AddedToken(token)
    special = token.get("special", True) is True
    flags = {name: token.get(name) is True for name in ("lstrip", "rstrip", "single_word")}
    return AddedToken(
        str(token["content"]), normalized=token.get("normalized", not special) is True, special=special, **flags
    )


def tokenizer_json(
    said: Said,
    model: Json,
    named: Mapping[str, AddedToken],
    *,
    normalizer: Json | None = None,
    pre_tokenizer: Json | None = None,
    decoder: Json | None = None,
    extra: Sequence[AddedToken] = (),
) -> tuple[Json, dict[str, int]]:
    """A tokenizer.json without a post-processor, and the id of every token by its text.

    Args:
        named: the special tokens by kind.
        extra: tokens of the class's own, where none are said.
    """
    rows = model["vocab"]
    ids = dict(rows) if isinstance(rows, dict) else {piece[0]: number for number, piece in enumerate(rows)}
    count = max(len(rows), 1 + max(ids.values(), default=-1))
    special = {token.text for token in named.values()}
    entries: dict[str, tuple[int, AddedToken]] = {}
    ordered = [token for _, token in sorted(said.added.items())]
    for token in (*ordered, *named.values(), *(said.extra or extra)):
        if token.text in entries or not token.text:
            continue
        if token.text not in ids:
            ids[token.text] = count
            count += 1
        entries[token.text] = (ids[token.text], replace(token, special=token.special or token.text in special))
    added = [
        {
            "id": number,
            "content": token.text,
            "single_word": token.single_word,
            "lstrip": token.lstrip,
            "rstrip": token.rstrip,
            "normalized": token.normalized,
            "special": token.special,
        }
        for number, token in sorted(entries.values(), key=lambda entry: entry[0])
    ]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }
    return content, ids


def template(single: str, pair: str, ids: Mapping[str, int]) -> Json:
    """A post-processor in the words of the tokenizers library: "[CLS]:0 $A:0 [SEP]:0"."""
    sides = {name: [_place(word) for word in words.split(" ")] for name, words in (("single", single), ("pair", pair))}
    tokens = {place["SpecialToken"]["id"] for side in sides.values() for place in side if "SpecialToken" in place}
    special = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in sorted(tokens)}
    return {"type": "TemplateProcessing", **sides, "special_tokens": special}


def _place(word: str) -> Json:
    name, _, kind = word.rpartition(":")
    if name.startswith("$"):
        return {"Sequence": {"id": name[1:], "type_id": int(kind)}}
    return {"SpecialToken": {"id": name, "type_id": int(kind)}}


def ends(said: Said, named: Mapping[str, AddedToken], ids: Mapping[str, int]) -> Json:
    """The post-processor of a class that puts nothing around a text unless it is asked to."""
    begin = named["bos"].text if said.flag("add_bos_token", False) and "bos" in named else ""
    end = named["eos"].text if said.flag("add_eos_token", False) and "eos" in named else ""

    def around(side: str, kind: int) -> str:
        return " ".join(f"{word}:{kind}" for word in (begin, side, end) if word)

    return template(around("$A", 0), f"{around('$A', 0)} {around('$B', 1)}", ids)


def roberta_processing(sep: str, cls: str, ids: Mapping[str, int], *, trim: bool, prefixed: bool) -> Json:
    """RoBERTa's post-processor."""
    return {
        "type": "RobertaProcessing",
        "sep": [sep, ids[sep]],
        "cls": [cls, ids[cls]],
        "trim_offsets": trim,
        "add_prefix_space": prefixed,
    }


def metaspace(scheme: str = "always", *, split: bool = True) -> Json:
    """sentencepiece's sign for a space: a pre-tokenizer and a decoder."""
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}


def precompiled(charsmap: bytes) -> Json:
    """sentencepiece's own normalization."""
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode()}


def sequence(kind: str, parts: Sequence[Json]) -> Json:
    """Several parts, one after the other. `kind`: "normalizers", "pretokenizers" or "decoders"."""
    return {"type": "Sequence", kind: list(parts)}


def replaced(pattern: Json, content: str) -> Json:
    """A normalizer or decoder that replaces. `pattern`: {"String": ...} or {"Regex": ...}."""
    return {"type": "Replace", "pattern": pattern, "content": content}


class UnbuiltTokenizer(UnsupportedFormat):
    """A tokenizer that cannot be built of its sources here."""


def refused(where: str, reason: str) -> UnbuiltTokenizer:
    """The error of a tokenizer that cannot be built, with what to do."""
    return UnbuiltTokenizer(
        f"{where}: its tokenizer cannot be made here: {reason}. Run `onnxpress adopt` where the exporter is installed, "
        "or pass tokenizer=, a folder with a tokenizer.json."
    )
