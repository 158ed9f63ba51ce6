"""fill-mask against transformers: every form of call, several tokenizers, any text."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from onnxpress import InputError, pipeline
from onnxpress.pipelines.collators import PadTokens, token_sample
from tests.parity.alike import assert_alike, assert_json, assert_ranked_alike
from tests.parity.texts import parity, texts

TASK = "fill-mask"
LONG = "[MASK] quick brown fox jumps over the lazy dog " * 30
CUT = {"tokenizer_kwargs": {"truncation": True}}

CALLS: tuple[tuple[str, Any, dict[str, Any]], ...] = (
    ("text", "the [MASK] fox", {}),
    ("list", ["the [MASK] fox", "[MASK]"], {}),
    ("list of one", ["the [MASK] fox"], {}),
    ("list of one with two masks", ["the [MASK] brown [MASK]"], {}),
    ("two masks", "the [MASK] brown [MASK]", {}),
    ("masks side by side", "the [MASK][MASK]", {"top_k": 2}),
    ("different numbers of masks", ["[MASK] a [MASK]", "the [MASK]"], {"top_k": 2}),
    ("top_k 1", "the [MASK] fox", {"top_k": 1}),
    ("top_k 20", "the [MASK] fox", {"top_k": 20}),
    ("target", "the [MASK] fox", {"targets": "dog"}),
    ("targets", "the [MASK] fox", {"targets": ["dog", "the", "good", "fox"]}),
    ("targets twice", "the [MASK] fox", {"targets": ["dog", "dog"]}),
    ("targets and top_k", "the [MASK] fox", {"targets": ["dog", "the", "good", "fox"], "top_k": 2}),
    ("targets of two masks", "[MASK] fox [MASK]", {"targets": ["dog", "the"]}),
    ("truncation", LONG, CUT),
    ("truncation to a length", LONG, {"tokenizer_kwargs": {"truncation": True, "max_length": 7}}),
    ("no special tokens", "the [MASK] fox", {"tokenizer_kwargs": {"add_special_tokens": False}}),
    ("padding token in the text", "the [PAD] [MASK] fox", {}),
    ("spaces and marks", " the  [MASK] , isn't it ? ", {}),
    ("batch_size", ["a [MASK]", "the quick [MASK] fox", "[MASK]"], {"batch_size": 2}),
)


@pytest.fixture(scope="module")
def pipes(tiny: Callable[..., Path], ours: Callable[..., Any], reference: Callable[..., Any]) -> tuple[Any, Any]:
    checkpoint = tiny("bert", TASK)
    return ours(checkpoint, TASK), reference(checkpoint, TASK)


@pytest.mark.parametrize(("inputs", "options"), [c[1:] for c in CALLS], ids=[c[0] for c in CALLS])
def test_call(pipes: tuple[Any, Any], inputs: Any, options: dict[str, Any]) -> None:
    obtained, expected = pipes[0](inputs, **options), pipes[1](inputs, **options)
    assert_alike(obtained, expected)
    assert_json(obtained)


def test_all_of_the_vocabulary(pipes: tuple[Any, Any]) -> None:
    size = pipes[1].pipe.model.config.vocab_size
    obtained, expected = (pipe("the [MASK] fox", top_k=size) for pipe in pipes)
    assert len(obtained) == size
    assert_ranked_alike(obtained, expected, name="token")
    assert sum(entry["score"] for entry in obtained) == pytest.approx(1, abs=1e-4)


def test_unknown_target_is_replaced_by_its_first_token(pipes: tuple[Any, Any]) -> None:
    with pytest.warns(UserWarning, match="'foxdog' is not in the vocabulary; its first token"):
        obtained = pipes[0]("the [MASK] fox", targets=["foxdog", "the"])
    assert_alike(obtained, pipes[1]("the [MASK] fox", targets=["foxdog", "the"]))


def test_target_without_tokens_is_left_out(pipes: tuple[Any, Any]) -> None:
    with pytest.warns(UserWarning, match="'' is not in the vocabulary; it is left out"):
        obtained = pipes[0]("the [MASK] fox", targets=["", "the"])
    assert_alike(obtained, pipes[1]("the [MASK] fox", targets=["", "the"]))


@pytest.mark.filterwarnings("ignore:The target")
@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("no mask here", {}, r"There is no \[MASK\]"),
        (["the [MASK]", "none"], {}, r"There is no \[MASK\]"),
        ("the fox " * 200 + "[MASK]", CUT, "truncation cut it off"),
        (LONG, {}, "Pass truncation=True"),
        ("the [MASK]", {"targets": []}, "Pass at least one"),
        ("the [MASK]", {"targets": [""]}, "Pass at least one"),
        ("the [MASK]", {"targets": [3]}, "targets must be"),
        ("the [MASK]", {"top_k": 0}, "top_k is 0"),
        ("the [MASK]", {"tokenizer_kwargs": {"return_overflowing_tokens": True}}, "no such field"),
        ("the [MASK]", {"tokenizer_kwargs": {"truncation": "sometimes"}}, "truncation is 'sometimes'"),
        ("the [MASK]", {"tokenizer_kwargs": {"max_length": 0}}, "max_length is 0"),
        ("the [MASK]", {"tokenizer_kwargs": {"padding": "max_length"}}, "not offered"),
        ("the [MASK]", {"tokenizer_kwargs": 3}, "must be a dictionary"),
        (3, {}, "takes texts, got int 3"),
    ],
)
def test_refused(pipes: tuple[Any, Any], inputs: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipes[0](inputs, **options)


def test_only_masked_places_are_kept(pipes: tuple[Any, Any]) -> None:
    """A row of the vocabulary for every token of a window of texts would fill the memory."""
    pipe = pipes[0]
    row = pipe.prepare("the [MASK] brown fox", pipe.options).samples[0]
    batch = PadTokens(("input_ids", "attention_mask", "token_type_ids"), 0).collate([row, token_sample([5], None, [0])])
    kept = pipe.reduce(batch, pipe.session.run(batch.arrays), pipe.options)
    assert [[one.ids.shape for one in places] for places in kept] == [[(5,)], [(5,)]]
    assert all(one.scores.base is None or one.scores.base.size < 100 for places in kept for one in places)
    assert isinstance(kept[0][0].scores, np.ndarray)


@pytest.mark.parametrize(
    "architecture",
    ["albert", *(pytest.param(name, marks=pytest.mark.nightly) for name in ("roberta", "deberta_v2", "mpnet"))],
)
def test_tokenizers(
    architecture: str, tiny: Callable[..., Path], ours: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = tiny(architecture, TASK)
    pipe, theirs = ours(checkpoint, TASK), reference(checkpoint, TASK)
    mask = theirs.pipe.tokenizer.mask_token

    @parity
    @given(before=texts(), after=texts())
    def check(before: str, after: str) -> None:
        text = f"{before} {mask} {after}"
        options = {"tokenizer_kwargs": {"truncation": True}, "top_k": 3}
        if mask not in text or text.count(mask) > 1:
            return
        try:
            expected = theirs(text, **options)
        except Exception as error:  # truncation cut the mask off
            assert "No mask_token" in str(error)
            with pytest.raises(InputError, match="There is no"):
                pipe(text, **options)
            return
        assert_alike(pipe(text, **options), expected)

    check()


def test_trained(trained: Callable[[str], Path], ours: Callable[..., Any], reference: Callable[..., Any]) -> None:
    checkpoint = trained("tiny-mlm")
    pipe, theirs = ours(checkpoint, TASK), reference(checkpoint, TASK)
    examples = [json.loads(line) for line in (checkpoint / "examples.jsonl").read_text(encoding="utf-8").splitlines()]
    masked = [example["text"] for example in examples]
    assert_alike(pipe(masked), theirs(masked))


def test_options_of_the_pipeline(tiny: Callable[..., Path], exported: Callable[..., Any]) -> None:
    pipe = pipeline("fill-mask", exported(tiny("bert", TASK), TASK), top_k=1, threads=1)
    assert len(pipe("the [MASK] fox")) == 1
    assert [len(result) for result in pipe(text for text in ["a [MASK]", "[MASK] b"])] == [1, 1]
