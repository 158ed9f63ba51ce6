"""Every rule beside transformers' own processor, on scores and texts that hypothesis makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.generation import logits_process as theirs

from onnxpress.generation import rules as ours
from onnxpress.generation.rules import Rule, Written

VOCABULARY = 23
END = (2, 5)

PAIRS: dict[str, Callable[[int], tuple[Rule, Any]]] = {
    "repetition penalty": lambda prompt: (
        ours.repetition_penalty(1.3),
        theirs.RepetitionPenaltyLogitsProcessor(1.3),
    ),
    "no repeated pair": lambda prompt: (ours.no_repeated_ngram(2), theirs.NoRepeatNGramLogitsProcessor(2)),
    "no repeated token": lambda prompt: (ours.no_repeated_ngram(1), theirs.NoRepeatNGramLogitsProcessor(1)),
    "nothing of the encoder's": lambda prompt: (
        ours.not_again([1, 2, 3, 1, 4, 0, 0, 5], 2),
        theirs.EncoderNoRepeatNGramLogitsProcessor(2, torch.tensor([[1, 2, 3, 1, 4, 0, 0, 5]])),
    ),
    "no words": lambda prompt: (
        ours.no_words([[3], [1, 2], [4, 4, 1]]),
        theirs.NoBadWordsLogitsProcessor([[3], [1, 2], [4, 4, 1]], eos_token_id=list(END)),
    ),
    "not before": lambda prompt: (
        ours.not_before(3, END),
        theirs.MinNewTokensLengthLogitsProcessor(prompt, 3, list(END)),
    ),
    "never": lambda prompt: (ours.never([1, 4]), theirs.SuppressTokensLogitsProcessor([1, 4])),
    "never first": lambda prompt: (
        ours.never([1, 4], place=0),
        theirs.SuppressTokensAtBeginLogitsProcessor([1, 4], prompt),
    ),
    "forced last": lambda prompt: (ours.forced(4, [2]), theirs.ForcedEOSTokenLogitsProcessor(prompt + 5, 2)),
    "numbers only": lambda prompt: (ours.numbers_only(), theirs.InfNanRemoveLogitsProcessor()),
    "temperature": lambda prompt: (ours.temperature(0.7), theirs.TemperatureLogitsWarper(0.7)),
    "top k": lambda prompt: (ours.top_k(5), theirs.TopKLogitsWarper(5)),
    "top k of all": lambda prompt: (ours.top_k(VOCABULARY + 9), theirs.TopKLogitsWarper(VOCABULARY + 9)),
    "top p": lambda prompt: (ours.top_p(0.8), theirs.TopPLogitsWarper(0.8)),
    "top p, two at least": lambda prompt: (ours.top_p(0.2, 2), theirs.TopPLogitsWarper(0.2, min_tokens_to_keep=2)),
    "min p": lambda prompt: (ours.min_p(0.2), theirs.MinPLogitsWarper(0.2)),
    "typical p": lambda prompt: (ours.typical_p(0.6), theirs.TypicalLogitsWarper(0.6)),
}

texts = st.tuples(
    st.lists(st.integers(0, 6), min_size=1, max_size=8), st.lists(st.integers(0, 6), min_size=0, max_size=8)
)
# Scores that differ by more than rounding: which of two equal ones is dropped, no rule says.
scored = st.permutations([float(number) / 2 - 4 for number in range(VOCABULARY)])


@pytest.mark.parametrize("name", PAIRS)
@given(text=texts, scores=scored, cut=st.integers(0, 12))
@settings(max_examples=30, deadline=None)
def test_a_rule_does_what_transformers_does(
    name: str, text: tuple[list[int], list[int]], scores: list[float], cut: int
) -> None:
    """`cut`: so many tokens cannot come already, as after another rule."""
    prompt, generated = text
    ids = np.array([*prompt, *generated], np.int64)
    given_scores = np.array(scores, np.float32)
    given_scores[np.argsort(given_scores)[:cut]] = -np.inf
    rule, processor = PAIRS[name](len(prompt))
    found = given_scores.copy()
    rule(Written(ids, len(prompt)), found)
    expected = processor(torch.from_numpy(ids)[None], torch.from_numpy(given_scores)[None].clone())[0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_penalties_count_what_was_generated() -> None:
    scores = np.zeros(6, np.float32)
    ours.occurrence_penalty(0.5, 0.25)(Written(np.array([1, 1, 2, 3, 3]), 2), scores)
    assert scores.tolist() == [0, 0, -0.75, -1.0, 0, 0]


@pytest.mark.parametrize(
    "rule",
    [
        ours.repetition_penalty(2.0),
        ours.no_repeated_ngram(1),
        ours.occurrence_penalty(1, 1),
        ours.not_before(9, [3, 9]),
        ours.never([3, 9]),
        ours.forced(2, [0, 9]),
        ours.not_again([9, 3, 3, 9], 1),
    ],
)
def test_tokens_beyond_the_head_do_no_harm(rule: Rule) -> None:
    """A vocabulary may have more tokens than a model has scores."""
    scores = np.ones(4, np.float32)
    rule(Written(np.array([9, 3]), 0), scores)
    assert len(scores) == 4 and scores[0] >= 0 and scores[3] < 1
