"""What was read once is not read again, and nobody sees a difference."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from onnxpress.engine.binding import Binding
from onnxpress.engine.session import Session
from onnxpress.generation.decoder import Decoder
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress.generation.events import Event
from onnxpress.generation.pool.blocks import KeptBlocks
from onnxpress.generation.pool.cache import Cache
from onnxpress.generation.pool.prefixes import LEAST_TOKENS, Prefixes
from onnxpress.generation.requests import Request
from onnxpress.generation.scheduler import Scheduler, opener
from onnxpress.generation.settings import GenerationConfig
from tests.fixtures import decoder_graphs as graphs


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    path = tmp_path_factory.mktemp("graphs") / "model.onnx"
    graphs.shared_decoder(path)
    return Session({"model": path}, threads=1)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> object:
    return read("model", graphs.shared_decoder(tmp_path_factory.mktemp("info") / "model.onnx"), "shared")


@pytest.fixture
def model(session: Session, graph: object) -> SharedModel:
    return SharedModel(session, graph, 2000)  # type: ignore[arg-type]


@pytest.fixture
def plain(session: Session, graph: object) -> SharedModel:
    return SharedModel(session, graph, 2000, prefix_bytes=0)  # type: ignore[arg-type]


@pytest.fixture
def read_tokens(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many tokens each run reads."""
    counts: list[int] = []
    run = Binding.run

    def counted(self: Binding) -> None:
        counts.append(self._inputs["input_ids"].size)
        run(self)

    monkeypatch.setattr(Binding, "run", counted)
    yield counts


def tokens(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, graphs.VOCABULARY, count).tolist()


def greedy(decoder: Decoder, first: np.ndarray, count: int) -> list[list[int]]:
    scores, rows = first, [[] for _ in decoder.lengths]  # type: list[list[int]]
    for _ in range(count):
        new = scores.argmax(axis=-1)
        for row, token in zip(rows, new, strict=True):
            row.append(int(token))
        scores = decoder.step(new)
    return rows


def answer(model: SharedModel, prompts: list[list[int]], count: int = 10) -> list[list[int]]:
    decoder = model.start(len(prompts), max(map(len, prompts)) + count)
    first = np.concatenate([decoder.prefill(row, prompt) for row, prompt in enumerate(prompts)])
    rows = greedy(decoder, first, count)
    decoder.close()
    return rows


def test_a_conversation_reads_only_what_is_new(model: SharedModel, plain: SharedModel, read_tokens: list[int]) -> None:
    history = tokens(30)
    expected, turns = [], []
    for turn in range(4):
        [reply] = answer(plain, [history])
        expected.append(reply)
        turns.append(list(history))
        history = [*history, *reply, *tokens(20, turn + 1)]
    read_tokens.clear()
    replies, prompts_read = [], []
    for prompt in turns:
        replies += answer(model, [prompt])
        prompts_read.append(read_tokens[0])
        read_tokens.clear()
    assert replies == expected
    assert prompts_read == [30, 20, 20, 20]


def test_batches_of_conversations_go_on_too(model: SharedModel, plain: SharedModel, read_tokens: list[int]) -> None:
    prompts = [tokens(30 + row, row) for row in range(3)]
    replies = answer(model, prompts)
    again = [[*prompt, *reply, 5, 6] for prompt, reply in zip(prompts, replies, strict=True)]
    read_tokens.clear()
    assert answer(model, again) == answer(plain, again)
    assert read_tokens[:3] == [2, 2, 2]
    read_tokens.clear()
    assert answer(model, again[::-1]) == answer(plain, again)[::-1]  # the rows in another order
    assert read_tokens[0] == 1


def test_prompts_of_one_call_share_their_beginning(
    model: SharedModel, plain: SharedModel, read_tokens: list[int]
) -> None:
    prompts = [tokens(100) + tokens(7, row + 1) for row in range(4)]
    expected = answer(plain, prompts)
    read_tokens.clear()
    assert answer(model, prompts) == expected
    assert read_tokens[:4] == [107, 7, 7, 7]


def test_a_system_prompt_serves_many_and_stays(model: SharedModel, plain: SharedModel, read_tokens: list[int]) -> None:
    system = tokens(60)
    conversations = [system + tokens(90, row + 1) for row in range(3)]
    for prompt in conversations:
        assert answer(model, [prompt]) == answer(plain, [prompt])
    read_tokens.clear()
    answer(model, [system + tokens(5, 77)])  # a small part of what is stored: copied, and the store keeps its own
    for prompt in conversations:
        answer(model, [[*prompt, 1]])
    assert [count for count in read_tokens if count > 1] == [5]


