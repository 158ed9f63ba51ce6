"""Marian's and M2M100's tokenizers: a vocabulary, sentencepiece models, and the languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from onnxpress.format.processors import UNREACHABLE, LanguageSettings
from onnxpress.layouts.files import Files
from onnxpress.layouts.tokenizer_sources.byte_pairs import VOCABULARY, read_vocabulary
from onnxpress.layouts.tokenizer_sources.parts import AddedToken, Built, Said, Side, refused
from onnxpress.layouts.tokenizer_sources.piece_rows import PieceRows, piece_side
from onnxpress.layouts.tokenizer_sources.sentencepiece_file import read_sentencepiece

_SOURCE, _TARGET, _TARGET_VOCABULARY = "source.spm", "target.spm", "target_vocab.json"
_PIECES = "sentencepiece.bpe.model"

_OF_MARIAN: Mapping[str, str | AddedToken | None] = {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"}
_OF_M2M100: Mapping[str, str | AddedToken | None] = {
    **dict.fromkeys(("eos", "sep"), "</s>"),
    "bos": "<s>",
    "unk": "<unk>",
    "pad": "<pad>",
}
#: The languages of M2M100, in the order of their rows behind the vocabulary.
_M2M100 = (
    "af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht hu hy "
    "id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps pt ro ru "
    "sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu"
)
_WMT21 = "en ha is ja cs ru zh de"


def marian(files: Files, said: Said) -> Built:
    """The source side encodes; it decodes too, unless the target language has a vocabulary of its own."""
    vocabulary = read_vocabulary(files, VOCABULARY)
    named = said.named(_OF_MARIAN)
    added = _added(said, named, vocabulary)
    eos = _id_of(said, named["eos"], vocabulary)

    def side(model: str, rows: list[str], charsmap_file: str) -> Side:
        layout = PieceRows(
            rows=rows,
            added=added,
            unknown=named["unk"].text,
            prefix=(),
            suffix=(eos,),
            charsmap_file=charsmap_file,
            leading_code=True,
            after_special=" ",
            apart=tuple(token.text for number, token in added.items() if number >= len(rows)),
            foreign_pieces=True,
            random=_random(said),
        )
        return piece_side(read_sentencepiece(files.path(model)), layout, lambda reason: refused(said.where, reason))

    source = side(_SOURCE, _names(said, vocabulary, added), "charsmap.bin")
    texts = {kind: token.text for kind, token in named.items()}
    if not said.flag("separate_vocabs", False):
        codes = {text[2:-2]: number for text, number in vocabulary.items() if text[:2] == ">>" and text[-2:] == "<<"}
        target = said.settings.get("target_lang")
        languages = LanguageSettings(codes, target="text", default_target=target if target in codes else None)
        return Built(source, texts, languages=languages if codes else None)
    rows = target_rows(_names(said, read_vocabulary(files, _TARGET_VOCABULARY), {}), added)
    return Built(source, texts, target=side(_TARGET, rows, "charsmap_target.bin"))


def target_rows(rows: Sequence[str], added: Mapping[int, AddedToken]) -> list[str]:
    """Tokens of the target side. transformers decodes special tokens by their ids on the source side, on this one too,
    so that a token may have two rows; the one of the target's own is marked."""
    taken = {token.text for number, token in added.items() if number < len(rows)}
    marked = [UNREACHABLE + row if row in taken else row for row in rows]
    return [added[number].text if number in added else row for number, row in enumerate(marked)]


def m2m100(files: Files, said: Said) -> Built:
    """The source language's token begins a row; the target language's is the first to be generated."""
    vocabulary = read_vocabulary(files, VOCABULARY)
    listed = _WMT21 if said.settings.get("language_codes") == "wmt21" else _M2M100
    codes = {code: len(vocabulary) + number for number, code in enumerate(listed.split())}
    whole = {**vocabulary, **{f"__{code}__": number for code, number in codes.items()}}
    named = said.named(_OF_M2M100)
    added = _added(said, named, whole)
    source, target = said.settings.get("src_lang") or "en", said.settings.get("tgt_lang")
    if source not in codes:
        raise refused(said.where, f"its source language {source!r} is none of its languages")
    layout = PieceRows(
        rows=_names(said, whole, added),
        added=added,
        unknown=named["unk"].text,
        prefix=(codes[source],),
        suffix=(_id_of(said, named["eos"], vocabulary),),
        random=_random(said),
    )
    side = piece_side(read_sentencepiece(files.path(_PIECES)), layout, lambda reason: refused(said.where, reason))
    languages = LanguageSettings(codes, 0, "forced", source, target if target in codes else None)
    return Built(side, {kind: token.text for kind, token in named.items()}, languages=languages)


def _random(said: Said) -> Mapping[str, object]:
    value = said.settings.get("sp_model_kwargs")
    return value if isinstance(value, Mapping) else {}


def _added(said: Said, named: Mapping[str, AddedToken], vocabulary: Mapping[str, int]) -> dict[int, AddedToken]:
    """Id -> token of those that are taken out of a text; what has no row gets one behind the last."""
    special = {token.text for token in named.values()}
    count = len(vocabulary)
    added: dict[int, AddedToken] = {}
    for token in (*(token for _, token in sorted(said.added.items())), *named.values(), *said.extra):
        number = vocabulary.get(token.text)
        if number is None:
            if any(other.text == token.text for other in added.values()):
                continue
            number, count = count, count + 1
        added.setdefault(number, replace(token, special=token.special or token.text in special))
    return added


def _names(said: Said, tokens: Mapping[str, int], added: Mapping[int, AddedToken]) -> list[str]:
    """The tokens by row number, those that are added with them.

    Raises:
        UnsupportedFormat: a row has no token, or a token two rows.
    """
    rows = {number: text for text, number in tokens.items()}
    rows |= {number: token.text for number, token in added.items()}
    missing = next((number for number in range(len(rows)) if number not in rows), None)
    if missing is not None or len(set(rows.values())) < len(rows):
        raise refused(said.where, f"its vocabulary has no token with the id {missing}, or one with two ids")
    return [rows[number] for number in range(len(rows))]


def _id_of(said: Said, token: AddedToken, vocabulary: Mapping[str, int]) -> int:
    if token.text not in vocabulary:
        raise refused(said.where, f"its vocabulary has no {token.text}")
    return vocabulary[token.text]
