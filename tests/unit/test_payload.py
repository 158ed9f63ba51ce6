"""Arguments of a command line and bodies of requests become the same calls, and what is wrong is named."""

from __future__ import annotations

from typing import Any

import pytest

from onnxpress.errors import InputError
from onnxpress.pipelines import TASKS
from onnxpress.pipelines.payload import Call, read_argument

QUESTION = {"question": "Who?", "context": "Ada."}
CHAT = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("task", "body", "options", "call"),
    [
        ("fill-mask", "a [MASK]", {"top_k": 2}, Call(("a [MASK]",), {"top_k": 2})),
        ("fill-mask", {"inputs": "a", "parameters": {"top_k": 2}}, {"top_k": 1}, Call(("a",), {"top_k": 2})),
        ("fill-mask", {"inputs": ["a", "b"]}, {}, Call(("a", "b"), {}, many=True)),
        ("question-answering", QUESTION, {}, Call((QUESTION,), {})),
        ("question-answering", {"inputs": QUESTION, "parameters": {"top_k": 2}}, {}, Call((QUESTION,), {"top_k": 2})),
        ("question-answering", QUESTION | {"top_k": 2}, {}, Call((QUESTION,), {"top_k": 2})),
        ("question-answering", "Who?", {"context": "Ada."}, Call((QUESTION,), {})),
        ("question-answering", {"question": "Who?"}, {"context": "Ada."}, Call((QUESTION,), {})),
        ("question-answering", [QUESTION, QUESTION], {}, Call((QUESTION, QUESTION), {}, many=True)),
        ("text-classification", {"text": "a", "text_pair": "b"}, {}, Call(({"text": "a", "text_pair": "b"},), {})),
        ("text-classification", "a", {"text_pair": "b"}, Call(({"text": "a", "text_pair": "b"},), {})),
        (
            "text-ranking",
            ["a", "b"],
            {"query": "q", "top_k": 1},
            Call(({"query": "q", "documents": ["a", "b"]},), {"top_k": 1}, parts=("a", "b")),
        ),
        ("text-ranking", {"query": "q", "texts": ["a"]}, {}, Call(({"query": "q", "documents": ["a"]},), {})),
        (
            "sentence-similarity",
            {"inputs": {"source_sentence": "a", "sentences": ["b", "c"]}},
            {},
            Call(({"source_sentence": "a", "sentences": ["b", "c"]},), {}),
        ),
        ("sentence-similarity", "a", {"prompt_name": "query"}, Call(("a",), {"prompt_name": "query"})),
        (
            "zero-shot-classification",
            {"inputs": "a", "parameters": {"candidate_labels": ["x"]}},
            {},
            Call(("a",), {"candidate_labels": ["x"]}),
        ),
        ("zero-shot-classification", {"sequences": "a", "multi_label": True}, {}, Call(("a",), {"multi_label": True})),
        (
            "translation",
            {"inputs": "a", "src_lang": "en"},
            {"tgt_lang": "de"},
            Call(("a",), {"src_lang": "en", "tgt_lang": "de"}),
        ),
        (
            "summarization",
            {"inputs": "a", "parameters": {"generate_parameters": {"num_beams": 1}}},
            {},
            Call(("a",), {"generate_kwargs": {"num_beams": 1}}),
        ),
        ("text-generation", CHAT, {}, Call((CHAT,), {})),
        ("text-generation", {"messages": CHAT, "max_new_tokens": 3}, {}, Call((CHAT,), {"max_new_tokens": 3})),
        ("text-generation", {"inputs": [CHAT, CHAT]}, {}, Call((CHAT, CHAT), {}, many=True)),
        ("text-generation", ["a", "b"], {}, Call(("a", "b"), {}, many=True)),
    ],
)  # fmt: skip
def test_a_body_becomes_a_call(task: str, body: Any, options: dict[str, Any], call: Call) -> None:
    assert TASKS[task].call(body, options) == call


@pytest.mark.parametrize(
    ("task", "body", "says"),
    [
        ("fill-mask", {"input": "a"}, "an object needs 'inputs'"),
        ("fill-mask", {"inputs": 3}, "'inputs' must be a text, or a list of these, not 3"),
        ("fill-mask", {"inputs": []}, "'inputs' must be a text"),
        ("fill-mask", {"inputs": "a", "parameters": [1]}, "'parameters' must be an object, not"),
        ("question-answering", "Who?", "or texts with the option context"),
        ("question-answering", {"question": "Who?"}, "'context' is missing"),
        ("question-answering", {"inputs": "Who?"}, 'takes {"question": ..., "context": ...}'),
        ("text-ranking", "a document", "or texts with the option query"),
        ("text-ranking", {"query": "q"}, "'documents' is missing"),
        ("sentence-similarity", {"sentences": ["a"]}, "'source_sentence' is missing"),
        ("text-generation", {"prompt": "a"}, "an object needs 'inputs'"),
    ],
)
def test_what_is_wrong_with_a_body_is_named(task: str, body: Any, says: str) -> None:
    with pytest.raises(InputError) as refused:
        TASKS[task].call(body, {})
    assert says in str(refused.value)
    assert task in str(refused.value)


@pytest.mark.parametrize(
    ("text", "body"),
    [
        ("a text", "a text"),
        ('{"inputs": "a"}', {"inputs": "a"}),
        ('[{"role": "user", "content": "Hi"}]', CHAT),
        ('["a", "b"]', '["a", "b"]'),
        ("{not json} good", "{not json} good"),
        ("[MASK] is good", "[MASK] is good"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_an_argument_is_json_only_where_it_is_an_object_or_a_list_of_them(text: str, body: Any) -> None:
    assert read_argument(text) == body
