"""The decode loop beside transformers' `generate`: the same tokens, the same scores, for settings that hypothesis picks."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from onnxpress.generation.events import Generated, Hooks, collect
from onnxpress.generation.loop import complete, generate
from onnxpress.generation.settings import GenerationConfig
from tests.parity import torch_decoder
from tests.parity.torch_decoder import VOCABULARY, TorchDecoder, encoded, padded

pytestmark = pytest.mark.filterwarnings("ignore:Unfeasible length constraints")

Texts = list[list[int]]
texts = st.lists(st.lists(st.integers(3, VOCABULARY - 1), min_size=2, max_size=9), min_size=1, max_size=3)
# Padding is never generated: on transformers' side it stands in prompts, and would count as repeated.
rules = st.fixed_dictionaries(
    {"suppress_tokens": st.just([0]), "max_new_tokens": st.integers(1, 12)},
    optional={
        "eos_token_id": st.one_of(st.integers(1, 28), st.lists(st.integers(1, 28), min_size=2, max_size=2, unique=True)),
        "min_new_tokens": st.integers(1, 6),
        "no_repeat_ngram_size": st.integers(1, 3),
        "encoder_no_repeat_ngram_size": st.integers(1, 3),
        "repetition_penalty": st.sampled_from([0.8, 1.3]),
        "bad_words_ids": st.lists(st.lists(st.integers(1, 28), min_size=1, max_size=2), min_size=1, max_size=4),
        "begin_suppress_tokens": st.lists(st.integers(1, 28), min_size=1, max_size=9, unique=True),
        "forced_bos_token_id": st.integers(1, 28),
        "forced_eos_token_id": st.integers(1, 28),
    },
)
beams = st.fixed_dictionaries(
    {"num_beams": st.integers(2, 5)},
    optional={
        "length_penalty": st.sampled_from([0.0, 0.5, 2.0, -1.0]),
        "early_stopping": st.sampled_from([True, "never"]),
        "renormalize_logits": st.just(True),
    },
)


@cache
def model(family: str) -> Any:
    return getattr(torch_decoder, family)()


def reference(family: str, read: Texts, call: dict[str, Any]) -> tuple[Texts, list[float] | None]:
    """Of each text, in order, the generated tokens up to the one that ended them; and a beam's scores."""
    made = model(family)
    inputs = padded(read, left=not made.config.is_encoder_decoder)
    torch.manual_seed(0)
    out = made.generate(**inputs, **call, return_dict_in_generate=True, output_scores=True)
    start = 1 if made.config.is_encoder_decoder else inputs["input_ids"].shape[1]
    ends = call.get("eos_token_id", [])
    ends = [ends] if isinstance(ends, int) else ends
    rows = []
    for row in out.sequences[:, start:].tolist():
        first = next((place for place, token in enumerate(row) if token in ends), len(row) - 1)
        rows.append(row[: first + 1])
    scores = out.sequences_scores.tolist() if call.get("num_beams", 1) > 1 else None
    return rows, scores


def ours(family: str, read: Texts, call: dict[str, Any], **more: Any) -> list[list[Generated]]:
    made = model(family)
    config = GenerationConfig.from_file({"pad_token_id": 0}).merged(**call)
    if made.config.is_encoder_decoder:
        start = made.config.decoder_start_token_id
        return complete(encoded(made, read), [[start]] * len(read), config, texts=read, **more)
    return complete(TorchDecoder(made, len(read)), read, config, **more)


@pytest.mark.parametrize("family", ["llama", "bart", "t5"])
@given(read=texts, call=rules)
@settings(max_examples=25, deadline=None)
def test_greedy_search_is_transformers(family: str, read: Texts, call: dict[str, Any]) -> None:
    expected, _ = reference(family, read, call)
    found = [list(several[0].ids) for several in ours(family, read, call)]
    assert found == expected


@pytest.mark.parametrize("family", ["llama", "bart", "t5"])
@given(read=texts, call=rules, search=beams, returned=st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_beam_search_is_transformers(
    family: str, read: Texts, call: dict[str, Any], search: dict[str, Any], returned: int
) -> None:
    call = {**call, **search, "num_return_sequences": min(returned, search["num_beams"])}
    expected, scores = reference(family, read, call)
    found = ours(family, read, call)
    assert [list(text.ids) for several in found for text in several] == expected
    np.testing.assert_allclose([text.score for several in found for text in several], scores, rtol=1e-4, atol=1e-4)
