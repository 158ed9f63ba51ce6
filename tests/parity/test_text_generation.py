"""What text-generation returns equals transformers' pipeline, token for token, where nothing is drawn."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from tests.fixtures.written import artifact_of, save_llama

CHAT = [{"role": "system", "content": "You are good."}, {"role": "user", "content": "Who works at acme?"}]
PREFILL = [*CHAT, {"role": "assistant", "content": "John smith"}]
TOOLS = [{"type": "function", "function": {"name": "now", "description": "the time", "parameters": {}}}]
LONG = "the quick brown fox jumps over the lazy dog and it did so twice " * 30


@pytest.fixture(scope="module")
def pipes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    import transformers

    folder = tmp_path_factory.mktemp("llama")
    save_llama(folder / "checkpoint")
    artifact_of(folder / "checkpoint", folder / "artifact", "text-generation")
    theirs = transformers.pipeline("text-generation", model=str(folder / "checkpoint"))
    with onnxpress.pipeline(model=folder / "artifact", threads=1) as ours:
        yield ours, theirs


def check(pipes: tuple[Any, Any], inputs: Any, **options: Any) -> Any:
    ours, theirs = pipes
    options = options if "max_length" in options else {"max_new_tokens": 8, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = theirs(inputs, do_sample=False, **options)
    obtained = ours(inputs, do_sample=False, **options)
    assert obtained == expected
    return obtained


@pytest.mark.parametrize(
    "inputs",
    [
        "the quick brown fox",
        ["the quick brown fox", "a", "two words and more 🙂"],
        ["the quick"],
        "",
        CHAT,
        PREFILL,
        [CHAT, [CHAT[1]], PREFILL],
    ],
    ids=["text", "texts", "one", "nothing", "chat", "prefill", "chats"],
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"return_full_text": False},
        {"num_beams": 3, "num_return_sequences": 2},
        {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "min_new_tokens": 3},
        {"skip_special_tokens": False, "clean_up_tokenization_spaces": True},
    ],
    ids=["plain", "new", "beams", "rules", "special"],
)
def test_results_equal_transformers(pipes: tuple[Any, Any], inputs: Any, options: dict[str, Any]) -> None:
    check(pipes, inputs, **options)


@pytest.mark.parametrize(
    ("inputs", "options"),
    [
        ("the quick", {"return_tensors": True}),
        (["the quick", "a"], {"return_tensors": True}),
        ("the quick", {"prefix": "we love "}),
        ("the quick", {"prefix": "we love ", "max_length": 12}),
        ("the quick", {"max_length": 12}),
        (LONG, {"truncation": True, "tokenizer_encode_kwargs": {"max_length": 20}}),
        (LONG, {"handle_long_generation": "hole"}),
        (CHAT, {"tools": TOOLS}),
        (CHAT, {"tokenizer_encode_kwargs": {"enable_thinking": False}}),
        (CHAT, {"tokenizer_encode_kwargs": {"chat_template": "{{ messages[-1].content }}"}}),
        (PREFILL, {"continue_final_message": False}),
        (CHAT, {"continue_final_message": True}),
    ],
)
def test_arguments_mean_what_they_mean_there(pipes: tuple[Any, Any], inputs: Any, options: dict[str, Any]) -> None:
    check(pipes, inputs, **options)


def test_stop_sequences_end_the_text_where_they_end_it_there(pipes: tuple[Any, Any]) -> None:
    whole = check(pipes, "the quick brown", return_full_text=False, max_new_tokens=30)[0]["generated_text"]
    for stop in re.findall(r"[a-z ]{2,3}", whole)[:4]:
        text = check(pipes, "the quick brown", return_full_text=False, max_new_tokens=30, stop_sequence=stop)
        assert stop in text[0]["generated_text"]
        assert len(text[0]["generated_text"]) < len(whole)


def test_a_generator_gives_results_one_by_one(pipes: tuple[Any, Any]) -> None:
    ours, theirs = pipes
    texts = ["the quick", "a", "who where what", "it is a number"]
    results = ours((text for text in texts), do_sample=False, max_new_tokens=4, batch_size=2)
    assert not isinstance(results, list)
    assert list(results) == theirs(texts, do_sample=False, max_new_tokens=4)


def test_defaults_are_those_of_transformers(tmp_path: Path) -> None:
    import transformers

    save_llama(tmp_path / "checkpoint", do_sample=False, repetition_penalty=1.3, eos_token_id=[1, 100])
    artifact_of(tmp_path / "checkpoint", tmp_path / "artifact", "text-generation")
    theirs = transformers.pipeline("text-generation", model=str(tmp_path / "checkpoint"))
    with onnxpress.pipeline(model=tmp_path / "artifact") as ours:
        config = ours.writer.call({}).config
        assert (config.do_sample, config.max_new_tokens, config.temperature) == (False, 256, 1.0)
        assert config.eos_token_id == (1, 100)
        assert ours.writer.call({"do_sample": True}).config.temperature == 0.7
        assert ours.writer.call({"max_length": 30}).config.max_new_tokens is None
        assert ours("the quick", max_new_tokens=20) == theirs("the quick", max_new_tokens=20)
