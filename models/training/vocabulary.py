"""Tokenizers trained on a corpus, of each kind that checkpoints come with, the same at every run.

The trainers of `tokenizers` number an alphabet they discover in hash order, which also decides
ties between merges; so the alphabet is given in sorted order here and scores are rounded. It does
not know which model uses which kind.
"""

from __future__ import annotations

import json
import math
import string
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sentencepiece
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, MarianTokenizer, PreTrainedTokenizerFast

_BASE_ALPHABET = set(string.digits + string.ascii_letters + string.punctuation + "’“”–—…°€£")


def wordpiece(
    kind: type[PreTrainedTokenizerFast],
    special: Sequence[str],
    corpus: Sequence[str],
    vocab_size: int,
    max_length: int,
    **settings: Any,
) -> PreTrainedTokenizerFast:
    """A BERT-like tokenizer of class `kind`; characters outside the corpus become its unk token."""
    core = kind(**settings).backend_tokenizer
    alphabet = sorted(_alphabet(core, corpus))
    raw = Tokenizer(models.WordPiece())
    raw.normalizer, raw.pre_tokenizer = core.normalizer, core.pre_tokenizer
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        special_tokens=[*special, *alphabet, *(f"##{letter}" for letter in alphabet)],
        show_progress=False,
    )
    raw.train_from_iterator(corpus, trainer)
    return kind(vocab=raw.get_vocab(), model_max_length=max_length, **settings)


def unigram(
    kind: type[PreTrainedTokenizerFast],
    special: Sequence[str],
    corpus: Sequence[str],
    vocab_size: int,
    max_length: int,
    **settings: Any,
) -> PreTrainedTokenizerFast:
    """A SentencePiece-like tokenizer of class `kind`, with its unk token for unseen characters.

    The pieces are those of a BPE that never crosses punctuation; their scores are the logarithms
    of how often the Viterbi segmentation uses them, re-estimated a few times.
    """
    core = kind(**settings).backend_tokenizer
    texts = [core.normalizer.normalize_str(text) if core.normalizer else text for text in corpus]
    alphabet = sorted(_alphabet(core, corpus) | {"▁"})
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
            pre_tokenizers.Punctuation("isolated"),
        ]
    )
    trainer = trainers.BpeTrainer(vocab_size=vocab_size - len(special), initial_alphabet=alphabet, show_progress=False)
    raw.train_from_iterator(texts, trainer)
    pieces = sorted(raw.get_vocab())
    scores = dict.fromkeys(pieces, -math.log(len(pieces)))
    for _ in range(4):
        scores = _reestimate(scores, raw.pre_tokenizer, texts)
    ranked = sorted(scores.items(), key=lambda item: (-item[1], item[0]))
    vocab = [*((token, 0.0) for token in special), *ranked]
    return kind(vocab=vocab, model_max_length=max_length, **settings)


def _reestimate(
    scores: dict[str, float], pre_tokenizer: pre_tokenizers.PreTokenizer, texts: Sequence[str]
) -> dict[str, float]:
    """One round of hard EM: segment the texts, count, take logarithms; one count is given free."""
    pieces = list(scores)
    model = Tokenizer(models.Unigram([("<unk>", 0.0), *scores.items()], 0, False))
    model.pre_tokenizer = pre_tokenizer
    counts = [1] * len(pieces)
    for encoding in model.encode_batch(list(texts), add_special_tokens=False):
        for index in encoding.ids:
            if index:
                counts[index - 1] += 1
    total = sum(counts)
    return {p: round(math.log(n / total), 4) for p, n in zip(pieces, counts, strict=True)}


def byte_level(
    kind: type[PreTrainedTokenizerFast],
    special: Sequence[str],
    corpus: Sequence[str],
    vocab_size: int,
    max_length: int,
    **settings: Any,
) -> PreTrainedTokenizerFast:
    """A RoBERTa- or GPT-2-like tokenizer of class `kind`: BPE over bytes, so no character is unknown."""
    vocab, merges = _byte_level_bpe(corpus, vocab_size, special)
    return kind(vocab=vocab, merges=merges, model_max_length=max_length, **settings)


def whole_words(words: Sequence[str], max_length: int) -> CLIPTokenizer:
    """A CLIP tokenizer that has one token for each of the words, and letters for all others."""
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        *letters, last = word
        start = ""
        for piece in (*letters, f"{last}</w>"):
            if start:
                merges.setdefault((start, piece))
            start += piece
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *map("".join, merges)]
    numbered = dict.fromkeys([*pieces, "<|startoftext|>", "<|endoftext|>"])
    return CLIPTokenizer(
        vocab={piece: index for index, piece in enumerate(numbered)},
        merges=list(merges),
        model_max_length=max_length,
    )


def _byte_level_bpe(
    corpus: Sequence[str], vocab_size: int, special: Sequence[str]
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    raw.train_from_iterator(corpus, trainer)
    merges = json.loads(raw.to_str())["model"]["merges"]
    return raw.get_vocab(), [(left, right) for left, right in merges]


def marian(
    source: Sequence[str], target: Sequence[str], vocab_size: int, max_length: int, **settings: Any
) -> MarianTokenizer:
    """A Marian tokenizer: a SentencePiece model of `vocab_size` pieces for each side, and one list of ids for both.

    As in the published models the end token is id 0, the unknown one id 1 and padding the last.
    """
    sides = [_sentencepiece(texts, vocab_size) for texts in (source, target)]
    pieces = dict.fromkeys(piece for side in sides for piece in _pieces(side))
    vocab = {piece: index for index, piece in enumerate(["</s>", "<unk>", *pieces, "<pad>"])}
    # The tokenizer reads files, and holds what it has read.
    with TemporaryDirectory() as name:
        source_spm, target_spm, ids = (Path(name) / file for file in ("source.spm", "target.spm", "vocab.json"))
        source_spm.write_bytes(sides[0])
        target_spm.write_bytes(sides[1])
        ids.write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
        return MarianTokenizer(str(source_spm), str(target_spm), str(ids), model_max_length=max_length, **settings)


def _sentencepiece(texts: Sequence[str], vocab_size: int) -> bytes:
    """A serialized Unigram model; one thread, so that it is the same at every run."""
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocab_size,
        character_coverage=1.0,
        num_threads=1,
        bos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def _pieces(model: bytes) -> list[str]:
    read = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = range(read.get_piece_size())
    return [read.id_to_piece(i) for i in ids if not (read.is_control(i) or read.is_unknown(i))]


def _alphabet(core: Tokenizer, corpus: Sequence[str]) -> set[str]:
    """Every character that the normalizer leaves of the corpus and of plain ASCII text."""
    letters = _BASE_ALPHABET.union(*map(set, corpus))
    text = core.normalizer.normalize_str(" ".join(sorted(letters))) if core.normalizer else ""
    return {letter for letter in text or letters if not letter.isspace()}
