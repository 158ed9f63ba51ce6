"""The decode loop beside transformers' `generate`: the same tokens and scores, for settings that hypothesis picks."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy import stats

from onnxpress.errors import InputError
from onnxpress.generation.events import Generated, Hooks, collect
from onnxpress.generation.generate import complete, generate
from onnxpress.generation.settings import GenerationConfig
from tests.parity import torch_decoder
from tests.parity.torch_decoder import VOCABULARY, TorchDecoder, encoded, padded

pytestmark = pytest.mark.filterwarnings("ignore:Unfeasible length constraints")

# A call of transformers takes a tenth of a second: to look for a smaller failure would take minutes.
few = settings(max_examples=16, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
Texts = list[list[int]]
texts = st.lists(st.lists(st.integers(3, VOCABULARY - 1), min_size=2, max_size=9), min_size=1, max_size=3)
# Padding is never generated: on transformers' side it stands in prompts, and would count as repeated.
rules = st.fixed_dictionaries(
    # Never the padding's id, 0: transformers counts it to a shorter text's own tokens.
    {"suppress_tokens": st.sampled_from([[0], [0, -1]]), "max_new_tokens": st.integers(1, 12)},
    optional={
        "eos_token_id": st.one_of(
            st.integers(1, 28), st.lists(st.integers(1, 28), min_size=2, max_size=2, unique=True)
        ),
        "min_new_tokens": st.integers(1, 6),
        "no_repeat_ngram_size": st.integers(1, 3),
        "encoder_no_repeat_ngram_size": st.integers(1, 3),
        "repetition_penalty": st.sampled_from([0.8, 1.3]),
        "bad_words_ids": st.lists(st.lists(st.integers(1, 28), min_size=1, max_size=2), min_size=1, max_size=4),
        "begin_suppress_tokens": st.lists(st.integers(-1, 28).filter(bool), min_size=1, max_size=9, unique=True),
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
    """The same of this runtime: for each text those that are returned."""
    made = model(family)
    config = GenerationConfig.from_file({"pad_token_id": 0}).merged(**call)
    if made.config.is_encoder_decoder:
        start = made.config.decoder_start_token_id
        return complete(encoded(made, read), [[start]] * len(read), config, texts=read, **more)
    return complete(TorchDecoder(made, len(read)), read, config, **more)


@pytest.mark.parametrize("family", ["llama", "bart", "t5"])
@given(read=texts, call=rules)
@few
def test_greedy_search_is_transformers(family: str, read: Texts, call: dict[str, Any]) -> None:
    expected, _ = reference(family, read, call)
    try:
        found = [list(several[0].ids) for several in ours(family, read, call)]
    except InputError:
        # The rules leave nothing: transformers takes token 0 then, whatever it is.
        assert any(0 in row for row in expected)
    else:
        assert found == expected


@pytest.mark.parametrize("family", ["llama", "bart", "t5"])
@given(read=texts, call=rules, search=beams, returned=st.integers(1, 5))
@few
def test_beam_search_is_transformers(
    family: str, read: Texts, call: dict[str, Any], search: dict[str, Any], returned: int
) -> None:
    call = {**call, **search, "num_return_sequences": min(returned, search["num_beams"])}
    expected, scores = reference(family, read, call)
    assert scores is not None
    # Where rules leave fewer texts than asked for, transformers fills up with what is none.
    real = [place for place, score in enumerate(scores) if score > -1e8]
    if {place // call["num_return_sequences"] for place in real} != set(range(len(read))):
        with pytest.raises(InputError, match="no token may come"):
            ours(family, read, call)
        return
    found = [text for several in ours(family, read, call) for text in several]
    assert len(found) == len(real)
    for text, place in zip(found, real, strict=True):
        # The same tokens in another order may have the same score but for rounding: then either may come first.
        same = list(text.ids) == expected[place]
        assert text.score == pytest.approx(scores[place], rel=1e-4 if same else 1e-6, abs=1e-4 if same else 1e-6)
        assert same or sorted(text.ids) == sorted(expected[place]) or near(scores, place)


def near(scores: list[float], place: int) -> bool:
    """Whether another text of the same list scores the same but for rounding."""
    return any(abs(score - scores[place]) < 1e-6 for other, score in enumerate(scores) if other != place)


lengths = st.fixed_dictionaries(
    {"max_length": st.integers(10, 20), "suppress_tokens": st.just([0])},
    optional={"min_length": st.integers(0, 18), "eos_token_id": st.integers(1, 28), "forced_eos_token_id": st.just(5)},
)


@given(read=texts.map(lambda several: several[:1]), call=lengths, search=st.one_of(st.just({}), beams))
@few
def test_lengths_that_count_the_prompt(read: Texts, call: dict[str, Any], search: dict[str, Any]) -> None:
    """Of one text: beside a longer one transformers counts padding too."""
    call |= search
    expected, _ = reference("llama", read, call)
    assert [list(text.ids) for text in ours("llama", read, call)[0]] == expected


@pytest.mark.filterwarnings("ignore:Using the model-agnostic default")
def test_twenty_tokens_where_nothing_is_said() -> None:
    expected, _ = reference("llama", [[5, 6, 7]], {})
    assert ours("llama", [[5, 6, 7]], {})[0][0].ids == tuple(expected[0])
    assert len(expected[0]) == 20


samplings: list[dict[str, Any]] = [
    {"top_k": 0},
    {"temperature": 0.7},
    {"temperature": 1.8, "top_k": 9, "top_p": 0.8, "repetition_penalty": 1.4},
    {"top_k": 0, "min_p": 0.05, "no_repeat_ngram_size": 1},
    {"top_k": 0, "typical_p": 0.7},
]


@pytest.mark.parametrize("call", samplings)
def test_tokens_are_drawn_as_often_as_transformers_scores_say(call: dict[str, Any]) -> None:
    read, draws = [[5, 9, 4]], 3000
    call = {**call, "do_sample": True, "max_new_tokens": 1}
    out = model("llama").generate(**padded(read, True), **call, return_dict_in_generate=True, output_scores=True)
    expected = torch.softmax(out.scores[0][0], -1).double().numpy() * draws
    found = ours("llama", read, {**call, "num_return_sequences": draws, "seed": 3})[0]
    counts = np.bincount([text.ids[0] for text in found], minlength=VOCABULARY)
    assert not counts[expected == 0].any()
    # Rare ones together: a chi-square wants a few of each.
    common = expected >= 5
    groups = [(counts[common], expected[common]), (counts[~common].sum(), expected[~common].sum())]
    observed, wanted = (np.hstack(column) for column in zip(*groups, strict=True))
    kept = wanted > 0
    assert stats.chisquare(observed[kept], wanted[kept] * (observed[kept].sum() / wanted[kept].sum())).pvalue > 1e-3


def test_beams_are_drawn_without_replacement() -> None:
    """Two of four tokens: each pair as often as drawing one after the other gives it."""
    read, draws = [[5, 9, 4]], 300
    call = {"do_sample": True, "num_beams": 2, "num_return_sequences": 2, "top_k": 4, "max_new_tokens": 1}
    out = model("llama").generate(**padded(read, True), **call, return_dict_in_generate=True, output_scores=True)
    chances = torch.softmax(out.scores[0][0], -1).double().numpy()
    alive = np.flatnonzero(chances)
    pairs = {
        (a, b): chances[a] * chances[b] * (1 / (1 - chances[a]) + 1 / (1 - chances[b])) for a in alive for b in alive
    }
    counts = dict.fromkeys([pair for pair in pairs if pair[0] < pair[1]], 0)
    for seed in range(draws):
        first, second = sorted(text.ids[0] for text in ours("llama", read, {**call, "seed": seed})[0])
        counts[first, second] += 1
    wanted = np.array([pairs[pair] for pair in counts])
    assert stats.chisquare(list(counts.values()), wanted * draws / wanted.sum()).pvalue > 1e-3


@pytest.mark.parametrize("family", ["llama", "t5"])
@pytest.mark.parametrize("call", [{"num_return_sequences": 3}, {"num_beams": 3}, {"eos_token_id": [5, 9, 13]}])
def test_a_seed_gives_a_text_its_own_draws(family: str, call: dict[str, Any]) -> None:
    """The same again, alone, and in a batch."""
    call = {"do_sample": True, "seed": 11, "max_new_tokens": 10, "repetition_penalty": 1.2, **call}
    read = [[5, 9, 4], [7, 8], [20, 3, 3, 12, 6], [7, 8]]
    together = ours(family, read, call)
    assert together == ours(family, read, call)
    assert together == [ours(family, [text], call)[0] for text in read]
    assert together[1] == together[3]
    assert together != ours(family, read, {**call, "seed": 12})


@given(
    read=texts.map(lambda several: several[:2]),
    penalty=st.sampled_from([0.1, 0.5, 1.0, 1.3]),
    end=st.integers(1, 28),
    guessed=st.integers(1, 6),
    longest=st.integers(1, 3),
)
@few
def test_guessing_changes_nothing(read: Texts, penalty: float, end: int, guessed: int, longest: int) -> None:
    """Whatever makes a text repeat itself or not."""
    call = {"max_new_tokens": 15, "repetition_penalty": penalty, "eos_token_id": end}
    guessing = call | {"prompt_lookup_num_tokens": guessed, "max_matching_ngram_size": longest}
    assert ours("llama", read, guessing) == ours("llama", read, call)


def test_guessing_saves_calls() -> None:
    """A text that repeats itself is read several tokens at a time."""
    prompt, config = [5, 6, 7, 8] * 4, GenerationConfig(max_new_tokens=40, repetition_penalty=0.05)
    plain, guessing = TorchDecoder(model("llama"), 1), TorchDecoder(model("llama"), 1)
    expected = complete(plain, [prompt], config)
    assert complete(guessing, [prompt], config.merged(prompt_lookup_num_tokens=8)) == expected
    assert guessing.calls < plain.calls * 0.7
    assert guessing.rows == plain.rows == [[*prompt, *expected[0][0].ids[:-1]]]


@pytest.mark.parametrize("call", [{}, {"prompt_lookup_num_tokens": 4}, {"do_sample": True, "num_return_sequences": 2}])
@pytest.mark.parametrize("calls", [0, 1, 2, 5])
def test_cancelled_in_the_middle_nothing_is_lost(call: dict[str, Any], calls: int) -> None:
    read = [[5, 9, 4], [7, 8]]
    left = [calls]

    def cancelled() -> bool:
        left[0] -= 1
        return left[0] < 0

    call = {"max_new_tokens": 9, "seed": 4, **call}
    whole = [text for several in ours("llama", read, call) for text in several]
    cut = [text for several in ours("llama", read, call, hooks=Hooks(cancelled=cancelled)) for text in several]
    assert [text.finish_reason for text in cut].count("cancelled") >= 1
    for text, full in zip(cut, whole, strict=True):
        assert text.ids == full.ids[: len(text.ids)]
        assert text.finish_reason == ("length" if len(text.ids) == 9 else "cancelled")


def test_cancelled_beams_return_what_they_have() -> None:
    call = {"max_new_tokens": 9, "num_beams": 3}
    for steps in (0, 4):
        answers = iter([False] * steps + [True])
        found = ours("llama", [[5, 9, 4]], call, hooks=Hooks(cancelled=lambda: next(answers)))[0][0]  # noqa: B023
        assert (found.new_tokens, found.finish_reason) == (steps, "cancelled")


def test_a_closed_iterator_stops_the_model() -> None:
    decoder = TorchDecoder(model("llama"), 2)
    events = generate(decoder, [[5, 9], [7]], GenerationConfig(max_new_tokens=30))
    seen = [next(events) for _ in range(5)]
    events.close()
    assert decoder.calls == 6  # two prompts and two steps, of two rows that are read each alone
    assert [event.row for event in seen] == [0, 1, 0, 1, 0]
    assert {text.finish_reason for several in collect(seen, [[5, 9], [7]]) for text in several} == {"cancelled"}


def test_a_long_text_does_not_pay_for_short_ones() -> None:
    read = [[5, 9, 4], [7, 8], [20, 3, 3, 12, 6]]
    ends = ours("llama", read, {"max_new_tokens": 12})[0][0].ids[3]
    decoder = TorchDecoder(model("llama"), 3)
    found = complete(decoder, read, GenerationConfig(max_new_tokens=12, eos_token_id=(ends,)))
    assert found[0][0].finish_reason == "stop"
    longest = max(several[0].new_tokens for several in found)
    assert decoder.lengths == [
        len(read[place]) + longest - 1 for place in range(3) if found[place][0].new_tokens == longest
    ]


def test_what_a_row_holds_is_not_read_again() -> None:
    """The next turn of a conversation; and a prompt that is held whole, of which the last token is read again."""
    config = GenerationConfig(max_new_tokens=6)
    decoder = TorchDecoder(model("llama"), 1)
    first = complete(decoder, [[5, 9, 4]], config)[0][0].ids
    turn = [5, 9, 4, *first, 7, 7, 8]
    assert decoder.rows == [turn[: decoder.lengths[0]]]
    assert complete(decoder, [turn], config) == ours("llama", [turn], {"max_new_tokens": 6})
    assert complete(decoder, [turn[:7]], config) == ours("llama", [turn[:7]], {"max_new_tokens": 6})


@pytest.mark.parametrize("call", [{}, {"num_beams": 2}, {"prompt_lookup_num_tokens": 3}])
def test_a_text_ends_where_the_model_does(call: dict[str, Any]) -> None:
    read = [[5, 9, 4], [7, 8], [20, 4, 3, 12, 6, 6]]
    config = GenerationConfig(max_new_tokens=50).merged(**call)
    found = complete(TorchDecoder(model("llama"), 3, limit=9), read, config)
    assert [(several[0].new_tokens, several[0].finish_reason) for several in found] == [
        (6, "length"),
        (7, "length"),
        (3, "length"),
    ]
    with pytest.raises(InputError, match="the prompt has 6 tokens, and the model takes 6"):
        complete(TorchDecoder(model("llama"), 3, limit=6), read, config)


@pytest.mark.parametrize(
    ("read", "call", "says"),
    [
        ([[5], []], {}, "prompt 1 has no token"),
        ([[5]], {}, "1 prompts for a decoder of 2 rows"),
        ([[5], [6]], {"stop_strings": "x"}, "need a hook"),
        ([[5], [6]], {"suppress_tokens": list(range(VOCABULARY))}, "no token may come"),
        ([[5], [6]], {"suppress_tokens": list(range(VOCABULARY)), "num_beams": 2}, "no token may come"),
        ([[5], [6]], {"num_beams": 20}, "too many for a vocabulary of 29"),
    ],
)
def test_what_cannot_be_continued_is_said(read: Texts, call: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        complete(TorchDecoder(model("llama"), 2), read, GenerationConfig(max_new_tokens=3).merged(**call))


def test_scores_that_are_no_numbers() -> None:
    broken = torch_decoder.llama()
    with torch.no_grad():
        broken.lm_head.weight[3] = float("nan")
    for call in ({}, {"do_sample": True}, {"num_beams": 2}):
        with pytest.raises(InputError, match="not numbers"):
            complete(TorchDecoder(broken, 1), [[5]], GenerationConfig().merged(**call))


class Digits:
    """Only the tokens 3 and 4, and a run of three after each 4; nothing after ten tokens."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.due: list[int] = []

    def restrict(self, scores: Any) -> None:
        scores[[token for token in range(VOCABULARY) if token not in (3, 4)]] = -np.inf

    def advance(self, token: int) -> None:
        self.told.append(token)
        self.due = [9, 8, 7] if token == 4 else []

    def forced(self) -> list[int]:
        due, self.due = self.due, []
        return due

    @property
    def ended(self) -> bool:
        return len(self.told) >= 10


