"""Texts that are hard on the tokenizers library: half a character, and texts that it fails on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import onnxpress
from onnxpress import InputError
from tests.fixtures.artifacts import write_artifact

HALF = "good \ud83d film"


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return onnxpress.pipeline(model=write_artifact(tmp_path_factory.mktemp("classifier") / "artifact"), threads=1)


@pytest.mark.parametrize(
    ("inputs", "place"),
    [
        (HALF, 5),
        (HALF * 1000, 5),
        (["good", HALF], 5),
        ({"text": "good", "text_pair": HALF}, 5),
        (["good" * 2000, "\udc00"], 0),
    ],
)
def test_half_a_character_is_named_with_what_mends_it(pipe: Any, inputs: Any, place: int) -> None:
    with pytest.raises(InputError, match=f"at position {place} it has half a character") as caught:
        pipe(inputs, truncation=True)
    assert caught.value.index == (1 if isinstance(inputs, list) else None)
    advice = str(caught.value).partition("Pass text")[2].partition(", which joins")[0]
    for text in (HALF, "\ud83d\ude00", "\udc00"):
        mended = eval("text" + advice, {"text": text})
        assert pipe(mended)
    assert eval("text" + advice, {"text": "\ud83d\ude00"}) == "\N{GRINNING FACE}"


def test_half_a_character_among_words_and_tokens(pipe: Any) -> None:
    tokenizer = pipe.processor.tokenizer
    for call in (
        lambda: tokenizer.encode(["good", HALF]),
        lambda: tokenizer.encode_batch([["good"], ["good", HALF]]),
        lambda: tokenizer.token_id(HALF),
    ):
        with pytest.raises(InputError, match="half a character"):
            call()


def test_a_text_that_the_library_panics_on_is_an_error_of_that_text(
    pipe: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The exception is a real one: the library panics where a stride is not shorter than the rest."""
    stateless = pipe.processor.tokenizer._stateless
    process = stateless._processor.process

    def panic(first: Any, second: Any, special_tokens: bool) -> Any:
        if len(first) == 3:
            first.truncate(1, 5, "right")
        return process(first, second, special_tokens)

    monkeypatch.setattr(stateless, "_processor", SimpleNamespace(process=panic, num_special_tokens_to_add=lambda p: 2))
    bad = "a bad film"
    with pytest.raises(InputError, match="the tokenizers library failed on it"):
        pipe(bad)
    with pytest.raises(InputError, match=r"inputs\[2\]: .* failed on it") as caught:
        pipe(["good", "bad", bad, "good"])
    assert caught.value.index == 2
    answers = pipe(["good", bad, bad, "bad"], on_error="return")
    assert [type(answer) for answer in answers] == [dict, InputError, InputError, dict]
    results = pipe(iter(["good", bad]), batch_size=2)
    assert next(results)["label"] == "good"
    with pytest.raises(InputError, match="failed on it"):
        next(results)
    capfd.readouterr()  # the library's own trace
