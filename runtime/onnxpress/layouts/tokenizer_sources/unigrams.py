"""sentencepiece's unigram models: those of XLM-RoBERTa, CamemBERT, T5, ALBERT, XLNet, DeBERTa of the second version.

As transformers 5 builds them of a sentencepiece file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.layouts.files import Files
from onnxpress.layouts.tokenizer_sources.parts import (
    AddedToken,
    Built,
    Json,
    Said,
    Side,
    ends,
    metaspace,
    precompiled,
    refused,
    replaced,
    sequence,
    template,
    tokenizer_json,
)
from onnxpress.layouts.tokenizer_sources.sentencepiece_file import (
    UNIGRAM,
    PieceKind,
    SentencePieceFile,
    read_sentencepiece,
)

#: What the classes call their file.
FILES = ("sentencepiece.bpe.model", "spiece.model", "spm.model", "tokenizer.model")

Rows = list[list[str | float]]

_FAIRSEQ: Mapping[str, str | AddedToken | None] = {
    "bos": "<s>",
    "eos": "</s>",
    "unk": "<unk>",
    "sep": "</s>",
    "pad": "<pad>",
    "cls": "<s>",
    "mask": "<mask>",
}
_OF_CAMEMBERT = {**_FAIRSEQ, "mask": AddedToken("<mask>", lstrip=True)}
_OF_T5: Mapping[str, str | AddedToken | None] = {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"}
_BRACKETS: Mapping[str, str | AddedToken | None] = {
    "bos": "[CLS]",
    "eos": "[SEP]",
    "sep": "[SEP]",
    "cls": "[CLS]",
    "mask": "[MASK]",
}
_OF_ALBERT = {**_BRACKETS, "unk": "<unk>", "pad": "<pad>"}
_OF_DEBERTA = {**_BRACKETS, "unk": "[UNK]", "pad": "[PAD]"}
_OF_XLNET: Mapping[str, str | AddedToken | None] = {
    "bos": "<s>",
    "eos": "</s>",
    "unk": "<unk>",
    "sep": "<sep>",
    "pad": "<pad>",
    "cls": "<cls>",
    "mask": AddedToken("<mask>", lstrip=True),
}


def xlm_roberta(files: Files, said: Said) -> Built:
    """fairseq's rows before the pieces, and the mask behind them."""
    model = _model(files, said)
    named = said.named(_FAIRSEQ)
    rows = [*_rows_of(named["bos"], named["pad"], named["eos"], named["unk"]), *_pieces(model)[3:]]
    rows += _rows_of(named["mask"])
    content, ids = _content(said, model, named, rows, 3, normalizers=_charsmap(model))
    return _fairseq(content, named, ids)


def camembert(files: Files, said: Said) -> Built:
    """fairseq's rows under names that no text has, as the checkpoint has them."""
    model = _model(files, said)
    named = said.named(_OF_CAMEMBERT)
    rows: Rows = [["<s>NOTUSED", 0.0]]
    rows += [*_rows_of(named["pad"]), ["</s>NOTUSED", 0.0], *_rows_of(named["unk"])]
    rows += [["<unk>NOTUSED", -100.0], *_pieces(model)[1:], *_rows_of(named["mask"])]
    content, ids = _content(said, model, named, rows, 3, normalizers=_charsmap(model))
    return _fairseq(content, named, ids)


def t5(files: Files, said: Said) -> Built:
    """The pieces, and sentinels behind them in falling order."""
    model = _model(files, said)
    count = said.settings.get("extra_ids", 100)
    if not isinstance(count, int) or not 0 <= count <= 10_000:
        raise refused(said.where, f"extra_ids is {count!r}")
    sentinels = [f"<extra_id_{number}>" for number in range(count - 1, -1, -1)]
    named = said.named(_OF_T5)
    rows = _pieces(model)
    rows += [[text, 0.0] for text in sentinels]
    extra = [AddedToken(text) for text in reversed(sentinels)]
    content, ids = _content(said, model, named, rows, 2, normalizers=_charsmap(model), extra=extra, scheme="always")
    content["post_processor"] = template("$A:0 </s>:0", "$A:0 </s>:0 $B:0 </s>:0", ids)
    return _built(content, named)


def albert(files: Files, said: Said) -> Built:
    """The pieces as they are, of a text without accents and capitals."""
    model = _model(files, said)
    named = said.named(_OF_ALBERT)
    steps = [
        *_simplified(accents=said.flag("keep_accents", False), lower=said.flag("do_lower_case", True)),
        *_charsmap(model),
    ]
    content, ids = _content(said, model, named, _pieces(model), 1, normalizers=steps, whole=True)
    built = _bert_like(content, named, ids)
    if {"add_bos_token", "add_eos_token"} & said.settings.keys():  # the ends alone count then
        content["post_processor"] = ends(said, named, ids)
    return built


def xlnet(files: Files, said: Said) -> Built:
    """The pieces as they are; what is added stands behind the text."""
    model = _model(files, said)
    named = said.named(_OF_XLNET)
    steps = [*_simplified(accents=False, lower=said.flag("do_lower_case", False)), *_charsmap(model)]
    content, ids = _content(
        said, model, named, _pieces(model), model.unknown, normalizers=steps, whole=True, scheme="always"
    )
    sep, cls = named["sep"].text, named["cls"].text
    content["post_processor"] = template(f"$A:0 {sep}:0 {cls}:2", f"$A:0 {sep}:0 $B:1 {sep}:1 {cls}:2", ids)
    return _built(content, named, padding_side="left")


