"""A sentencepiece model and a vocabulary of its own, as a side of a tokenizer: Marian's, M2M100's.

The model says how text is cut, the vocabulary what the pieces are called by the neural model: the two seldom agree.
Pieces without a row in it get ids behind it; rows that no text may become get a name that no text can match. What a
tokenizer.json cannot say stands in the segmentation. Knows no tokenizer class; the exporter's converters use it, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxpress.errors import OnnxpressError
from onnxpress.format.processors import PIECE_SPACE, UNREACHABLE, Segmentation
from onnxpress.layouts.tokenizer_sources.parts import AddedToken, Json, Side, metaspace, precompiled, replaced, sequence
from onnxpress.layouts.tokenizer_sources.sentencepiece_file import (
    BYTE_PAIRS,
    CHARACTERS,
    UNIGRAM,
    PieceKind,
    SentencePieceFile,
)

#: Makes the error of a reason why there is no exact side.
Refuse = Callable[[str], OnnxpressError]


@dataclass(frozen=True, slots=True)
class PieceRows:
    """What the tokenizer class says about a side.

    `rows`: row number -> token. `added`: id -> token that is taken out of a text before all else. `unknown`: its
    token. `prefix`, `suffix`: ids around a row. `charsmap_file`: where to put the normalization. `foreign_pieces`: may
    the vocabulary hold pieces that the model lacks. The others: as of `Segmentation`.
    """

    rows: Sequence[str]
    added: Mapping[int, AddedToken]
    unknown: str
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    charsmap_file: str = "charsmap.bin"
    leading_code: bool = False
    after_special: str = ""
    foreign_pieces: bool = False
    apart: tuple[str, ...] = ()
    random: Mapping[str, Any] = field(default_factory=dict)


def piece_side(model: SentencePieceFile, layout: PieceRows, refuse: Refuse) -> Side:
    """The side whose text the model cuts.

    Raises:
        OnnxpressError: the one that `refuse` makes, for what has no exact counterpart: sampling, byte fallback, symbols
            of the model's own, spaces behind words.
    """
    added = {token.text for token in layout.added.values()}
    _check(model, layout, added, refuse)
    pieces = {piece.text: piece.score for piece in model.pieces if piece.kind == PieceKind.NORMAL}
    if not layout.foreign_pieces and any(PIECE_SPACE in row and row not in pieces for row in layout.rows):
        raise refuse(f"its vocabulary has tokens with {PIECE_SPACE} that its sentencepiece model lacks")
    marked = (UNREACHABLE + row.removeprefix(UNREACHABLE) for row in layout.rows)
    named = [row if row in pieces or row in added else mark for row, mark in zip(layout.rows, marked, strict=True)]
    rows = set(layout.rows)
    named += [piece for piece in pieces if piece not in rows]
    build = _byte_pairs if model.model_type == BYTE_PAIRS else _unigram
    steps = [precompiled(model.charsmap)] if model.charsmap else []
    spaces = [replaced({"Regex": " {2,}"}, " "), {"type": "Strip", "strip_left": True, "strip_right": True}]
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added(layout, named, refuse),
        "normalizer": sequence("normalizers", [*steps, *spaces]),
        "pre_tokenizer": metaspace(split=False),
        "post_processor": _frame(layout, named),
        "decoder": sequence("decoders", [replaced({"String": UNREACHABLE}, ""), metaspace()]),
        "model": build(named, pieces, layout.unknown, refuse),
    }
    segmentation = Segmentation(
        method="sentencepiece",
        vocabulary=len(layout.rows),
        unknown_id=list(layout.rows).index(layout.unknown),
        prefix=layout.prefix,
        suffix=layout.suffix,
        charsmap_file=layout.charsmap_file if model.charsmap else None,
        add_dummy_prefix=model.add_dummy_prefix,
        remove_extra_whitespaces=model.remove_extra_whitespaces,
        invisible=tuple(piece.text for piece in model.pieces if piece.kind == PieceKind.CONTROL),
        leading_code=layout.leading_code,
        after_special=layout.after_special,
        apart=layout.apart,
    )
    return Side(content, segmentation, {layout.charsmap_file: model.charsmap} if model.charsmap else {})


def _check(model: SentencePieceFile, layout: PieceRows, added: set[str], refuse: Refuse) -> None:
    """Refuse what the runtime's segmentation does not do."""
    kinds = Counter(piece.kind for piece in model.pieces)
    free = [piece.text for piece in model.pieces if piece.kind == PieceKind.USER_DEFINED and piece.text not in added]
    normal = any(piece.kind == PieceKind.NORMAL and piece.text in added for piece in model.pieces)
    for condition, reason in (
        (layout.random, f"it cuts texts at random ({layout.random})"),
        (model.model_type not in (UNIGRAM, BYTE_PAIRS, CHARACTERS), "its model is neither unigram, byte-pair nor char"),
        (model.byte_fallback or kinds[PieceKind.BYTE], "its model falls back to bytes"),
        (kinds[PieceKind.UNUSED], "its model has unused pieces"),
        (free, f"its model has symbols of its own ({', '.join(free[:3])})"),
        (model.spaces_behind_words, "its model puts spaces behind words"),
        (not model.escape_whitespaces, "its model keeps spaces"),
        (b"  " in model.charsmap, "its normalization makes double spaces"),
        (model.rewrites_decoded, "its model rewrites decoded text"),
        (normal, "an added token is a piece"),
        (layout.unknown not in layout.rows, f"its vocabulary has no {layout.unknown}"),
    ):
        if condition:
            raise refuse(reason)


