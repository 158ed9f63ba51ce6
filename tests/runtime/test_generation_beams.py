"""Beams in the scheduler: each text is what its search gives alone, beside whatever runs, joins and leaves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from onnxpress.engine.session import Session
from onnxpress.errors import EngineError, InputError
from onnxpress.generation.decoders.cross import CrossModel
from onnxpress.generation.decoders.graph import read
from onnxpress.generation.decoders.shared_model import SharedModel
from onnxpress.generation.events import Event, Hooks
from onnxpress.generation.generate import complete
from onnxpress.generation.requests import Request
from onnxpress.generation.scheduler import OpenDecoder, Scheduler, opener, room
from onnxpress.generation.settings import GenerationConfig
from tests.fixtures import decoder_graphs as graphs

BEAMS = GenerationConfig(max_new_tokens=12, num_beams=3, num_return_sequences=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> SharedModel:
    path = tmp_path_factory.mktemp("graphs") / "model.onnx"
    graph = read("model", graphs.shared_decoder(path), "shared")
    return SharedModel(Session({"model": path}, threads=1), graph, 160, 0)


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> CrossModel:
    folder = tmp_path_factory.mktemp("graphs")
    graphs.encoder(folder / "encoder.onnx")
    graph = read("model", graphs.shared_decoder(folder / "model.onnx", cross=True), "shared")
    session = Session({"encoder": folder / "encoder.onnx", "model": folder / "model.onnx"}, threads=1)
    return CrossModel(session, "encoder", graph, 160)


def reader(model: CrossModel, opened: list[int]) -> OpenDecoder:
    def open_decoder(requests: Sequence[Request]) -> Any:
        texts = [request.text or () for request in requests]
        opened.append(len(texts))
        if any(text[0] == 13 for text in texts):
            raise EngineError("the encoder cannot read 13")
        ids, mask = np.zeros((2, len(texts), max(map(len, texts))), np.int64)
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        return model.encode(ids, mask, room(requests, model.limit))

    return open_decoder


def heard(scheduler: Scheduler, waves: Sequence[Sequence[Request]], turns: int = 3) -> dict[int, list[Event]]:
    """The events of requests, by number, that come some turns apart."""
    events: dict[int, list[Event]] = defaultdict(list)
    left, numbers, place = list(waves), {}, 0
    while left or scheduler.busy:
        if left:
            for request in left.pop(0):
                numbers[scheduler.admit(request)] = place
                place += 1
        for _ in range(turns if left else 1):
            for owner, event in scheduler.step():
                events[numbers[owner]].append(event)
    return events


def texts_of(events: Sequence[Event], count: int = 1) -> list[list[int]]:
    return [[e.token for e in events if e.row == row and e.token is not None] for row in range(count)]


def alone(decoder: Any, request: Request) -> list[list[int]]:
    texts = None if request.text is None else [request.text]
    [found] = complete(decoder, [request.prompt], request.config, texts=texts, hooks=request.hooks)
    return [list(text.ids) for text in found]


@pytest.mark.parametrize("chunk", [None, 4])
def test_beams_beside_others_are_those_of_a_search_alone(model: SharedModel, chunk: int | None) -> None:
    plain = GenerationConfig(max_new_tokens=20)
    drawn = GenerationConfig(max_new_tokens=9, num_beams=2, do_sample=True, seed=4)
    requests = [
        Request([3, 5, 7], plain),
        Request(list(range(1, 30)), BEAMS),
        Request([9, 2], BEAMS),
        Request([4, 4, 4], drawn),
        Request([8], plain),
    ]
    scheduler = Scheduler(opener(model), model.limit, rows=16, chunk_tokens=chunk, decoders=2)
    events = heard(scheduler, [requests[:2], requests[2:4], requests[4:]])
    for number, request in enumerate(requests):
        expected = alone(model.start(1, 40), request)
        assert texts_of(events[number], len(expected)) == expected
        assert [event.finish for event in events[number] if event.finish] == ["length"] * len(expected)


def test_what_is_read_by_an_encoder_waits_for_a_decoder_and_is_read_together(cross: CrossModel) -> None:
    opened: list[int] = []
    scheduler = Scheduler(reader(cross, opened), cross.limit, rows=16, decoders=2)
    config = GenerationConfig(max_new_tokens=8, num_beams=2)
    requests = [Request([2], config, [number + 20, 4, 6, 8][: 2 + number % 3]) for number in range(6)]
    events = heard(scheduler, [[request] for request in requests], turns=1)
    for number, request in enumerate(requests):
        assert texts_of(events[number]) == alone(reader(cross, [])([request]), request)
    assert opened[:2] == [1, 1]
    assert len(opened) < 6
    assert sum(opened) == 6


def test_what_an_encoder_cannot_read_fails_alone(cross: CrossModel) -> None:
    scheduler = Scheduler(reader(cross, []), cross.limit, decoders=2)
    config = GenerationConfig(max_new_tokens=4)
    requests = [Request([2], config, [first, 4]) for first in (11, 13, 15)]
    events = heard(scheduler, [requests])
    assert [events[number][-1].finish for number in range(3)] == ["length", "failed", "length"]
    assert texts_of(events[2]) == alone(reader(cross, [])(requests[2:]), requests[2])


def test_who_leaves_gets_what_was_found_and_disturbs_nobody(model: SharedModel) -> None:
    turns = 0
    first, second, third = (Request([7 + n, 3], BEAMS) for n in range(3))
    leaves = Request(second.prompt, BEAMS, hooks=Hooks(cancelled=lambda: turns > 6))
    scheduler = Scheduler(opener(model), model.limit)
    numbers = {scheduler.admit(request): n for n, request in enumerate((first, leaves, third))}
    events: dict[int, list[Event]] = defaultdict(list)
    while scheduler.busy:
        turns += 1
        for owner, event in scheduler.step():
            events[numbers[owner]].append(event)
    assert [event.finish for event in events[1]][-2:] == ["cancelled", "cancelled"]
    assert len(texts_of(events[1])[0]) > 2
    for number, request in ((0, first), (2, third)):
        assert texts_of(events[number], 2) == alone(model.start(1, 40), request)


def test_what_no_search_can_do_is_refused_or_ends_alone(model: SharedModel) -> None:
    scheduler = Scheduler(opener(model), model.limit)
    with pytest.raises(InputError, match="cannot be constrained"):
        scheduler.admit(Request([3], BEAMS, hooks=Hooks(constraint=lambda row: None)))  # type: ignore[arg-type]
    many = GenerationConfig(max_new_tokens=4, num_beams=graphs.VOCABULARY)
    events = heard(scheduler, [[Request([3], many), Request([5], GenerationConfig(max_new_tokens=4))]])
    assert [event.finish for event in events[0]] == ["failed"]
    assert "too many" in str(events[0][0].error)
    assert events[1][-1].finish == "length"