def deberta_v2(files: Files, said: Said) -> Built:
    """The pieces as they are; spaces are made one, and nothing else is normalized."""
    model = _model(files, said)
    named = said.named(_OF_DEBERTA)
    rows = _pieces(model)
    unknown = rows.index([named["unk"].text, 0.0]) if [named["unk"].text, 0.0] in rows else model.unknown
    steps: list[Json] = [{"type": "Lowercase"}] if said.flag("do_lower_case", False) else []
    steps += [
        replaced({"Regex": r"\s{2,}|[\n\r\t]"}, " "),
        {"type": "NFC"},
        {"type": "Strip", "strip_left": False, "strip_right": True},
    ]
    before: list[Json] = [{"type": "Punctuation", "behavior": "Isolated"}] if said.flag("split_by_punct", False) else []
    scheme = "always" if said.flag("add_prefix_space", True) else "first"
    content, ids = _content(
        said, model, named, rows, unknown, normalizers=steps, whole=True, before=before, scheme=scheme
    )
    return _bert_like(content, named, ids, ("input_ids", "attention_mask", "token_type_ids"))


def _model(files: Files, said: Said) -> SentencePieceFile:
    name = next((name for name in FILES if name in files.names), None)
    if name is None:
        raise refused(said.where, f"there is none of {', '.join(FILES)}")
    model = read_sentencepiece(files.path(name))
    if model.model_type != UNIGRAM or model.byte_fallback:
        raise refused(said.where, f"{name} is no unigram model, or falls back to bytes")
    if said.settings.get("sp_model_kwargs"):
        raise refused(said.where, f"it cuts texts at random ({said.settings['sp_model_kwargs']!r:.40})")
    return model


def _pieces(model: SentencePieceFile) -> Rows:
    return [[piece.text, piece.score] for piece in model.pieces]


def _rows_of(*tokens: AddedToken) -> Rows:
    return [[token.text, 0.0] for token in tokens]


def _charsmap(model: SentencePieceFile) -> list[Json]:
    return [precompiled(model.charsmap)] if model.charsmap else []


def _simplified(*, accents: bool, lower: bool) -> list[Json]:
    """ALBERT's and XLNet's own steps before sentencepiece's."""
    steps = [replaced({"String": "``"}, '"'), replaced({"String": "''"}, '"')]
    if not accents:
        steps += [{"type": "NFKD"}, {"type": "StripAccents"}]
    return [*steps, {"type": "Lowercase"}] if lower else steps


def _content(
    said: Said,
    model: SentencePieceFile,
    named: Mapping[str, AddedToken],
    rows: Rows,
    unknown: int,
    *,
    normalizers: Sequence[Json],
    whole: bool = False,
    before: Sequence[Json] | None = None,
    scheme: str | None = None,
    extra: Sequence[AddedToken] = (),
) -> tuple[Json, dict[str, int]]:
    """A tokenizer.json of these rows.

    Args:
        whole: the normalizer is a sequence, however many steps it has.
        before: what cuts a text before sentencepiece does; None: spaces.
        scheme: which words get the sign of a space; None: as `add_prefix_space` says.
    """
    if not 0 <= unknown < len(rows):
        raise refused(said.where, "it has no row for what is unknown")
    prefix = scheme or ("always" if said.flag("add_prefix_space", True) else "never")
    cut = [{"type": "WhitespaceSplit"}] if before is None else list(before)
    symbols = [
        AddedToken(piece.text, special=piece.kind == PieceKind.CONTROL)
        for piece in model.pieces
        if piece.kind in (PieceKind.CONTROL, PieceKind.USER_DEFINED)
    ]
    normalizer: Json | None = sequence("normalizers", normalizers)
    if not whole:
        normalizer = normalizers[0] if normalizers else None
    return tokenizer_json(
        said,
        {"type": "Unigram", "unk_id": unknown, "vocab": rows, "byte_fallback": False},
        named,
        normalizer=normalizer,
        pre_tokenizer=sequence("pretokenizers", [*cut, metaspace(prefix)]),
        decoder=metaspace(prefix),
        extra=[*symbols, *extra],
    )


def _fairseq(content: Json, named: Mapping[str, AddedToken], ids: Mapping[str, int]) -> Built:
    begin, end = named["bos"].text, named["eos"].text
    single = f"{begin}:0 $A:0 {end}:0"
    content["post_processor"] = template(single, f"{single} {end}:0 $B:0 {end}:0", ids)
    return _built(content, named)


def _bert_like(
    content: Json,
    named: Mapping[str, AddedToken],
    ids: Mapping[str, int],
    names: tuple[str, ...] = ("input_ids", "attention_mask"),
) -> Built:
    cls, sep = named["cls"].text, named["sep"].text
    single = f"{cls}:0 $A:0 {sep}:0"
    content["post_processor"] = template(single, f"{single} $B:1 {sep}:1", ids)
    return _built(content, named, names)


def _built(
    content: Json,
    named: Mapping[str, AddedToken],
    names: tuple[str, ...] = ("input_ids", "attention_mask"),
    padding_side: str = "right",
) -> Built:
    return Built(Side(content), {kind: token.text for kind, token in named.items()}, names, padding_side=padding_side)