def test_the_whole_prompt_is_never_taken(model: SharedModel, read_tokens: list[int]) -> None:
    prompt = tokens(40)
    first = answer(model, [prompt])
    read_tokens.clear()
    assert answer(model, [prompt]) == first
    assert read_tokens[0] == 1
    decoder = model.start(1, 50)
    read_tokens.clear()
    assert decoder.prefill(0, prompt, keep=10).shape == (10, graphs.VOCABULARY)
    assert read_tokens == [10]


def test_scores_are_those_of_reading_all_within_rounding(model: SharedModel, plain: SharedModel) -> None:
    prompt = tokens(120)
    answer(model, [prompt[:90]])
    reused = model.start(1, 130).prefill(0, prompt, 5)
    whole = plain.start(1, 130).prefill(0, prompt, 5)
    np.testing.assert_allclose(reused, whole, atol=2e-4)
    # Read in the same parts, nothing differs at all.
    parts = plain.start(1, 130)
    parts.prefill(0, prompt[:90])
    answered = answer(plain, [prompt[:90]])[0]
    common = next((i for i, (a, b) in enumerate(zip(answered, prompt[90:], strict=False)) if a != b), 0)
    assert common == 0
    np.testing.assert_array_equal(parts.prefill(0, prompt[90:], 5), reused)


def test_short_beginnings_are_read_again(model: SharedModel, read_tokens: list[int]) -> None:
    answer(model, [tokens(LEAST_TOKENS - 1) + tokens(30, 1)])
    read_tokens.clear()
    answer(model, [tokens(LEAST_TOKENS - 1) + tokens(30, 2)])
    assert read_tokens[0] == LEAST_TOKENS + 29


def test_beams_and_truncated_rows_leave_a_good_past(model: SharedModel, plain: SharedModel) -> None:
    prompt = tokens(40)
    decoder = model.start(1, 60)
    decoder.prefill(0, prompt)
    decoder.select([0, 0, 0])
    for turn in range(6):
        decoder.step(np.array(tokens(3, turn)))
        decoder.select([1, 0, 2] if turn % 2 else [2, 2, 1])
    decoder.truncate(1, 42)
    decoder.step(np.array([1, 2, 3]))
    known = [decoder._cache.known(row).tolist() for row in range(3)]  # type: ignore[attr-defined]
    decoder.close()
    for ids in known:
        got = model.start(1, 70).prefill(0, [*ids, 9])
        np.testing.assert_allclose(got, plain.start(1, 70).prefill(0, [*ids, 9]), atol=2e-4)