@pytest.mark.parametrize("call", [{}, {"do_sample": True, "num_return_sequences": 2}, {"prompt_lookup_num_tokens": 3}])
@pytest.mark.parametrize("most", [7, 20])
def test_a_constraint_is_asked_told_and_obeyed(call: dict[str, Any], most: int) -> None:
    read = [[5, 9, 4], [7, 8], [20, 4, 3, 12, 6]]
    made: dict[int, Digits] = {}

    def constraint(row: int) -> Digits:
        return made.setdefault(row, Digits())

    call = {"max_new_tokens": most, "seed": 5, **call}
    found = [text for several in ours("llama", read, call, hooks=Hooks(constraint=constraint)) for text in several]
    for row, text in enumerate(found):
        assert list(text.ids) == made[row].told
        assert (text.new_tokens, text.finish_reason) == ((7, "length") if most == 7 else (10, "stop"))
        for place, token in enumerate(text.ids):
            if token == 4:
                assert [9, 8, 7][: len(text.ids) - place - 1] == list(text.ids[place + 1 : place + 4])
    assert any(4 in text.ids for text in found) and any(3 in text.ids for text in found)


@pytest.mark.parametrize("call", [{}, {"num_beams": 3}, {"prompt_lookup_num_tokens": 3}])
def test_a_text_ends_where_its_hook_says(call: dict[str, Any]) -> None:
    """As a stop string does: the token that completes it is the last."""
    read = [[5, 9, 4], [7, 8]]

    def ended(row: int) -> Any:
        told: list[int] = []
        return lambda token: told.append(token) or len(told) == 4 + row  # type: ignore[func-returns-value]

    found = ours("llama", read, {"max_new_tokens": 9, **call}, hooks=Hooks(ended=ended))
    whole = ours("llama", read, {"max_new_tokens": 9})
    for row, several in enumerate(found):
        assert (several[0].new_tokens, several[0].finish_reason) == (4 + row, "stop")
        if "num_beams" not in call:
            assert several[0].ids == whole[row][0].ids[: 4 + row]


def test_logprobs_are_the_models_own() -> None:
    """A rule does not change them."""
    found = ours("llama", [[5, 9, 4]], {"max_new_tokens": 3, "suppress_tokens": [19]}, logprobs=True)[0][0]
    with torch.no_grad():
        scores = model("llama")(torch.tensor([[5, 9, 4, *found.ids]])).logits[0, 2:-1]
    expected = torch.log_softmax(scores, -1)[torch.arange(3), list(found.ids)]
    np.testing.assert_allclose(found.logprobs, expected.numpy(), rtol=1e-5)
