"""Requests that join and leave while others run: each text is what its request gets alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.manifest import GraphInfo
from onnxpress.generation.decoders.cross import CrossModel
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.growing import GrowingDecoder
from onnxpress.generation.decoders.rows import RowsDecoder
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress.generation.decoders.traced import TracedModel
from onnxpress.generation.events import Event, Hooks
from onnxpress.generation.generate import complete
from onnxpress.generation.pace import Pace
from onnxpress.generation.pool.blocks import KeptBlocks
from onnxpress.generation.requests import Request
from onnxpress.generation.row import rows_of
from onnxpress.generation.scheduler import OpenDecoder, Scheduler, opener, room
from onnxpress.generation.settings import GenerationConfig
from tests.fixtures import decoder_graphs as graphs

LIMIT = 160
KINDS = (
    "shared",
    "shared with prefixes",
    "shared with kept",
    "growing",
    "state",
    "none",
    "shared after an encoder",
    "growing after an encoder",
)


ROWWISE: dict[str, Callable[[Path], GraphInfo]] = {"state": graphs.state_decoder, "none": graphs.whole_decoder}


@dataclass(frozen=True)
class Opened:
    """What opens decoders of a model, and whether they read a text before."""

    decoder: OpenDecoder
    encodes: bool


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Opened]:
    folder = tmp_path_factory.mktemp("graphs")
    made = {}
    for kind in KINDS:
        path, cache, cross = folder / f"{kind}.onnx", kind.split()[0], "encoder" in kind
        if cache in ROWWISE:
            info = ROWWISE[cache](path)
        else:
            info = (graphs.shared_decoder if cache == "shared" else graphs.growing_decoder)(path, cross=cross)
        graph = read("model", info, cache)
        made[kind] = _opened(folder, path, graph, kind)
    return made


def _opened(folder: Path, path: Path, graph: Any, kind: str) -> Opened:
    if "encoder" in kind:
        graphs.encoder(folder / "encoder.onnx")
        session = Session({"encoder": folder / "encoder.onnx", "model": path}, threads=1)
        model = CrossModel(session, "encoder", graph, LIMIT, growing="growing" in kind)
        return Opened(_reader(model), True)
    session = Session({"model": path}, threads=1)
    if kind == "growing":
        return Opened(opener(TracedModel(GrowingDecoder, session, graph, LIMIT)), False)
    if kind in ROWWISE:
        return Opened(opener(TracedModel(RowsDecoder, session, graph, LIMIT)), False)
    model = SharedModel(session, graph, LIMIT, 2**20 if "prefixes" in kind else 0)
    return Opened(opener(model, KeptBlocks(2**20, model.token_bytes) if "kept" in kind else None), False)


def _reader(model: CrossModel) -> OpenDecoder:
    """What opens decoders whose encoder reads the requests' texts, side by side."""

    def open_decoder(requests: Sequence[Request]) -> Any:
        texts = [request.text or () for request in requests]
        ids, mask = np.zeros((2, len(texts), max(map(len, texts))), np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        return model.encode(ids, mask, room(requests, model.limit))

    return open_decoder


def ends_after(count: int) -> Callable[[int], Callable[[int], bool]]:
    """A hook as a stop string is one: after so many tokens, or those of a kind, a text is complete."""

    def ended(row: int) -> Callable[[int], bool]:
        told: list[int] = []

        def asked(token: int) -> bool:
            told.append(token)
            return len(told) >= count + row % 2 and token % 3 == 0

        return asked

    return ended


class EvenTokens:
    """A constraint: even tokens alone, and after each that 8 divides two that must follow."""

    def __init__(self) -> None:
        self._due: list[int] = []
        self._told = 0

    def restrict(self, scores: np.ndarray) -> None:
        scores[1::2] = -np.inf

    def advance(self, token: int) -> None:
        self._told += 1
        self._due = [3, 5] if token % 8 == 0 else []

    def forced(self) -> Sequence[int]:
        due, self._due = self._due, []
        return due

    @property
    def ended(self) -> bool:
        return self._told > 9


@st.composite
def requests(draw: st.DrawFn) -> Request:
    beginning = draw(st.sampled_from([0, 0, 20, 40]))  # what several prompts have in common
    new = draw(st.one_of(st.integers(1, 12), st.integers(30, 100)))
    random = np.random.default_rng(draw(st.integers(0, 99)))
    prompt = [*range(beginning), *random.integers(0, graphs.VOCABULARY, new).tolist()]
    call: dict[str, Any] = {"max_new_tokens": draw(st.integers(1, 14))}
    call |= draw(
        st.sampled_from(
            [
                {},
                {"eos_token_id": tuple(range(0, graphs.VOCABULARY, 9))},
                {"repetition_penalty": 1.3, "no_repeat_ngram_size": 2},
                {"do_sample": True, "temperature": 0.8, "top_k": 20},
                {"do_sample": True, "top_k": 0, "top_p": 0.7, "num_return_sequences": 3},
                {"do_sample": True, "num_return_sequences": 2, "eos_token_id": tuple(range(0, graphs.VOCABULARY, 5))},
                {"prompt_lookup_num_tokens": 3, "repetition_penalty": 0.3},
            ]
        )
    )
    call["seed"] = draw(st.integers(0, 5))
    hooks = draw(st.sampled_from([Hooks(), Hooks(ended=ends_after(3)), Hooks(constraint=lambda row: EvenTokens())]))
    text = random.integers(0, graphs.VOCABULARY, draw(st.integers(1, 12))).tolist()
    return Request(prompt, GenerationConfig(**call), text, hooks, logprobs=True)


Texts = dict[int, tuple[list[int], str | None]]


def texts_of(events: Sequence[tuple[int, Event]], request: int) -> Texts:
    """Of each row of a request its tokens, and how it ended."""
    tokens: dict[int, list[int]] = defaultdict(list)
    finishes: dict[int, str | None] = {}
    for owner, event in events:
        if owner == request:
            assert event.row not in finishes, "nothing comes after the end"
            if event.token is not None:
                tokens[event.row].append(event.token)
            if event.finish is not None:
                finishes[event.row] = event.finish
    return {row: (tokens[row], finishes.get(row)) for row in tokens.keys() | finishes.keys()}


def alone(model: Opened, request: Request) -> Texts:
    decoder = model.decoder([request])
    texts = [list(request.text or ())] if model.encodes else None
    [generated] = complete(decoder, [request.prompt], request.config, texts=texts, hooks=request.hooks)
    decoder.close()
    return {row: (list(text.ids), text.finish_reason) for row, text in enumerate(generated)}


def fitting(model: Opened, request: Request) -> Request:
    return replace(request, prompt=request.prompt[:3]) if model.encodes else replace(request, text=None)


@pytest.mark.parametrize("kind", KINDS)
@given(
    schedule=st.lists(st.tuples(st.integers(0, 6), requests(), st.integers(0, 2)), min_size=1, max_size=6),
    rows=st.one_of(st.none(), st.integers(3, 6)),
    chunk=st.sampled_from([1, 3, 8, 32, None]),
    freed=st.dictionaries(st.integers(0, 5), st.integers(1, 12), max_size=2),
    spare=st.one_of(st.none(), st.integers(0, 40)),
)
@settings(max_examples=40, deadline=None)
def test_whoever_comes_and_goes_a_text_is_what_it_is_alone(
    models: dict[str, Opened],
    kind: str,
    schedule: list[tuple[int, Request, int]],
    rows: int | None,
    chunk: int | None,
    freed: dict[int, int],
    spare: int | None,
) -> None:
    model = models[kind]
    asked = [(wait, replace(fitting(model, request), priority=priority)) for wait, request, priority in schedule]
    largest = max(sum(row.prompt + row.most for row in rows_of(request, LIMIT)) for _, request in asked)
    tokens = None if spare is None else largest + spare
    scheduler = Scheduler(model.decoder, LIMIT, rows=rows, chunk_tokens=chunk, tokens=tokens)
    arrivals = list(np.cumsum([wait for wait, _ in asked]))
    ids: dict[int, int] = {}
    events: list[tuple[int, Event]] = []
    gone: set[int] = set()
    turn = 0
    while scheduler.busy or turn <= arrivals[-1]:
        for place, arrival in enumerate(arrivals):
            if arrival == turn:
                ids[place] = scheduler.admit(asked[place][1])
            if place in ids and arrival + freed.get(place, 10**9) == turn:
                scheduler.free(ids[place])
                gone.add(place)
        new = scheduler.step()
        assert rows is None or scheduler.rows <= rows
        assert not {owner for owner, _ in new} & {ids[place] for place in gone}, "who was freed says nothing"
        events += new
        turn += 1
        assert turn < 3000
    assert (scheduler.rows, scheduler.waiting) == (0, 0)
    for place, (_, request) in enumerate(asked):
        expected, texts = alone(model, request), texts_of(events, ids[place])
        if place not in gone:
            assert texts == expected
        for row, (tokens, _) in texts.items():
            assert tokens == expected[row][0][: len(tokens)]
    scheduler.close()


def greedy(length: int, new: int, seed: int = 0, **more: Any) -> Request:
    prompt = np.random.default_rng(seed).integers(0, graphs.VOCABULARY, length).tolist()
    return Request(prompt, GenerationConfig(max_new_tokens=new), **more)


def test_a_long_prompt_does_not_stop_those_that_write(models: dict[str, Opened]) -> None:
    scheduler = Scheduler(models["shared"].decoder, LIMIT, chunk_tokens=8)
    writer = scheduler.admit(greedy(4, 40))
    scheduler.step()
    reader = scheduler.admit(greedy(120, 3, seed=1))
    for _ in range(120 // 8 - 1):
        assert [owner for owner, _ in scheduler.step()] == [writer], "a token in each turn, while the other is read"
    assert {owner for owner, _ in scheduler.step()} == {writer, reader}


def test_a_lone_prompt_is_read_in_few_calls(models: dict[str, Opened]) -> None:
    scheduler = Scheduler(models["shared"].decoder, LIMIT, chunk_tokens=8)
    scheduler.admit(greedy(120, 3))
    assert len(scheduler.step()) == 2  # the prompt, and a step after it


def test_a_short_prompt_does_not_wait_for_a_long_one_nor_the_long_one_for_ever(models: dict[str, Opened]) -> None:
    scheduler = Scheduler(models["shared"].decoder, LIMIT, chunk_tokens=8)
    scheduler.admit(greedy(4, 60))
    scheduler.step()
    long = scheduler.admit(greedy(96, 1, seed=1))
    first: dict[int, int] = {}
    for turn in range(40):
        if turn % 2:
            scheduler.admit(greedy(10, 1, seed=2 + turn))  # one short prompt after the other
        for owner, _ in scheduler.step():
            first.setdefault(owner, turn)
    assert first[long] <= 2 * 96 // 8 + 1
    assert min(turn for owner, turn in first.items() if owner > long) <= 3


def test_of_those_that_wait_the_most_urgent_is_next(models: dict[str, Opened]) -> None:
    scheduler = Scheduler(models["shared"].decoder, LIMIT, rows=1)
    ids = [scheduler.admit(greedy(3, 2, seed=seed, priority=priority)) for seed, priority in enumerate([0, 2, 1, 2])]
    assert scheduler.waiting == 4
    order = []
    while scheduler.busy:
        order += [owner for owner, event in scheduler.step() if event.finish]
    assert order == [ids[1], ids[3], ids[2], ids[0]]


def test_a_request_that_fails_does_not_take_the_others_with_it(models: dict[str, Opened]) -> None:
    nothing = GenerationConfig(max_new_tokens=4, suppress_tokens=tuple(range(graphs.VOCABULARY)))

    def broken(row: int) -> Callable[[int], bool]:
        def ended(token: int) -> bool:
            raise RuntimeError("a hook's own fault")

        return ended

    good = greedy(5, 6)
    for kind in ("shared", "growing"):
        scheduler = Scheduler(models[kind].decoder, LIMIT)
        ids = [
            scheduler.admit(request)
            for request in (
                good,
                replace(good, config=nothing),
                replace(good, hooks=Hooks(ended=broken)),
                replace(good, prompt=[1, 2, graphs.VOCABULARY]),
            )
        ]
        events = []
        while scheduler.busy:
            events += scheduler.step()
        assert texts_of(events, ids[0]) == alone(models[kind], good)
        errors = {owner: event.error for owner, event in events if event.finish == "failed"}
        assert [str(errors[owner])[:20] for owner in ids[1:]] == [
            "no token may come ne",
            "a hook's own fault",
            "Tokens are from 0 to",
        ]


def test_what_can_never_be_written_is_refused_at_once(models: dict[str, Opened]) -> None:
    scheduler = Scheduler(models["shared"].decoder, LIMIT, rows=2)
    for request, says in (
        (Request([], GenerationConfig()), "no token"),
        (Request([1] * LIMIT, GenerationConfig()), "shorten it"),
        (Request([1], GenerationConfig(stop_strings=("x",))), "need a hook"),
    ):
        with pytest.raises(InputError, match=says):
            scheduler.admit(request)
    assert not scheduler.busy


def test_a_hook_that_cancels_ends_its_requests_alone(models: dict[str, Opened]) -> None:
    answers = iter([False, False, True])
    asked: list[bool] = []

    def cancelled() -> bool:
        asked.append(next(answers))
        return asked[-1]

    scheduler = Scheduler(models["shared"].decoder, LIMIT)
    hooks = Hooks(cancelled=cancelled)
    first, second = (scheduler.admit(greedy(3, 9, seed, hooks=hooks)) for seed in (1, 2))
    other = scheduler.admit(greedy(3, 9, 3))
    events = []
    while scheduler.busy:
        events += scheduler.step()
    assert asked == [False, False, True], "once for both in each turn"
    for request in (first, second):
        assert texts_of(events, request)[0][1] == "cancelled"
    assert texts_of(events, other) == alone(models["shared"], greedy(3, 9, 3))


def test_who_came_last_gives_its_memory_up_and_writes_the_same(models: dict[str, Opened]) -> None:
    drawn = GenerationConfig(max_new_tokens=60, do_sample=True, seed=3)
    asked = [greedy(10, 60, seed) for seed in range(3)] + [replace(greedy(10, 1, 9), config=drawn)]
    for kind in ("shared", "shared with prefixes", "growing", "state"):
        scheduler = Scheduler(models[kind].decoder, LIMIT, tokens=160)
        ids = [scheduler.admit(request) for request in asked]
        events: list[tuple[int, Event]] = []
        while scheduler.busy:
            events += scheduler.step()
            assert scheduler.tokens <= 160
        assert scheduler.given_up > 0
        for request, owner in zip(asked, ids, strict=True):
            assert texts_of(events, owner) == alone(models[kind], request)
        with pytest.raises(InputError, match="there is memory for 160"):
            scheduler.admit(replace(greedy(90, 1), config=replace(drawn, num_return_sequences=2)))


def test_a_request_waits_until_there_is_memory_for_it(models: dict[str, Opened]) -> None:
    scheduler = Scheduler(models["shared"].decoder, LIMIT, tokens=100)
    for seed in range(3):
        scheduler.admit(greedy(40, 5, seed))
    scheduler.step()
    assert (scheduler.rows, scheduler.waiting) == (2, 1)
    while scheduler.waiting:
        scheduler.step()
    assert scheduler.rows == 1, "what ended gave its memory back"


def test_chunks_are_as_long_as_their_time_allows() -> None:
    pace = Pace(target_s=0.1, first_tokens=64)
    assert pace.tokens == 64
    for _ in range(50):
        pace.note_step(0.02)
        pace.note_chunk(64, 0.064)
    assert 38 <= pace.tokens <= 40, "three of the usual gaps, the step itself among them"
    for _ in range(50):
        pace.note_step(0.05)
    assert 48 <= pace.tokens <= 50, "and never longer than the target"
    for _ in range(50):
        pace.note_step(0.2)
    assert pace.tokens == 16, "a prompt is read, however slow the others are"
    pace.note_chunk(1, 9.0)
    assert pace.tokens == 16
    for _ in range(50):
        pace.note_step(0.001)
        pace.note_chunk(64, 0.001)
    assert pace.tokens == 256


def test_logprobs_are_of_the_model_and_a_bias_is_not(models: dict[str, Opened]) -> None:
    scheduler = Scheduler(models["shared"].decoder, LIMIT)
    request = greedy(5, 4)
    plain = scheduler.admit(replace(request, logprobs=True, best=3))
    biased = scheduler.admit(replace(request, logprobs=True, best=3, bias={7: 100.0, 10**6: 1.0}))
    events = []
    while scheduler.busy:
        events += scheduler.step()
    first = dict(reversed(events))
    assert first[plain].best[0] == (first[plain].token, first[plain].logprob)
    assert first[biased].token == 7
    assert first[biased].best == first[plain].best
    assert [logprob for _, logprob in first[plain].best] == sorted((b for _, b in first[plain].best), reverse=True)