def test_a_run_that_fails_leaves_no_wrong_past(
    model: SharedModel, plain: SharedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt, other = tokens(40), tokens(40, 1)
    decoder = model.start(1, 60)
    decoder.prefill(0, prompt)
    decoder.truncate(0, 20)
    run = Binding.run

    def interrupted(self: Binding) -> None:
        run(self)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Binding, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            decoder.prefill(0, other)  # has written over what came after the first 20
    decoder.close()
    found = model.start(1, 60).prefill(0, [*prompt, 3])
    np.testing.assert_allclose(found, plain.start(1, 60).prefill(0, [*prompt, 3]), atol=2e-4)


def _cache(ids: list[int], capacity: int = 64) -> Cache:
    cache = Cache({"key": (2, 4)}, 1, capacity)
    cache.append(0, ids)
    return cache


def test_the_store_is_bounded_and_drops_the_oldest() -> None:
    size = _cache(tokens(64)).used_bytes
    store = Prefixes(3 * size)
    for seed in range(4):
        store.put(_cache(tokens(64, seed)))
    assert store.used_bytes == 3 * size
    assert store.take(np.array(tokens(64, 0)), LEAST_TOKENS) is None
    kept = store.take(np.array(tokens(64, 1)), LEAST_TOKENS)
    assert kept is not None
    assert store.take(np.array(tokens(64, 1)), LEAST_TOKENS) is None  # it is in use
    store.put(kept)
    store.put(_cache(tokens(64, 9)))  # number 2 was of no use for the longest time
    assert store.take(np.array(tokens(64, 2)), LEAST_TOKENS) is None
    assert store.take(np.array(tokens(64, 1)), LEAST_TOKENS) is kept
    store.clear()
    assert store.used_bytes == 0
    store.put(_cache(tokens(640), 640))  # more than the store may hold
    assert store.used_bytes == 0
    Prefixes(0).put(_cache(tokens(64)))


def test_the_store_is_pickled_empty() -> None:
    store = Prefixes(10**6)
    store.put(_cache(tokens(64)))
    copy = pickle.loads(pickle.dumps(store))
    assert (copy.limit_bytes, copy.used_bytes) == (10**6, 0)


def test_what_was_read_is_freed_with_the_session(session: Session, graph: object) -> None:
    own = Session(session.graphs, threads=1)
    model = SharedModel(own, graph, 2000)  # type: ignore[arg-type]
    answer(model, [tokens(40)])
    assert model.prefixes.used_bytes > 0
    late = model.start(1, 50)
    late.prefill(0, tokens(40, 1))
    own.close()
    assert model.prefixes.used_bytes == 0
    late.close()  # a call that ends after the session does keeps nothing
    assert model.prefixes.used_bytes == 0


def test_threads_share_a_model(model: SharedModel, plain: SharedModel) -> None:
    system = tokens(50)
    prompts = [system + tokens(10, seed) for seed in range(6)]
    expected = [answer(plain, [prompt]) for prompt in prompts]
    wrong: list[int] = []

    def work(offset: int) -> None:
        for turn in range(12):
            index = (offset + turn) % len(prompts)
            if answer(model, [prompts[index]]) != expected[index]:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def written(scheduler: Scheduler, *requests: Request) -> list[list[Event]]:
    """The events of requests that come together, to their end."""
    heard: dict[int, list[Event]] = {scheduler.admit(request): [] for request in requests}
    while any(not events or events[-1].finish is None for events in heard.values()):
        for number, event in scheduler.step():
            if number in heard:
                heard[number].append(event)
    return list(heard.values())


def ids(events: Sequence[Event]) -> list[int | None]:
    return [event.token for event in events]


def test_what_an_owner_s_rows_leave_is_found_while_others_run_on_and_by_nobody_else(
    model: SharedModel, plain: SharedModel
) -> None:
    store = KeptBlocks(2**20, model.token_bytes)
    scheduler = Scheduler(opener(model, store), model.limit, rows=4, tokens=2000, store=store)
    config = GenerationConfig(max_new_tokens=5)
    runs_on = scheduler.admit(Request(tokens(9, 5), GenerationConfig(max_new_tokens=300), owner="other"))
    prompt = tokens(100)
    [first] = written(scheduler, Request(prompt, config, owner="mine"))
    [again] = written(scheduler, Request([*prompt, 3], config, owner="mine"))
    [foreign, beside] = written(
        scheduler, Request(prompt, config, owner="other"), Request([*prompt, 3], config, owner="third")
    )
    assert [events[0].cached for events in (first, again, foreign, beside)] == [0, 96, 0, 0]
    assert ids(first) == ids(foreign) == answer(plain, [prompt], 5)[0]
    assert ids(again) == ids(beside) == answer(plain, [[*prompt, 3]], 5)[0]
    assert store.tokens
    assert scheduler.tokens + scheduler.rows + store.tokens <= 2000
    scheduler.free(runs_on)


def test_what_is_kept_makes_room_for_what_is_written(model: SharedModel) -> None:
    store = KeptBlocks(2**30, model.token_bytes)
    scheduler = Scheduler(opener(model, store), model.limit, tokens=200, store=store)
    for seed in range(6):
        written(scheduler, Request(tokens(90, seed), GenerationConfig(max_new_tokens=20)))
        assert store.tokens <= 200
    scheduler.admit(Request(tokens(170, 9), GenerationConfig(max_new_tokens=20)))
    scheduler.step()
    assert store.tokens <= 200 - 170


def test_calls_find_nothing_of_another_owner(model: SharedModel) -> None:
    prompt = tokens(60)
    answer(model, [prompt])
    decoder = model.start(1, 70)
    decoder.mark_prompt(0, 60, "somebody")
    decoder.prefill(0, prompt)
    assert decoder.reused_tokens == 0
    decoder.close()
    assert model.prefixes.take(np.array(prompt), LEAST_TOKENS, "nobody") is None
