"""Converts a sentencepiece model and a vocabulary of its own to a side of a tokenizer.

The model says how text is cut, the vocabulary what the pieces are called by the neural model: the two seldom agree.
Pieces without a row in it get ids behind it; rows that no text may become get a name that no text can match.
Facts: sentencepiece_model.proto. Knows no tokenizer class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram

from onnxpress.format.processors import Segmentation
from onnxpress.text.slow.sentencepiece import SPACE, UNREACHABLE
from onnxpress_exporter.write.tokenizer_conversion.base import Side, add_tokens, frame, refuse

_UNIGRAM, _BYTE_PAIRS = 1, 2  # TrainerSpec.ModelType
_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 3, 4, 5, 6  # ModelProto.SentencePiece.Type


@dataclass(frozen=True, slots=True)
class Layout:
    """What the tokenizer class says about a side. `rows`: row number -> token; `charsmap_file`: where to put it."""

    rows: Sequence[str]
    prefix: tuple[int, ...]
    suffix: tuple[int, ...]
    charsmap_file: str = "charsmap.bin"
    leading_code: bool = False
    after_special: str = ""
    foreign_pieces: bool = False  # may the vocabulary hold pieces that the model lacks
    apart: tuple[str, ...] = ()


def side(tokenizer: Any, processor: Any, layout: Layout) -> Side:
    """Convert the side of `tokenizer` whose text `processor`, a sentencepiece.SentencePieceProcessor, cuts.

    Raises UnsupportedCheckpoint for what has no exact counterpart: sampling, byte fallback, symbols of the model's
    own, spaces behind words.
    """
    from sentencepiece import sentencepiece_model_pb2

    messages: Any = sentencepiece_model_pb2  # its classes are made at run time
    proto = messages.ModelProto.FromString(processor.serialized_model_proto())
    added = {token.content for token in tokenizer.added_tokens_decoder.values()}
    _check(tokenizer, proto, added)
    pieces = {piece.piece: piece.score for piece in proto.pieces if piece.type == _NORMAL}
    if not layout.foreign_pieces and any(SPACE in row and row not in pieces for row in layout.rows):
        raise refuse(tokenizer, f"its vocabulary has tokens with {SPACE} that its sentencepiece model lacks")
    marked = (UNREACHABLE + row.removeprefix(UNREACHABLE) for row in layout.rows)
    named = [row if row in pieces or row in added else mark for row, mark in zip(layout.rows, marked, strict=True)]
    rows = set(layout.rows)
    named += [piece for piece in pieces if piece not in rows]
    build = _unigram if proto.trainer_spec.model_type == _UNIGRAM else _byte_pairs
    rust = Tokenizer(build(tokenizer, named, pieces))
    charsmap = proto.normalizer_spec.precompiled_charsmap
    steps: list[Any] = [normalizers.Precompiled(charsmap)] if charsmap else []
    rust.normalizer = normalizers.Sequence([*steps, normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip()])
    rust.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always", split=False)
    rust.decoder = decoders.Sequence([decoders.Replace(UNREACHABLE, ""), decoders.Metaspace(replacement=SPACE)])
    add_tokens(tokenizer, rust)
    frame(rust, layout.prefix, layout.suffix)
    segmentation = Segmentation(
        method="sentencepiece",
        vocabulary=len(layout.rows),
        unknown_id=list(layout.rows).index(str(tokenizer.unk_token)),
        prefix=layout.prefix,
        suffix=layout.suffix,
        charsmap_file=layout.charsmap_file if charsmap else None,
        add_dummy_prefix=proto.normalizer_spec.add_dummy_prefix,
        remove_extra_whitespaces=proto.normalizer_spec.remove_extra_whitespaces,
        invisible=tuple(piece.piece for piece in proto.pieces if piece.type == _CONTROL),
        leading_code=layout.leading_code,
        after_special=layout.after_special,
        apart=layout.apart,
    )
    return Side(rust, segmentation, {layout.charsmap_file: charsmap} if charsmap else {})


def _check(tokenizer: Any, proto: Any, added: set[str]) -> None:
    """Refuse what the runtime's segmentation does not do."""
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    kinds = Counter(piece.type for piece in proto.pieces)
    free = [piece.piece for piece in proto.pieces if piece.type == _USER_DEFINED and piece.piece not in added]
    for condition, reason in (
        (tokenizer.sp_model_kwargs, f"it cuts texts at random ({tokenizer.sp_model_kwargs})"),
        (trainer.model_type not in (_UNIGRAM, _BYTE_PAIRS), "its model is neither unigram nor byte-pair"),
        (trainer.byte_fallback or kinds[_BYTE], "its model falls back to bytes"),
        (kinds[_UNUSED], "its model has unused pieces"),
        (free, f"its model has symbols of its own ({', '.join(free[:3])})"),
        (trainer.treat_whitespace_as_suffix, "its model puts spaces behind words"),
        (not normalizer.escape_whitespaces, "its model keeps spaces"),
        (b"  " in normalizer.precompiled_charsmap, "its normalization makes double spaces"),
        (proto.denormalizer_spec.precompiled_charsmap, "its model rewrites decoded text"),
        (any(piece.type == _NORMAL and piece.piece in added for piece in proto.pieces), "an added token is a piece"),
    ):
        if condition:
            raise refuse(tokenizer, reason)


def _unigram(tokenizer: Any, named: Sequence[str], pieces: dict[str, float]) -> Unigram:
    unknown = named.index(str(tokenizer.unk_token))
    return Unigram([(name, pieces.get(name, 0.0)) for name in named], unk_id=unknown)


def _byte_pairs(tokenizer: Any, named: Sequence[str], pieces: dict[str, float]) -> BPE:
    """sentencepiece joins the two neighbours whose joint piece has the best score: one merge for each way to halve."""
    if missing := next((piece for piece in pieces if not all(char in pieces for char in piece)), None):
        raise refuse(tokenizer, f"its model has no piece for a character of {missing!r}")
    joint = {piece: score for piece, score in pieces.items() if len(piece) > 1}
    if len(set(joint.values())) != len(joint):
        raise refuse(tokenizer, "two pieces of its byte-pair model have the same score")
    merges = [
        (piece[:cut], piece[cut:])
        for piece in sorted(joint, key=joint.__getitem__, reverse=True)
        for cut in range(1, len(piece))
        if piece[:cut] in pieces and piece[cut:] in pieces
    ]
    vocabulary = {name: number for number, name in enumerate(named)}
    return BPE(vocabulary, merges, unk_token=str(tokenizer.unk_token), fuse_unk=True)
