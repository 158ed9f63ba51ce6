"""BERT's kin: vocab.txt, a word piece a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxpress.errors import CorruptFile
from onnxpress.layouts.files import MAX_SETTINGS_BYTES, Files
from onnxpress.layouts.tokenizer_sources.parts import (
    AddedToken,
    Built,
    Json,
    Said,
    Side,
    refused,
    roberta_processing,
    template,
    tokenizer_json,
)

VOCABULARY = "vocab.txt"
#: What the Rust library takes for space at the end of a line.
_SPACES = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

_OF_BERT: Mapping[str, str | AddedToken | None] = {
    "unk": "[UNK]",
    "sep": "[SEP]",
    "pad": "[PAD]",
    "cls": "[CLS]",
    "mask": "[MASK]",
}
_OF_MPNET: Mapping[str, str | AddedToken | None] = {
    "bos": "<s>",
    "eos": "</s>",
    "unk": "[UNK]",
    "sep": "</s>",
    "pad": "<pad>",
    "cls": "<s>",
    "mask": AddedToken("<mask>", lstrip=True),
}


def bert(files: Files, said: Said) -> Built:
    """BERT's: `[CLS] A [SEP] B [SEP]`.

    Raises:
        CorruptFile: vocab.txt is no text.
    """
    named = said.named(_OF_BERT)
    content, ids = _content(files, said, named)
    cls, sep = named["cls"].text, named["sep"].text
    single = f"{cls}:0 $A:0 {sep}:0"
    content["post_processor"] = template(single, f"{single} $B:1 {sep}:1", ids)
    return _built(content, named, ("input_ids", "token_type_ids", "attention_mask"))


def distilbert(files: Files, said: Said) -> Built:
    """BERT's, for a model that takes no types."""
    return replace(bert(files, said), input_names=("input_ids", "attention_mask"))


def mpnet(files: Files, said: Said) -> Built:
    """MPNet's: word pieces between RoBERTa's tokens."""
    named = said.named(_OF_MPNET)
    content, ids = _content(files, said, named)
    content["post_processor"] = roberta_processing(named["sep"].text, named["cls"].text, ids, trim=True, prefixed=False)
    return _built(content, named, ("input_ids", "attention_mask"))


def _built(content: Json, named: Mapping[str, AddedToken], input_names: tuple[str, ...]) -> Built:
    return Built(Side(content), {kind: token.text for kind, token in named.items()}, input_names)


def _content(files: Files, said: Said, named: Mapping[str, AddedToken]) -> tuple[Json, dict[str, int]]:
    if not said.flag("do_basic_tokenize", True):
        raise refused(said.where, "do_basic_tokenize is off")
    if said.settings.get("never_split"):
        raise refused(said.where, "never_split keeps words whole")
    vocabulary = read_lines(files, VOCABULARY)
    if missing := [named[kind].text for kind in ("unk", "cls", "sep") if named[kind].text not in vocabulary]:
        raise CorruptFile(f"{files.place(VOCABULARY)}: it has no {', '.join(missing)}, so it is not this model's.")
    accents: Any = said.settings.get("strip_accents")
    model = {
        "type": "WordPiece",
        "unk_token": named["unk"].text,
        "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 100,
        "vocab": vocabulary,
    }
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": said.flag("tokenize_chinese_chars", True),
        "strip_accents": accents if isinstance(accents, bool) else None,
        "lowercase": said.flag("do_lower_case", True),
    }
    decoder = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    return tokenizer_json(
        said, model, named, normalizer=normalizer, pre_tokenizer={"type": "BertPreTokenizer"}, decoder=decoder
    )


def read_lines(files: Files, name: str) -> dict[str, int]:
    """Line -> its number, without space at its end; of equal lines the last counts."""
    try:
        text = files.content(name, MAX_SETTINGS_BYTES).decode()
    except UnicodeDecodeError as error:
        raise CorruptFile(f"{files.place(name)}: not UTF-8 ({error.reason} at byte {error.start}).") from None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return {line.rstrip(_SPACES): number for number, line in enumerate(lines)}
