"""Signatures of transformers 4, and what its tasks that 5 dropped answered: recorded, since 5 is installed here."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

import pytest

from onnxpress import InputError, pipeline
from onnxpress.generation.settings_fields import IGNORED, KINDS, REFUSED
from onnxpress.pipelines import TASKS
from onnxpress.pipelines.known_arguments import FACTORY, OURS
from tests.conftest import MODELS
from tests.fixtures.make_transformers_v4 import DROPPED, INTERNAL, TEXT, calls, recorded
from tests.fixtures.make_transformers_v4 import TASKS as OF_VERSION_4

RECORD = recorded()


def test_every_argument_of_their_factory_is_known() -> None:
    assert set(RECORD["signatures"]["pipeline"]) - set(FACTORY) - set(OURS) - INTERNAL == set()


@pytest.mark.parametrize("task", [task for task in OF_VERSION_4 if task not in DROPPED])
def test_every_argument_of_their_calls_is_known(task: str) -> None:
    kind = TASKS[task].load()
    known = {field.name for field in fields(kind.options_type)} | set(kind.arguments)
    known |= set(KINDS) | set(REFUSED) | IGNORED if kind.collects else set()
    absent = set(RECORD["signatures"][task]) - known - INTERNAL
    # An array is what fill-mask would not return either: version 4 gives no other result with it.
    assert absent - {"return_tensors"} == set()


@pytest.fixture(scope="module")
def opened(exported: Callable[..., Any]) -> Callable[[str], Any]:
    artifact = exported(MODELS / "tiny-translator")
    return cache(lambda task: pipeline(task, artifact, threads=1))


@pytest.mark.parametrize("task", DROPPED)
def test_every_call_is_answered_as_there(opened: Callable[[str], Any], task: str) -> None:
    pipe = opened(task)
    for (inputs, arguments), expected in zip(calls(), RECORD["answers"][task], strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert pipe(inputs, **arguments) == expected, (inputs, arguments)


def text_of(task: str) -> str:
    """The field of a result that has the text."""
    return {"summarization": "summary_text", "translation": "translation_text"}.get(task, "generated_text")


@pytest.mark.parametrize("task", DROPPED)
def test_every_argument_of_their_signatures_was_tried(opened: Callable[[str], Any], task: str) -> None:
    tried = {name for _, arguments in calls() for name in arguments} | {
        "return_type",
        "stop_sequence",
        "src_lang",
        "tgt_lang",
    }
    assert set(RECORD["signatures"][task]) - INTERNAL - tried == set()
    pipe = opened(task)
    ids, text = pipe(TEXT, max_new_tokens=3, return_tensors=True), pipe(TEXT, max_new_tokens=3)
    assert (pipe(TEXT, max_new_tokens=3, return_type=0), pipe(TEXT, max_new_tokens=3, return_type=1)) == (ids, text)
    assert pipe(TEXT, stop_sequence="serek")[0][text_of(task)] == "Mupa drummosok serek"
    with pytest.raises(InputError, match="return_type=2: pass return_tensors=True"):
        pipe(TEXT, return_type=2)
    if "src_lang" in RECORD["signatures"][task]:  # the checkpoint has one pair, of which version 4 said nothing
        with pytest.raises(InputError, match="one pair of languages: leave src_lang and tgt_lang out"):
            pipe(TEXT, src_lang="en", tgt_lang="de")
