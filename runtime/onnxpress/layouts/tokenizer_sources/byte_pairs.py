"""GPT-2's kin: vocab.json and merges.txt, over bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxpress.errors import CorruptFile
from onnxpress.layouts.files import MAX_SETTINGS_BYTES, MAX_TOKENIZER_BYTES, Files
from onnxpress.layouts.tokenizer_sources.parts import (
    AddedToken,
    Built,
    Json,
    Said,
    Side,
    ends,
    replaced,
    roberta_processing,
    sequence,
    template,
    tokenizer_json,
)

VOCABULARY, MERGES = "vocab.json", "merges.txt"

_END = "<|endoftext|>"
_OF_ROBERTA: Mapping[str, str | AddedToken | None] = {
    "bos": "<s>",
    "eos": "</s>",
    "unk": "<unk>",
    "sep": "</s>",
    "pad": "<pad>",
    "cls": "<s>",
    "mask": "<mask>",
}
_OF_GPT2: Mapping[str, str | AddedToken | None] = {"bos": _END, "eos": _END, "unk": _END}
_OF_QWEN: Mapping[str, str | AddedToken | None] = {"eos": _END, "unk": _END, "pad": _END}
_OF_DEBERTA: Mapping[str, str | AddedToken | None] = {
    "bos": "[CLS]",
    "eos": "[SEP]",
    "unk": "[UNK]",
    "sep": "[SEP]",
    "pad": "[PAD]",
    "cls": "[CLS]",
    "mask": "[MASK]",
}
_OF_CLIP: Mapping[str, str | AddedToken | None] = {"bos": "<|startoftext|>", "eos": _END, "unk": _END, "pad": _END}

_QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def roberta(files: Files, said: Said) -> Built:
    """RoBERTa's and BART's: `<s> A </s> </s> B </s>`."""
    named, prefixed = said.named(_OF_ROBERTA), said.flag("add_prefix_space", False)
    content, ids = tokenizer_json(
        said, _model(files), named, pre_tokenizer=_bytes(prefixed=prefixed), decoder=_bytes(prefixed=True)
    )
    trim = said.flag("trim_offsets", True)
    content["post_processor"] = roberta_processing(
        named["sep"].text, named["cls"].text, ids, trim=trim, prefixed=prefixed
    )
    return _built(content, named)


def gpt2(files: Files, said: Said) -> Built:
    """GPT-2's, with the ends of a text where they are asked for: OPT's has the first."""
    named = said.named(_OF_GPT2)
    prefixed = said.flag("add_prefix_space", False)
    content, ids = tokenizer_json(
        said, _model(files), named, pre_tokenizer=_bytes(prefixed=prefixed), decoder=_bytes(prefixed=True)
    )
    content["post_processor"] = ends(said, named, ids)
    return _built(content, named)


def qwen2(files: Files, said: Said) -> Built:
    """Qwen2's: words are cut another way."""
    named, prefixed = said.named(_OF_QWEN), said.flag("add_prefix_space", False)
    split = {"type": "Split", "pattern": {"Regex": _QWEN_WORDS}, "behavior": "Isolated", "invert": False}
    content, ids = tokenizer_json(
        said,
        _model(files),
        named,
        normalizer={"type": "NFC"},
        pre_tokenizer=sequence("pretokenizers", [split, {**_bytes(prefixed=prefixed), "use_regex": False}]),
        decoder=_bytes(prefixed=True),
    )
    content["post_processor"] = ends(said, named, ids)
    return _built(content, named)


def deberta(files: Files, said: Said) -> Built:
    """The first DeBERTa's: `[CLS] A [SEP] [SEP] B [SEP]`, as transformers 5 has it."""
    named, prefixed = said.named(_OF_DEBERTA), said.flag("add_prefix_space", False)
    content, ids = tokenizer_json(
        said, _model(files), named, pre_tokenizer=_bytes(prefixed=prefixed), decoder=_bytes(prefixed=True)
    )
    cls, sep = named["cls"].text, named["sep"].text
    single = f"{cls}:0 $A:0 {sep}:0"
    content["post_processor"] = template(single, f"{single} {sep}:0 $B:0 {sep}:0", ids)
    return _built(content, named, ("input_ids", "attention_mask", "token_type_ids"))


def clip(files: Files, said: Said) -> Built:
    """CLIP's reader of texts."""
    named = said.named(_OF_CLIP)
    split = {"type": "Split", "pattern": {"Regex": _CLIP_WORDS}, "behavior": "Removed", "invert": True}
    spaces = replaced({"Regex": r"\s+"}, " ")
    model = {**_model(files), "unk_token": named["unk"].text, "end_of_word_suffix": "</w>"}
    content, ids = tokenizer_json(
        said,
        model,
        named,
        normalizer=sequence("normalizers", [{"type": "NFC"}, spaces, {"type": "Lowercase"}]),
        pre_tokenizer=sequence("pretokenizers", [split, _bytes(prefixed=False)]),
        decoder=_bytes(prefixed=True),
    )
    content["post_processor"] = roberta_processing(
        named["eos"].text, named["bos"].text, ids, trim=False, prefixed=False
    )
    return _built(content, named)


def _built(
    content: Json, named: Mapping[str, AddedToken], names: tuple[str, ...] = ("input_ids", "attention_mask")
) -> Built:
    return Built(Side(content), {kind: token.text for kind, token in named.items()}, names)


def _bytes(*, prefixed: bool) -> Json:
    return {"type": "ByteLevel", "add_prefix_space": prefixed, "trim_offsets": True, "use_regex": True}


def _model(files: Files) -> Json:
    vocabulary = read_vocabulary(files, VOCABULARY)
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": _merges(files, vocabulary),
    }


def read_vocabulary(files: Files, name: str) -> dict[str, int]:
    """AddedToken -> id.

    Raises:
        CorruptFile: the file says something else.
    """
    vocabulary: Any = files.json(name, MAX_TOKENIZER_BYTES)
    whole = isinstance(vocabulary, dict) and all(type(number) is int and number >= 0 for number in vocabulary.values())
    if not whole or not vocabulary or len(set(vocabulary.values())) < len(vocabulary):
        raise CorruptFile(f"{files.place(name)}: not a vocabulary, which gives each token an id of its own.")
    return dict(vocabulary)


def _merges(files: Files, vocabulary: Mapping[str, int]) -> list[list[str]]:
    try:
        text = files.content(MERGES, MAX_SETTINGS_BYTES).decode()
    except UnicodeDecodeError as error:
        raise CorruptFile(f"{files.place(MERGES)}: not UTF-8 ({error.reason} at byte {error.start}).") from None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    pairs = [line.removesuffix("\r").split(" ") for line in lines if not line.startswith("#version")]
    for pair in pairs:
        if len(pair) != 2 or not {*pair, "".join(pair)} <= vocabulary.keys():
            raise CorruptFile(f"{files.place(MERGES)}: {' '.join(pair)[:60]!r} merges no two tokens of {VOCABULARY}.")
    return pairs
