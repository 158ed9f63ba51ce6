"""The task's own metrics: perfect answers give 1, figures are in their range, and the order of rows does not matter."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.format.fidelity import LOSS
from onnxpress_exporter.judging import metrics
from onnxpress_exporter.judging.maps import UNKNOWN, LabelMap
from onnxpress_exporter.judging.metrics import (
    METRICS,
    OF_REFERENCE,
    SCORERS,
    Evaluation,
    beside_reference,
    normalized_answer,
    score,
)
from onnxpress_exporter.precisions import QUANTIZED
from onnxpress_exporter.quantize.thresholds import thresholds_of

pytest.importorskip("sklearn")
pytest.importorskip("scipy")

LABELS = ("no", "perhaps", "yes")
TEXT = "Ada met Bo in Rome"
WORDS = ((0, 3), (8, 10), (14, 18))
SPAN = st.tuples(st.sampled_from(("PER", "LOC")), st.sampled_from(WORDS)).map(lambda pair: (pair[0], *pair[1]))
NUMBER = st.integers(-50, 50).map(lambda value: value / 10)

KINDS = {
    "answer": metrics.ANSWER,
    "answers": metrics.ANSWERS,
    "best label": metrics.BEST_LABEL,
    "boxes": metrics.FOUND,
    "depths": metrics.DEPTHS,
    "document": metrics.DOCUMENT,
    "entities": metrics.ENTITIES,
    "label": metrics.LABEL,
    "next tokens": metrics.NEXT_TOKENS,
    "number": metrics.NUMBER,
    "ranking": metrics.RANKING,
    "read": metrics.READ,
    "segments": metrics.SEGMENTS,
    "several labels": metrics.SEVERAL_LABELS,
    "similarity": metrics.SIMILARITY,
    "transcribed": metrics.TRANSCRIBED,
    "word": metrics.WORD,
    "written": metrics.WRITTEN,
}


def _box(label: str, left: int, top: int) -> dict[str, Any]:
    return {"label": label, "box": {"xmin": left, "ymin": top, "xmax": left + 9, "ymax": top + 7}}


def _grid(values: Sequence[Any]) -> np.ndarray[Any, Any]:
    return np.array(values).reshape(2, 3)


def _masks(target: LabelMap) -> list[dict[str, Any]]:
    return [
        {"label": label, "score": None, "mask": np.uint8(255) * (target.places == number)}
        for number, label in enumerate(target.labels)
        if (target.places == number).any()
    ]


#: kind -> a target at random.
TARGETS: dict[str, st.SearchStrategy[Any]] = {
    "answer": st.sampled_from(("yes", "two", "a cat")),
    "answers": st.lists(st.sampled_from(("Rome", "the old bridge", "52 people", "in May")), max_size=2).map(tuple),
    "best label": st.sampled_from(LABELS),
    "boxes": st.lists(st.builds(_box, st.sampled_from(LABELS), st.integers(0, 30), st.just(4)), min_size=1, max_size=3),
    "depths": st.lists(st.sampled_from((0.0, 0.5, 2.0)), min_size=6, max_size=6).filter(any).map(_grid),
    "document": st.lists(st.sampled_from(("Rome", "No. 52", "12.50")), max_size=2).map(tuple),
    "entities": st.frozensets(SPAN, max_size=3).map(lambda spans: (TEXT, spans)),
    "label": st.sampled_from(LABELS),
    "next tokens": st.integers(1, 40),
    "number": NUMBER,
    "ranking": st.lists(st.sampled_from((0.0, 1.0, 2.0)), min_size=2, max_size=14).map(tuple),
    "read": st.sampled_from(("A short line.", "INVOICE 12", "word")),
    "segments": st.lists(st.sampled_from((UNKNOWN, 0, 1, 2)), min_size=6, max_size=6)
    .filter(lambda places: set(places) != {UNKNOWN})
    .map(lambda places: LabelMap(LABELS, _grid(places))),
    "several labels": st.frozensets(st.sampled_from(LABELS)),
    "similarity": st.integers(-10, 10).map(lambda value: value / 10),
    "transcribed": st.sampled_from(("ask not what", "And so, my fellow", "one")),
    "word": st.sampled_from(("Film", "book", "song")),
    "written": st.sampled_from(("A short summary.", "猫が好きです", "two words")),
}


def _vectors(cosine: float) -> list[np.ndarray[Any, Any]]:
    return [np.array([2.0, 0.0]), np.array([cosine, np.sqrt(1 - cosine**2)]) * 3]


#: kind -> the answers, one or two, that a target stands for.
RIGHT: dict[str, Callable[[Any], list[Any]]] = {
    "answer": lambda right: [[{"score": 0.9, "answer": right}, {"score": 0.1, "answer": "other"}]],
    "answers": lambda right: [{"answer": right[0].upper() + "." if right else "", "score": 0.9}],
    "best label": lambda label: [{"labels": [label, "other"], "scores": [0.9, 0.1]}],
    "boxes": lambda boxes: [[{**box, "score": 0.9} for box in boxes]],
    "depths": lambda depth: [{"predicted_depth": depth.astype(np.float32)}],
    "document": lambda right: [[{"answer": f" {right[-1].upper()} " if right else "", "score": 0.9}]],
    "entities": lambda target: [
        [{"entity_group": group, "start": start - (start > 0), "end": end} for group, start, end in target[1]]
    ],
    "label": lambda label: [[{"label": one, "score": float(one == label)} for one in LABELS]],
    "next tokens": lambda count: [(count, count)],
    "number": lambda value: [[{"label": "score", "score": value}]],
    "ranking": lambda grades: [[{"index": int(i), "score": 0.0} for i in np.argsort(grades, kind="stable")[::-1]]],
    "read": lambda text: [[{"generated_text": f" {text} "}]],
    "segments": lambda target: [_masks(target)],
    "several labels": lambda labels: [[{"label": one, "score": 0.5 if one in labels else 0.49} for one in LABELS]],
    "similarity": _vectors,
    "transcribed": lambda text: [{"text": f" {text} "}],
    "word": lambda word: [[{"token_str": f" {word.lower()}", "score": 0.9}]],
    "written": lambda text: [[{"summary_text": text.upper()}]],
}


def answers_for(kind: str, targets: Sequence[Any]) -> list[Any]:
    return [answer for target in targets for answer in RIGHT[kind](target)]


def usable(kind: str, targets: Sequence[Any]) -> bool:
    """What reading rows makes sure of."""
    if kind in ("number", "similarity"):
        return len(set(targets)) > 1
    return kind != "ranking" or any(any(one) for one in targets)


def drawn(kind: str) -> st.SearchStrategy[list[Any]]:
    return st.lists(TARGETS[kind], min_size=2, max_size=12).filter(lambda targets: usable(kind, targets))


def test_every_kind_is_tested() -> None:
    assert set(TARGETS) == set(RIGHT) == set(KINDS)
    assert set(KINDS.values()) == set(SCORERS)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_perfect_answers_give_one(kind: str, data: st.DataObject) -> None:
    targets = data.draw(drawn(kind))
    figures = score(Evaluation("rows", KINDS[kind], [], targets), answers_for(kind, targets))
    assert tuple(figures) == KINDS[kind].names
    assert figures == pytest.approx(dict.fromkeys(figures, 1.0))


#: Boxes that are equally sure are counted in the order of their pictures, as COCO's tool counts them.
IN_ANY_ORDER = [kind for kind in KINDS if kind != "boxes"]


@pytest.mark.parametrize("kind", IN_ANY_ORDER)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_figures_are_in_range_and_do_not_depend_on_the_order_of_rows(kind: str, data: st.DataObject) -> None:
    targets = data.draw(drawn(kind))
    others = data.draw(st.lists(TARGETS[kind], min_size=len(targets), max_size=len(targets)))
    if kind == "ranking":  # an order of as many documents
        others = [tuple(random.Random(repr(one)).choices((0.0, 1.0), k=len(one))) for one in targets]
    pairs = [(target, RIGHT[kind](other)) for target, other in zip(targets, others, strict=True)]
    mixed = data.draw(st.permutations(pairs))
    found = [
        score(
            Evaluation("rows", KINDS[kind], [], [one for one, _ in some]), [answer for _, its in some for answer in its]
        )
        for some in (pairs, mixed)
    ]
    assert found[0] == pytest.approx(found[1])
    least = -1.0 if kind in ("number", "similarity") else 0.0
    assert all(least <= value <= 1.0 for value in found[0].values())


@pytest.mark.parametrize(
    ("kind", "targets", "answers", "expected"),
    [
        ("label", ["yes", "yes", "no"], ["yes", "no", "no"], {"accuracy": 2 / 3, "F1 macro": 2 / 3}),
        ("word", ["film", "book"], ["film", "song"], {"accuracy": 0.5}),
        # Of three spans one is right; of four that are wanted.
        (
            "entities",
            [(TEXT, frozenset({("PER", 0, 3), ("PER", 8, 10)})), (TEXT, frozenset({("LOC", 14, 18), ("PER", 0, 3)}))],
            [(TEXT, {("PER", 0, 3), ("LOC", 8, 10)}), (TEXT, {("PER", 14, 18)})],
            {"entity F1": 2 / 7},
        ),
        ("several labels", [{"yes", "no"}, set()], [{"yes"}, {"no"}], {"F1 micro": 0.5}),
        # The relevant one is third of three: 1 / log2(4).
        ("ranking", [(0.0, 0.0, 1.0)], [(2.0, 1.0, 0.0)], {"NDCG@10": 0.5, "MRR@10": 1 / 3}),
        # Beyond the tenth place nothing counts.
        ("ranking", [(0.0,) * 11 + (1.0,)], [tuple(range(12, 0, -1))], {"NDCG@10": 0.0, "MRR@10": 0.0}),
        # A query without a relevant document says nothing of an order.
        ("ranking", [(0.0, 1.0), (0.0, 0.0)], [(0.0, 1.0), (0.0, 1.0)], {"NDCG@10": 1.0, "MRR@10": 1.0}),
        ("number", [1.0, 2.0, 3.0], [3.0, 2.0, 1.0], {"Spearman": -1.0, "Pearson": -1.0}),
        ("number", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0], {"Spearman": 0.0, "Pearson": 0.0}),
    ],
)
def test_known_values(kind: str, targets: list[Any], answers: list[Any], expected: dict[str, float]) -> None:
    assert score(Evaluation("rows", KINDS[kind], [], targets), answers_for(kind, answers)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("The  Old Bridge!", ("old bridge",), 1.0, 1.0),
        ("old stone bridge", ("the old bridge", "stone"), 0.0, 0.8),
        ("bridge bridge", ("bridge",), 0.0, 2 / 3),
        ("", ("bridge",), 0.0, 0.0),
        ("", (), 1.0, 1.0),
        ("bridge", (), 0.0, 0.0),
        ("the", (), 1.0, 1.0),
    ],
)
def test_squad(answer: str, right: tuple[str, ...], exact: float, f1: float) -> None:
    figures = score(Evaluation("rows", metrics.ANSWERS, [], [right]), [{"answer": answer}])
    assert figures == pytest.approx({"exact match": exact, "answer F1": f1})


def test_articles_inside_words_stay() -> None:
    assert normalized_answer("An  anthem, the Theory; a-b") == "anthem theory ab"


def test_rouge_counts_the_longest_words_in_one_order() -> None:
    # police killed the gunman / police kill the gunman: 3 of 4 words in order; and the second has 2 of 4.
    targets = ["police killed the gunman"] * 2
    answers = [{"summary_text": "Police kill the gunman."}, {"summary_text": "the gunman kill police"}]
    figures = score(Evaluation("rows", metrics.WRITTEN, [], targets), answers)
    assert figures == pytest.approx({"exact match": 0.0, "ROUGE-L": (0.75 + 0.5) / 2})


def test_read_texts_are_counted_by_letters_and_words() -> None:
    answers = [[{"generated_text": " a red  box"}], [{"generated_text": "abx"}]]
    figures = score(Evaluation("rows", metrics.READ, [], ["a red box", "abc"]), answers)
    assert figures == pytest.approx({"exact match": 0.5, "character accuracy": 11 / 12, "word accuracy": 3 / 4})
    nothing = score(Evaluation("rows", metrics.READ, [], ["a"]), [[{"generated_text": "b c d e"}]])
    assert nothing == {"exact match": 0.0, "character accuracy": 0.0, "word accuracy": 0.0}


def test_the_best_answer_counts() -> None:
    answers = [[{"answer": "The Cat", "score": 0.2}, {"answer": "dog", "score": 0.1}], [{"answer": "no"}]]
    assert score(Evaluation("rows", metrics.ANSWER, [], ["cat", "yes"]), answers) == {"accuracy": 0.5}


def test_preferred_tokens_are_counted_over_all_rows() -> None:
    figures = score(Evaluation("rows", metrics.NEXT_TOKENS, [], ["a", "b", "c"]), [(1, 2), (5, 6), (0, 0)])
    assert figures == {"token accuracy": 0.75}


def test_what_was_lost_stands_beside() -> None:
    found = beside_reference({"accuracy": 0.9}, {"accuracy": 0.875})
    assert found == pytest.approx({"accuracy": 0.875, f"accuracy{OF_REFERENCE}": 0.9, f"accuracy{LOSS}": 0.025})
    assert beside_reference({}, {}) == {}


def test_every_metric_has_a_limit_at_every_precision() -> None:
    for name in METRICS:
        assert {precision: thresholds_of(precision)[f"{name}{LOSS}"] for precision in QUANTIZED} == {
            "fp16": 0.005,
            "int8": 0.005,
            "q8": 0.005,
            "q4": 0.02,
            "q4f16": 0.02,
        }