def _added(layout: PieceRows, named: Sequence[str], refuse: Refuse) -> list[Json]:
    """Tokens that are taken out of a text before all else, under their own ids. One whose id is behind the last row
    belongs to the other side."""
    entries = []
    for number, token in sorted(layout.added.items()):
        if number >= len(named):
            continue
        if token.single_word:
            raise refuse(f"the token {token.text!r} is to be found between spaces only")
        if named[number] != token.text:
            raise refuse(f"the token {token.text!r} would change its id {number}")
        flags = {"single_word": False, "lstrip": token.lstrip, "rstrip": token.rstrip, "normalized": False}
        entries.append({"id": number, "content": token.text, **flags, "special": token.special})
    return entries


def _frame(layout: PieceRows, named: Sequence[str]) -> Json:
    """The ids around every text, for readers that know tokenizer.json alone."""

    def places(*texts: str) -> list[Json]:
        words = [{"Sequence": {"id": text, "type_id": 0}} for text in texts]
        before, after = (
            [{"SpecialToken": {"id": named[number], "type_id": 0}} for number in side]
            for side in (layout.prefix, layout.suffix)
        )
        return [*before, *words, *after]

    ids = dict.fromkeys((*layout.prefix, *layout.suffix))
    special = {named[number]: {"id": named[number], "ids": [number], "tokens": [named[number]]} for number in ids}
    return {
        "type": "TemplateProcessing",
        "single": places("A"),
        "pair": places("A", "B"),
        "special_tokens": dict(sorted(special.items())),
    }


def _unigram(named: Sequence[str], pieces: Mapping[str, float], unknown: str, refuse: Refuse) -> Json:
    rows = [[name, pieces.get(name, 0.0)] for name in named]
    return {"type": "Unigram", "unk_id": named.index(unknown), "vocab": rows, "byte_fallback": False}


def _byte_pairs(named: Sequence[str], pieces: Mapping[str, float], unknown: str, refuse: Refuse) -> Json:
    """sentencepiece joins the two neighbours whose joint piece has the best score: one merge for each way to halve."""
    if missing := next((piece for piece in pieces if not all(char in pieces for char in piece)), None):
        raise refuse(f"its model has no piece for a character of {missing!r}")
    joint = {piece: score for piece, score in pieces.items() if len(piece) > 1}
    if len(set(joint.values())) != len(joint):
        raise refuse("two pieces of its byte-pair model have the same score")
    merges = [
        [piece[:cut], piece[cut:]]
        for piece in sorted(joint, key=joint.__getitem__, reverse=True)
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {name: number for number, name in enumerate(named)},
        "merges": merges,
    }
