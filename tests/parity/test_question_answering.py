"""question-answering against the pipeline of transformers 4 (recorded), and against the model computed directly.

transformers 5 has no such pipeline. qa_v4.json holds what version 4 answered on two tiny checkpoints; for any other
text the rules are written out here once more, span by span, over PyTorch's logits.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onnxpress import InputError, pipeline
from onnxpress.format.hashing import sha256
from tests.parity.alike import SCORE, assert_alike, assert_json
from tests.parity.texts import SENTENCES, parity, texts

TASK = "question-answering"
RECORDED = json.loads((Path(__file__).parents[1] / "fixtures" / "qa_v4.json").read_text(encoding="utf-8"))
ITEM = {"question": "who jumps over the dog?", "context": "the quick brown fox jumps over the lazy dog, twice."}
OTHER = {"question": "where is it?", "context": "the capital city of germany is berlin."}
LONG = " ".join(SENTENCES) + " the quick brown fox jumps over the lazy dog" * 20


@pytest.fixture(scope="module")
def pipe(tiny: Callable[..., Path], ours: Callable[..., Any]) -> Any:
    return ours(tiny("bert", TASK), TASK)


@pytest.mark.parametrize("architecture", list(RECORDED["checkpoints"]))
def test_as_transformers_4_answered(architecture: str, tiny: Callable[..., Path], ours: Callable[..., Any]) -> None:
    recorded, checkpoint = RECORDED["checkpoints"][architecture], tiny(architecture, TASK)
    assert sha256(checkpoint / "model.safetensors") == recorded["weights_sha256"], (
        "the tiny checkpoint is another one than when qa_v4.json was recorded: run tests/fixtures/make_qa_v4.py"
    )
    pipe, compared = ours(checkpoint, TASK), 0
    for (inputs, options), expected in zip(RECORDED["cases"], recorded["answers"], strict=True):
        if expected is None:  # version 4 refused, or aborted: a question that leaves less room than the stride
            continue
        obtained = pipe(**inputs, **options)
        assert_json(obtained)
        # Where a context has fewer spans than top_k, version 4 fills up with empty answers of score 0.
        if isinstance(expected, list):
            expected = [one for one in expected if one["score"] > 0 or options.get("handle_impossible_answer")]
            expected = expected[0] if len(expected) == 1 else expected
        _assert_same_answers(obtained, expected)
        compared += 1
    assert compared >= 55


def _assert_same_answers(obtained: Any, expected: Any) -> None:
    """Equal, but for the order of answers whose scores differ by rounding only."""
    ours, theirs = ([one] if isinstance(one, dict) else one for one in (obtained, expected))
    assert isinstance(obtained, type(expected))
    assert len(ours) == len(theirs)
    assert_alike([one["score"] for one in ours], [one["score"] for one in theirs])
    close = 1e-6  # of scores around 1e-3
    for one in ours:
        same = [other for other in theirs if other["answer"] == one["answer"]]
        last = one["score"] - theirs[-1]["score"] < close  # another of equal score may have had the last place
        assert (same and same[0]["start"] == one["start"] and same[0]["end"] == one["end"]) or last, (ours, theirs)


class Direct:
    """The rules of transformers 4 over PyTorch's logits, one span after the other."""

    def __init__(self, checkpoint: Path) -> None:
        from transformers import AutoModelForQuestionAnswering, AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self.model = AutoModelForQuestionAnswering.from_pretrained(checkpoint).eval()

    def __call__(self, question: str, context: str, max_answer_len: int = 15) -> tuple[dict[str, Any], float]:
        """Every answer by its lower-cased text, and the score of no answer."""
        import torch

        length = min(self.tokenizer.model_max_length, 384)
        encoded = self.tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=length,
            stride=min(length // 2, 128),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        names, answers, null = self.tokenizer.model_input_names, {}, 1.0
        for window in range(len(encoded["input_ids"])):
            with torch.no_grad():
                out = self.model(**{name: torch.tensor([encoded[name][window]]) for name in names if name in encoded})
            inside = [place for place, side in enumerate(encoded.sequence_ids(window)) if side == 1]
            allowed = torch.tensor([0, *inside])
            start, end = (torch.softmax(logits[0][allowed], 0) for logits in (out.start_logits, out.end_logits))
            null = min(null, float(start[0] * end[0]))
            spans = [
                (float(start[1 + a] * end[1 + b]), inside[a], inside[b])
                for a in range(len(inside))
                for b in range(a, min(a + max_answer_len, len(inside)))
            ]
            offsets = encoded["offset_mapping"][window]
            for score, first, last in sorted(spans, key=lambda span: -span[0])[:12]:
                words = encoded.token_to_word(window, first), encoded.token_to_word(window, last)
                begin, stop = offsets[first][0], offsets[last][1]
                if None not in words:
                    begin = encoded.word_to_chars(window, words[0], 1).start
                    stop = encoded.word_to_chars(window, words[1], 1).end
                text = context[begin:stop]
                entry = answers.setdefault(text.lower(), {"score": 0.0, "start": begin, "end": stop, "answer": text})
                entry["score"] += score
        return answers, null


@cache
def direct(checkpoint: Path) -> Direct:
    return Direct(checkpoint)


@pytest.mark.parametrize("name", ["bert", "xlm_roberta", "tiny-qa"])
def test_any_text_against_the_model_itself(
    name: str, tiny: Callable[..., Path], trained: Callable[[str], Path], ours: Callable[..., Any]
) -> None:
    checkpoint = trained(name) if name.startswith("tiny-") else tiny(name, TASK)
    pipe, theirs = ours(checkpoint, TASK), direct(checkpoint)
    # The trained one reads more at once, and takes ten times as long.
    longest, share = (24, 3) if name == "tiny-qa" else (40, 1)

    @settings(parity, max_examples=parity.max_examples // share)
    @given(question=texts(min_parts=1, max_parts=3), context=texts(min_parts=1, max_parts=longest))
    def check(question: str, context: str) -> None:
        assume(question and context)
        room = pipe.processor.settings.max_length // 3
        assume(len(theirs.tokenizer.tokenize(question)) < room)
        answers, null = theirs(question, context)
        obtained = pipe(question=question, context=context)
        assert context[obtained["start"] : obtained["end"]] == obtained["answer"]
        best = max((entry["score"] for entry in answers.values()), default=0.0)
        assert obtained["score"] == pytest.approx(best, abs=SCORE)
        if answers:
            assert answers[obtained["answer"].lower()]["score"] == pytest.approx(best, abs=SCORE)
        impossible = pipe(question=question, context=context, handle_impossible_answer=True, top_k=1000)
        entries = impossible if isinstance(impossible, list) else [impossible]
        # A long context may have a thousand answers that are all likelier than none.
        least = min(entry["score"] for entry in entries) if len(entries) == 1000 else 0.0
        empty = [entry["score"] for entry in entries if entry["answer"] == ""]
        assert pytest.approx(null, abs=SCORE) in empty or least >= null - SCORE > 0
        for entry in entries:
            assert context[entry["start"] : entry["end"]] == entry["answer"]

    check()


def _heldout(checkpoint: Path) -> list[dict[str, Any]]:
    """Questions that training did not see: question, context, answers."""
    lines = (checkpoint / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _is_right(answer: dict[str, Any], example: dict[str, Any]) -> bool:
    # As in version 4, a token of this tokenizer has the space before it, and so has the answer.
    return answer["answer"].strip() in (example["answers"]["text"] or [""])


def test_trained_model_answers_its_heldout_questions(trained: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    checkpoint = trained("tiny-qa")
    measured = tomllib.loads((checkpoint.parent / "tiny-qa.toml").read_text(encoding="utf-8"))["heldout"]["measured"]
    examples = _heldout(checkpoint)
    items = [{key: example[key] for key in ("question", "context")} for example in examples]
    # Words of this tokenizer end at the next space: aligned to them, as is the default, "Lune" would be "Lune.".
    obtained = ours(checkpoint, TASK)(items, handle_impossible_answer=True, align_to_words=False)
    right = [_is_right(answer, example) for answer, example in zip(obtained, examples, strict=True)]
    assert np.mean(right) > measured["exact_match"] - 0.1


def test_answer_at_any_place_of_a_long_context_is_found(
    trained: Callable[[str], Path], ours: Callable[..., Any]
) -> None:
    """Also where a window ends inside the answer: the next window has it whole."""
    checkpoint = trained("tiny-qa")
    pipe, whole = ours(checkpoint, TASK), {"align_to_words": False}
    known = [
        (answer["score"], example["question"], example["context"], example["answers"]["text"][0])
        for example in _heldout(checkpoint)
        if example["answers"]["text"]
        and _is_right(answer := pipe(question=example["question"], context=example["context"], **whole), example)
        and len(pipe.processor.tokenizer.encode(example["context"]).ids) < 50
    ]
    surest = sorted(known, reverse=True)[:6]
    assert len(surest) == 6
    found = []
    for _, question, context, expected in surest:
        for before in range(30):  # the answer wanders through the windows
            long = "It rained all day. " * before + context + " It rained all day." * 20
            result = pipe(question=question, context=long, max_seq_len=96, doc_stride=40, **whole)
            assert long[result["start"] : result["end"]] == result["answer"]
            found.append(result["answer"].strip() == expected)
    assert np.mean(found) > 0.95


def test_windows_overlap_so_that_every_span_is_whole_in_one(pipe: Any) -> None:
    options = pipe._options(pipe.options, {"max_seq_len": 40, "doc_stride": 15})
    request = pipe.prepare({"question": "who?", "context": LONG}, options)
    assert len(request.samples) > 5
    whole = pipe.processor.tokenizer.encode(LONG, special_tokens=False).offsets
    windows = [set(window.offsets) for window in request.context.windows]
    for start in range(len(whole) - 15):
        span = set(whole[start : start + 15])
        assert any(span <= window for window in windows), whole[start]


FORMS: tuple[tuple[str, tuple[Any, ...], dict[str, Any], int], ...] = (
    ("names", (), ITEM, 1),
    ("dictionary", (ITEM,), {}, 1),
    ("two texts", (ITEM["question"], ITEM["context"]), {}, 1),
    ("list of one", ([ITEM],), {}, 1),
    ("list", ([ITEM, OTHER],), {}, 2),
    ("tuple", ((ITEM, OTHER),), {}, 2),
    ("several dictionaries", (ITEM, OTHER), {}, 2),
    ("lists by name", (), {"question": [ITEM["question"]] * 2, "context": [ITEM["context"]] * 2}, 2),
    ("many questions", (), {"question": [ITEM["question"]] * 3, "context": ITEM["context"]}, 3),
    ("many contexts", (), {"question": ITEM["question"], "context": [ITEM["context"]] * 3}, 3),
    ("X", (), {"X": ITEM}, 1),
    ("data", (), {"data": [ITEM, OTHER]}, 2),
    ("SquadExample", (SimpleNamespace(question_text=ITEM["question"], context_text=ITEM["context"]),), {}, 1),
    ("columns beside", ({**ITEM, "id": 7, "answers": {}},), {}, 1),
)


@pytest.mark.parametrize(("positional", "named", "count"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_form_of_call(pipe: Any, positional: tuple[Any, ...], named: dict[str, Any], count: int) -> None:
    expected = pipe(ITEM)
    result = pipe(*positional, **named)
    if count == 1:
        assert result == expected
    else:
        assert len(result) == count
        assert_alike(result[0], expected)


def test_schema_and_top_k(pipe: Any) -> None:
    one = pipe(ITEM)
    assert list(one) == ["score", "start", "end", "answer"]
    assert [type(value) for value in one.values()] == [float, int, int, str]
    five = pipe(ITEM, top_k=5)
    assert [set(entry) for entry in five] == [set(one)] * 5
    assert_alike(five[0], one)
    assert [entry["score"] for entry in five] == sorted((entry["score"] for entry in five), reverse=True)
    assert pipeline(TASK, pipe.artifact, top_k=5, threads=1)(ITEM) == five


def test_lists_and_generators_and_single_calls_agree(pipe: Any) -> None:
    items = [{"question": "who?", "context": text} for text in (*SENTENCES, LONG)]
    alone = [pipe(item) for item in items]
    assert_alike(pipe(items), alone, tolerance=1e-6)
    streamed = pipe(item for item in items)
    assert isinstance(streamed, Iterator)
    assert_alike(list(streamed), alone, tolerance=1e-6)


@parity
@given(options=st.fixed_dictionaries({"max_answer_len": st.integers(1, 50), "align_to_words": st.booleans()}))
def test_length_of_answers(pipe: Any, options: dict[str, Any]) -> None:
    for answer in pipe(question="who?", context=LONG, top_k=9, **options):
        assert LONG[answer["start"] : answer["end"]] == answer["answer"]
        if not options["align_to_words"]:
            tokens = pipe.processor.tokenizer.encode(answer["answer"], special_tokens=False).ids
            assert len(tokens) <= options["max_answer_len"]


def test_context_without_tokens(pipe: Any) -> None:
    assert pipe(question="who?", context=" \n") == {"score": 0.0, "start": 0, "end": 0, "answer": ""}


def test_question_is_cut_where_asked(pipe: Any) -> None:
    words = ITEM["question"].split()
    shorter = {**ITEM, "question": " ".join(words[:3])}
    assert pipe(ITEM, max_question_len=3) == pipe(shorter)
    assert pipe(ITEM, max_question_len=64) == pipe(ITEM)


def test_long_question_narrows_the_overlap(pipe: Any) -> None:
    """Version 4 aborts here: beside the question there is less room than the usual overlap."""
    result = pipe(question="who jumps over the lazy dog " * 10, context=LONG)
    assert LONG[result["start"] : result["end"]] == result["answer"]


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ((), {}, "takes question=... and context="),
        ((), {"question": "who?"}, "takes question=... and context="),
        ((ITEM,), {"question": "who?"}, "not both"),
        ((), {"question": ["a", "b"], "context": ["a"]}, "2 questions, but 1 contexts"),
        (({"question": "who?"},), {}, "The context must be a text that is not empty, got NoneType"),
        (({"question": "", "context": "a"},), {}, "The question must be a text that is not empty"),
        (("who?",), {}, "Expected {.*}, got str"),
        (([ITEM, 3],), {}, "got int 3"),
        ((ITEM,), {"top_k": 0}, "top_k is 0"),
        ((ITEM,), {"max_answer_len": 0}, "max_answer_len is 0"),
        ((ITEM,), {"max_seq_len": 0}, "max_seq_len is 0"),
        ((ITEM,), {"max_seq_len": 4000}, "the model takes at most 96 tokens"),
        ((ITEM,), {"doc_stride": -1}, "doc_stride is -1"),
        ((ITEM,), {"max_seq_len": 20, "doc_stride": 15}, "doc_stride=15 does not fit"),
        (({**ITEM, "question": "who " * 95},), {}, "leaves no room for the context"),
    ],
)
def test_refused(pipe: Any, inputs: tuple[Any, ...], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe(*inputs, **options)
