"""One row for each architecture: a random checkpoint, exported, must answer as its own library does.

Sentence vectors and rankings are held against sentence-transformers, answers to questions against the model computed
here (transformers 5 has no such pipeline), everything else against transformers' pipelines. Every task has its own
file beside this one; here it is the architectures that vary. Rows that other files export too cost nothing twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.parity.alike import assert_alike
from tests.parity.test_text_ranking import assert_ranks, expected_scores
from tests.parity.texts import SENTENCES

TEXTS = (*SENTENCES, "good", "", "the quick brown fox, jumps over the lazy dog! " * 3, "e\u0301 👩‍👩‍👧‍👦 [MASK] İ")

#: tests/exporter/test_sliding_windows.py shows their kind in less time.
LONG = (("longformer", "text-classification"), ("longformer", "question-answering"))

#: Architecture, task. What they bring: no token types (distilbert, mpnet, modernbert), positions with an offset
#: (roberta and its kin), Unigram tokenizers (albert, camembert, xlm_roberta), relative positions (mpnet, deberta,
#: xlnet), no attention mask, so that padding changes answers (fnet), causal attention and the last token's logits
#: (gpt2, qwen3), padding on the left (qwen3, xlnet), windows and global tokens (longformer).
FAST: tuple[tuple[str, str], ...] = (
    ("bert", "text-classification"),
    ("deberta_v2", "text-classification"),
    ("fnet", "text-classification"),
    ("qwen3", "text-classification"),
    ("roberta", "token-classification"),
    ("xlm_roberta", "token-classification"),
    ("albert", "fill-mask"),
    ("mpnet", "sentence-similarity"),
    ("convbert", "question-answering"),
)
#: Each is an export of 10 s, and brings what another one in FAST brings too.
NIGHTLY: tuple[tuple[str, str], ...] = (
    ("distilbert", "text-classification"),
    ("xlnet", "text-classification"),
    ("gpt2", "text-classification"),
    ("camembert", "token-classification"),
    ("modernbert", "token-classification"),
    ("deberta", "token-classification"),
    ("electra", "feature-extraction"),
    ("roberta", "text-ranking"),
    ("big_bird", "zero-shot-classification"),
    *LONG,
)
ROWS = [
    *(pytest.param(*row, id="-".join(row)) for row in FAST),
    *(pytest.param(*row, id="-".join(row), marks=pytest.mark.nightly) for row in NIGHTLY),
]


@pytest.mark.parametrize(("architecture", "task"), ROWS)
def test_answers_are_the_same(
    architecture: str, task: str, tiny: Callable[..., Path], ours: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = tiny(architecture, task)
    CHECKS[task](ours(checkpoint, task), checkpoint, reference)


Reference = Callable[[Path, str], Any]


def text_classification(pipe: Any, checkpoint: Path, reference: Reference) -> None:
    texts = _not_empty(reference(checkpoint, "text-classification").pipe.tokenizer)
    expected = [reference(checkpoint, "text-classification")(text, top_k=None) for text in texts]
    assert_alike(pipe(texts, top_k=None), expected)
    assert_alike([pipe(text, top_k=None) for text in texts], expected)
    if pipe.processor.tokenizer.special_count(pair=True) > 0:
        pair = {"text": SENTENCES[0], "text_pair": "the fox"}
        assert_alike(pipe(pair), reference(checkpoint, "text-classification")(pair))


def token_classification(pipe: Any, checkpoint: Path, reference: Reference) -> None:
    theirs = reference(checkpoint, "token-classification")
    texts = _not_empty(theirs.pipe.tokenizer)
    for strategy in ("none", "simple", "first", "average", "max"):
        options = {"aggregation_strategy": strategy, "ignore_labels": []}
        assert_alike(pipe(texts, **options), theirs(texts, **options))
    windows = {"aggregation_strategy": "simple", "stride": 10}
    assert_alike(pipe(" ".join(TEXTS), **windows), theirs(" ".join(TEXTS), **windows))


def zero_shot_classification(pipe: Any, checkpoint: Path, reference: Reference) -> None:
    theirs = reference(checkpoint, "zero-shot-classification")
    texts, labels = [text for text in TEXTS if text], ["food", "sport", "a word"]
    for multi_label in (False, True):
        expected = theirs(texts, labels, multi_label=multi_label)
        assert_alike(pipe(texts, labels, multi_label=multi_label), expected)


def text_ranking(pipe: Any, checkpoint: Path, reference: Reference) -> None:
    documents = list(TEXTS)
    assert_ranks(
        pipe("the capital of france", documents), expected_scores(checkpoint, "the capital of france", documents)
    )


def fill_mask(pipe: Any, checkpoint: Path, reference: Reference) -> None:
    theirs = reference(checkpoint, "fill-mask")
    mask = theirs.pipe.tokenizer.mask_token
    texts = [f"the quick {mask} jumps", f"{mask} 今天天气很好 {mask}", f"good{mask}"]
    expected = [theirs(text, top_k=3) for text in texts]
    assert_alike(pipe(texts, top_k=3), expected)


def feature_extraction(pipe: Any, checkpoint: Path, reference: Reference) -> None:
    texts = list(TEXTS)
    for obtained, expected in zip(pipe(texts), reference(checkpoint, "feature-extraction")(texts), strict=True):
        np.testing.assert_allclose(np.array(obtained), np.array(expected), atol=1e-4)


def sentence_similarity(pipe: Any, checkpoint: Path, reference: Reference) -> None:
    from sentence_transformers import SentenceTransformer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = SentenceTransformer(str(checkpoint), device="cpu").encode(list(TEXTS))
    np.testing.assert_allclose(pipe(list(TEXTS)), expected, atol=1e-5)


def question_answering(pipe: Any, checkpoint: Path, reference: Reference) -> None:
    for question, context in (("who works at acme?", "john smith works at acme in london."), ("is it?", TEXTS[3])):
        found = pipe(question=question, context=context, align_to_words=False)
        start, end, score = _best_span(checkpoint, question, context)
        assert (found["start"], found["end"], found["answer"]) == (start, end, context[start:end])
        assert found["score"] == pytest.approx(score, abs=1e-4)


def _best_span(checkpoint: Path, question: str, context: str) -> tuple[int, int, float]:
    """First character, the one after the last, and P(start) P(end) of the best span of at most 15 tokens."""
    import torch
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        model = AutoModelForQuestionAnswering.from_pretrained(checkpoint)
    encoding = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
    offsets = encoding.pop("offset_mapping")[0].tolist()
    sides = encoding.sequence_ids(0)
    with torch.no_grad():
        outputs = model(**encoding)
    allowed = torch.tensor([side == 1 or i == 0 for i, side in enumerate(sides)])  # the context, and [CLS]: no answer
    start, end = (
        torch.where(allowed, logits[0], -torch.inf).softmax(-1) for logits in (outputs.start_logits, outputs.end_logits)
    )
    inside = [i for i, side in enumerate(sides) if side == 1]
    spans = {(i, j): float(start[i] * end[j]) for i in inside for j in inside if i <= j < i + 15}
    first, last = max(spans, key=lambda span: spans[span])
    return offsets[first][0], offsets[last][1], spans[first, last]


def _not_empty(tokenizer: Any) -> list[str]:
    """The texts that the tokenizer makes any token of: one without special tokens makes none of an empty text."""
    return [text for text in TEXTS if tokenizer(text)["input_ids"]]


CHECKS: Mapping[str, Callable[[Any, Path, Reference], None]] = {
    "text-classification": text_classification,
    "token-classification": token_classification,
    "zero-shot-classification": zero_shot_classification,
    "text-ranking": text_ranking,
    "fill-mask": fill_mask,
    "feature-extraction": feature_extraction,
    "sentence-similarity": sentence_similarity,
    "question-answering": question_answering,
}
