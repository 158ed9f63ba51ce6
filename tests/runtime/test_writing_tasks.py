"""Texts that are written: streams, forms, turns of a conversation, threads, processes, and what is refused."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import onnxpress
from onnxpress.errors import ArtifactError, CorruptFile, InputError
from onnxpress.format.manifest import parse
from tests.fixtures.artifacts import seal
from tests.fixtures.json_schemas import schemas
from tests.fixtures.processes import HANG_S

TEXT = "the quick brown fox jumps over the lazy dog and it did so twice"
CHAT = [{"role": "user", "content": "who works at acme and what is the capital city of france?"}]
GREEDY = {"do_sample": False, "max_new_tokens": 12}


@pytest.fixture
def pipe(llama: Path) -> Iterator[Any]:
    with onnxpress.pipeline(model=llama, threads=1) as opened:
        yield opened


def changed(artifact: Path, folder: Path, **files: str | None) -> Path:
    """A copy of the artifact with other contents of some files; None: without it."""
    for path in artifact.rglob("*"):
        if path.is_file():
            copy = folder / path.relative_to(artifact)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    for name, content in files.items():
        path = folder / name.replace("__", ".")
        path.unlink() if content is None else path.write_text(content)
    seal(folder, parse((folder / "onnxpress.json").read_text()))
    return folder


# Streams


def test_the_pieces_of_a_stream_make_the_text(pipe: Any) -> None:
    for options in (GREEDY, GREEDY | {"max_new_tokens": 60}, {"max_new_tokens": 40, "seed": 3, "top_k": 5}):
        whole = pipe(TEXT, return_full_text=False, return_details=True, **options)[0]
        stream = pipe.stream(TEXT, **options)
        assert stream.usage is None
        pieces = list(stream)
        assert "".join(pieces) == whole["generated_text"]
        assert len(pieces) > 3
        assert stream.finish_reason == whole["finish_reason"]
        assert stream.usage.prompt_tokens == whole["prompt_tokens"]
        assert stream.usage.completion_tokens == whole["completion_tokens"] == len(stream.ids)


def test_a_stream_ends_when_it_is_told_to(pipe: Any) -> None:
    stream = pipe.stream(TEXT, do_sample=False, max_new_tokens=200)
    next(stream)
    stream.close()
    assert stream.finish_reason == "cancelled"
    assert stream.usage.completion_tokens < 10
    assert list(stream) == []

    with pipe.stream(TEXT, do_sample=False, max_new_tokens=200) as other:
        next(other)
        threading.Thread(target=other.cancel).start()
        rest = list(other)
    assert other.finish_reason == "cancelled"
    assert len(rest) < 200

    never = pipe.stream(TEXT, max_new_tokens=200)
    never.close()
    assert never.finish_reason == "cancelled"


def test_a_stop_sequence_ends_a_stream_and_is_in_it(pipe: Any) -> None:
    whole = pipe(TEXT, return_full_text=False, do_sample=False, max_new_tokens=60)[0]["generated_text"]
    stop = re.findall(r"[a-z]{2,3}", whole)[2]
    stream = pipe.stream(TEXT, stop_sequence=stop, do_sample=False, max_new_tokens=60)
    text = "".join(stream)
    assert stream.finish_reason == "stop"
    assert stop in text and whole.startswith(text)


def test_a_conversation_reads_only_what_is_new(pipe: Any) -> None:
    messages, cached = list(CHAT), []
    for _ in range(3):
        stream = pipe.stream(messages, **GREEDY)
        answer = "".join(stream)
        cached.append((stream.usage.cached_tokens, stream.usage.prompt_tokens))
        fresh = onnxpress.pipeline(model=pipe.artifact, threads=1)
        assert fresh(messages, **GREEDY)[0]["generated_text"][-1]["content"] == answer
        fresh.close()
        messages += [{"role": "assistant", "content": answer}, {"role": "user", "content": "and you?"}]
    assert cached[0][0] == 0
    assert all(known >= before for (known, _), (_, before) in zip(cached[1:], cached, strict=False))


def test_several_texts_cannot_be_streamed(pipe: Any) -> None:
    for options in ({"num_beams": 2}, {"num_return_sequences": 2, "do_sample": True}):
        with pytest.raises(InputError, match="stream"):
            pipe.stream(TEXT, **options)


# Forms


def test_every_json_of_200_schemas_is_valid(pipe: Any) -> None:
    """With a model of random weights that draws its tokens, which writes nothing like JSON of its own."""
    lengths = []
    for seed, schema in enumerate(schemas(200)):
        options = {"json_schema": schema, "seed": seed, "max_new_tokens": 460, "temperature": 1.0}
        result = pipe("a", return_full_text=False, return_details=True, **options)[0]
        assert result["finish_reason"] == "stop"
        jsonschema.Draft202012Validator(schema).validate(json.loads(result["generated_text"]))
        lengths.append(result["completion_tokens"])
    assert sum(length > 20 for length in lengths) > 30


def test_forms_hold_in_batches_chats_and_streams(pipe: Any) -> None:
    answers = pipe([CHAT] * 3, regex="[a-c]{3,5}!", return_full_text=False, max_new_tokens=20)
    assert all(re.fullmatch("[a-c]{3,5}!", answer[0]["generated_text"]) for answer in answers)
    many = pipe("a", grammar='start: "x" ("y" | "z")+ "."', num_return_sequences=3, do_sample=True, max_new_tokens=90)
    assert all(re.fullmatch(r"ax[yz]+(\.)?", answer["generated_text"]) for answer in many)
    form = {"type": "json_schema", "json_schema": {"schema": {"enum": ["yes", "no"]}}}
    stream = pipe.stream(CHAT, response_format=form)
    assert json.loads("".join(stream)) in ("yes", "no")
    assert stream.finish_reason == "stop"


def test_a_form_that_is_cut_says_so(pipe: Any) -> None:
    result = pipe("a", regex="[a-z]{40}", max_new_tokens=3, return_details=True)[0]
    assert result["finish_reason"] == "length"


def test_beams_cannot_be_held_to_a_form(pipe: Any) -> None:
    with pytest.raises(InputError, match="num_beams"):
        pipe("a", regex="a", num_beams=2)


# Batches, threads, processes


def test_a_batch_gives_what_each_text_gives(pipe: Any) -> None:
    texts = [TEXT[:size] for size in (3, 60, 20, 11, 33, 5, 44, 7, 29, 50, 13)]
    for options in (GREEDY, {"seed": 7, "max_new_tokens": 9, "do_sample": True}):
        alone = [pipe(text, **options) for text in texts]
        for batch_size in (None, 1, 3, 100):
            assert pipe(texts, batch_size=batch_size, **options) == alone


def test_long_streams_of_inputs_are_read_as_they_are_needed(pipe: Any) -> None:
    read = []

    def texts() -> Iterator[str]:
        for number in range(1000):
            read.append(number)
            yield "a"

    results = pipe(texts(), do_sample=False, max_new_tokens=1)
    next(results)
    assert len(read) <= 2
    for _ in range(20):
        next(results)
    assert len(read) < 100


def test_threads_share_a_pipeline(pipe: Any) -> None:
    texts = [TEXT[:size] for size in (10, 20, 30, 40)]
    expected = [pipe(text, **GREEDY) for text in texts]
    found: dict[int, list[Any]] = {}

    def work(number: int) -> None:
        found[number] = [pipe(text, **GREEDY) for text in texts]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), expected)


def test_a_pipeline_pickles_and_works_after_a_fork(pipe: Any) -> None:
    expected = pipe(CHAT, **GREEDY)
    copy = pickle.loads(pickle.dumps(pipe))
    assert copy(CHAT, **GREEDY) == expected
    copy.close()
    context = multiprocessing.get_context("fork")
    queue: Any = context.Queue()
    child = context.Process(target=lambda: queue.put(pipe(CHAT, **GREEDY)))
    child.start()
    assert queue.get(timeout=HANG_S) == expected
    child.join(HANG_S)


# What is refused


@pytest.mark.parametrize(
    ("inputs", "options", "match"),
    [
        (3, {}, "messages"),
        ([3], {}, "messages"),
        (TEXT, {"temprature": 1}, "temperature"),
        (TEXT, {"max_new_tokens": 0}, "max_new_tokens"),
        (TEXT, {"return_tensors": True, "return_full_text": True}, "pass one"),
        (TEXT, {"handle_long_generation": "cut"}, "hole"),
        (TEXT, {"truncation": "some"}, "truncation"),
        (TEXT, {"regex": "a", "json_schema": {}}, "exclude"),
        (TEXT, {"generation_config": 3}, "generation_config"),
        (TEXT, {"tokenizer_encode_kwargs": 3}, "dictionary"),
        ("a " * 600, {}, "takes 512"),
        ([{"role": "user"}, "text"], {}, "dictionary"),
        (CHAT, {"tools": ["x"]}, "tool"),
    ],
)
def test_what_it_cannot_do_is_refused(pipe: Any, inputs: Any, options: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        pipe(inputs, **options)


def test_messages_need_a_template(llama: Path, tmp_path: Path) -> None:
    with onnxpress.pipeline(model=changed(llama, tmp_path, chat_template__jinja=None)) as pipe:
        assert pipe("a", **GREEDY)
        with pytest.raises(InputError, match="no chat template"):
            pipe(CHAT)


def test_a_hostile_template_is_stopped(llama: Path, tmp_path: Path) -> None:
    evil = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with (
        onnxpress.pipeline(model=changed(llama, tmp_path, chat_template__jinja=evil)) as pipe,
        pytest.raises(ArtifactError, match="unsafe"),
    ):
        pipe(CHAT)


@pytest.mark.parametrize("content", ["{", "[1]", "\ud800".encode("utf-8", "replace").decode()])
def test_a_broken_generation_config_is_an_error(llama: Path, tmp_path: Path, content: str) -> None:
    with pytest.raises(CorruptFile, match=r"generation_config\.json"):
        onnxpress.pipeline(model=changed(llama, tmp_path, generation_config__json=content))


def test_bad_defaults_are_refused_when_the_pipeline_is_made(llama: Path) -> None:
    with pytest.raises(InputError, match="top_p"):
        onnxpress.pipeline(model=llama, top_p=3)


def test_details_are_added_where_they_are_asked_for(pipe: Any) -> None:
    result = pipe(CHAT, return_details=True, **GREEDY)[0]
    assert result["finish_reason"] == "length"
    assert result["completion_tokens"] == 12
    assert result["prompt_tokens"] > 12


def test_settings_of_a_generation_config_count_below_those_of_the_call(pipe: Any) -> None:
    short = pipe(TEXT, return_details=True, generation_config={"max_new_tokens": 3, "do_sample": False})[0]
    assert short["completion_tokens"] == 3
    again = pipe(TEXT, return_details=True, max_new_tokens=2, generation_config={"max_new_tokens": 3})[0]
    assert again["completion_tokens"] == 2
    assert replace(pipe.options, generate_kwargs={"seed": 1}).generate_kwargs == {"seed": 1}
