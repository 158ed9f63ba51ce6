"""Rows to items and targets: usual columns are found, others named, and what cannot be read is told by its place."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxpress.errors import InputError
from onnxpress.format.manifest import Manifest
from onnxpress.format.processors import Processors, SpecialToken
from onnxpress_exporter.judging.columns import find_columns
from onnxpress_exporter.judging.data import Table, table_of
from onnxpress_exporter.judging.metrics import LABEL, NUMBER, SEVERAL_LABELS, Evaluation
from onnxpress_exporter.tasks import ROWS
from onnxpress_exporter.tasks.evaluation import evaluation_of
from tests.fixtures.manifests import manifest

MODELS = Path(__file__).parents[2] / "models"
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def of(task: str, labels: Sequence[str] = ("no", "yes"), problem: str | None = None) -> Manifest:
    plain = manifest()
    assert plain.tokenizer is not None
    mask = {"mask": SpecialToken("<m>", 4)}
    return replace(
        plain,
        task=task,
        processors=Processors(replace(plain.tokenizer, special_tokens=mask)),
        postprocessing=replace(plain.postprocessing, labels=tuple(labels), problem_type=problem),
    )


def read(made: Manifest, *rows: Mapping[str, Any], **columns: str) -> Evaluation:
    return evaluation_of(table_of("rows.jsonl", rows), made, columns)


CLASSIFIER = of("text-classification")
TAGGER = of("token-classification", TAGS)


@pytest.mark.parametrize("labels", [(0, 1), ("no", "yes"), ("NO", "Yes"), ("0", "1"), (0.0, 1.0)])
def test_a_label_is_an_id_or_a_name(labels: tuple[Any, Any]) -> None:
    found = read(CLASSIFIER, *({"sentence": "a text", "label": label} for label in labels))
    assert (found.items, found.targets, found.scorer) == (["a text", "a text"], ["no", "yes"], LABEL)
    assert found.name == "2 rows of rows.jsonl"


@pytest.mark.parametrize(
    ("classes", "labels"),
    [(("yes", "no"), ["yes", "no"]), (("neg", "pos"), ["no", "yes"]), (("YES", "NO"), ["yes", "no"])],
)
def test_a_dataset_s_own_names_count_before_its_order(classes: tuple[str, ...], labels: list[str]) -> None:
    table = Table("d", [{"text": "a", "label": 0}, {"text": "b", "label": 1}], (1, 2), {"label": classes})
    assert evaluation_of(table, CLASSIFIER).targets == labels


def test_a_dataset_with_other_classes_than_the_model_is_refused() -> None:
    table = Table("d", [{"text": "a", "label": 0}, {"text": "b", "label": 1}], (1, 2), {"label": ("x", "y", "z")})
    with pytest.raises(InputError, match=r"d, row 1, column 'label'.*the dataset names its classes x, y, z"):
        evaluation_of(table, CLASSIFIER)


@pytest.mark.parametrize("names", [("premise", "hypothesis"), ("sentence1", "sentence2"), ("text", "text_pair")])
def test_pairs_are_found(names: tuple[str, str]) -> None:
    row = {names[0]: "first", names[1]: "second", "label": 0}
    assert read(CLASSIFIER, row, row).items == [{"text": "first", "text_pair": "second"}] * 2


def test_columns_are_named_where_their_name_does_not_tell() -> None:
    row = {"id": 7, "body": {"plain": "a text"}, "verdict": 1}
    found = read(CLASSIFIER, row, row, text="body.plain", label="verdict")
    assert (found.items, found.targets) == (["a text"] * 2, ["yes"] * 2)


@pytest.mark.parametrize(
    "rows",
    [
        [["no"], ["no", "yes"]],
        [[0], [0, 1]],
        [[1, 0], [1, 1]],
        ['["no"]', '["no", "yes"]'],
    ],
)
def test_several_labels_are_names_ids_or_indicators(rows: list[Any]) -> None:
    found = read(
        of("text-classification", problem="multi_label_classification"), *({"text": "a", "labels": one} for one in rows)
    )
    assert (found.targets, found.scorer) == ([{"no"}, {"no", "yes"}], SEVERAL_LABELS)


def test_regression_takes_numbers() -> None:
    made = of("text-classification", ("stars",), "regression")
    found = read(made, {"text": "a", "score": "1.5"}, {"text": "b", "score": 4})
    assert (found.targets, found.scorer) == ([1.5, 4.0], NUMBER)


@pytest.mark.parametrize("tags", [["B-PER", "I-PER", "O", "B-LOC"], [1, 2, 0, 3]])
def test_words_and_tags_become_a_text_with_entities(tags: list[Any]) -> None:
    row = {"tokens": ["Ada", "Bond", "in", "Rome"], "ner_tags": tags}
    found = read(TAGGER, row, row)
    text = "Ada Bond in Rome"
    assert found.items[0] == text
    assert found.targets[0] == (text, {("PER", 0, 8), ("LOC", 12, 16)})
    assert found.options == {"aggregation_strategy": "first"}


def test_neighbours_that_begin_anew_are_two_entities() -> None:
    row = {"tokens": ["Ada", "Bo", "Cy"], "tags": ["B-PER", "B-PER", "I-PER"]}
    assert read(TAGGER, row, row).targets[0][1] == {("PER", 0, 3), ("PER", 4, 9)}


def test_entities_may_be_given_by_their_characters() -> None:
    row = {"text": "Ada in Rome", "entities": [{"start": 7, "end": 11, "label": "LOC"}]}
    assert read(TAGGER, row, row).targets[0] == ("Ada in Rome", {("LOC", 7, 11)})


@pytest.mark.parametrize(
    ("column", "cell", "answers"),
    [
        ("answers", {"text": ["Rome", "in Rome"], "answer_start": [3, 0]}, ("Rome", "in Rome")),
        ("answers", {"text": [], "answer_start": []}, ()),
        ("answers", [{"text": "Rome"}], ("Rome",)),
        ("answers", '{"text": ["Rome"]}', ("Rome",)),
        ("answer", "Rome", ("Rome",)),
        ("answer", 52, ("52",)),
        ("answer", "", ()),
        ("answer", None, ()),
    ],
)
def test_answers_come_in_many_forms(column: str, cell: Any, answers: tuple[str, ...]) -> None:
    row = {"question": "Where?", "context": "in Rome", column: cell}
    found = read(of("question-answering"), row, row)
    assert found.targets == [answers] * 2
    assert found.options == ({} if answers else {"handle_impossible_answer": True})


@pytest.mark.parametrize(
    ("cell", "item"),
    [
        ("a.png", "a.png"),
        (b"\x89PNG", b"\x89PNG"),
        ({"bytes": b"x", "path": "a.png"}, b"x"),
        ({"path": "a.png"}, "a.png"),
    ],
)
def test_pictures_come_in_many_forms(cell: Any, item: Any) -> None:
    evaluation = read(of("image-classification"), {"img": cell, "label": "yes"}, {"img": cell, "label": 0})
    assert (evaluation.items, evaluation.targets) == ([item, item], ["yes", "no"])
    with pytest.raises(InputError, match=r"row 1, column 'img': expected a picture: a path, a data URI or bytes"):
        read(of("image-classification"), {"img": 7, "label": "yes"}, {"img": cell, "label": 0})


def png(pixels: Any) -> bytes:
    file = BytesIO()
    Image.fromarray(np.array(pixels)).save(file, "PNG")
    return file.getvalue()


PICTURE = png(np.zeros((2, 3, 3), np.uint8))


def segment_rows(mask: Any) -> Any:
    row = {"image": PICTURE, "mask": mask}
    return read(of("image-segmentation", ("ground", "sky")), row, row)


def test_a_map_of_labels_belongs_to_each_picture(tmp_path: Path) -> None:
    mask = png(np.array([[0, 1, 255], [1, 1, 0]], np.uint8))
    evaluation = segment_rows(mask)
    assert (evaluation.items, evaluation.options) == ([PICTURE] * 2, {"subtask": "semantic"})
    assert evaluation.targets[0].places.tolist() == [[0, 1, -1], [1, 1, 0]]
    (tmp_path / "mask.png").write_bytes(mask)
    in_text = f"data:image/png;base64,{base64.b64encode(mask).decode()}"
    for other in (str(tmp_path / "mask.png"), {"bytes": mask}, in_text):
        assert np.array_equal(segment_rows(other).targets[1].places, evaluation.targets[1].places)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (png(np.zeros((3, 3), np.uint8)), r"row 1, column 'mask': the map has 3x3 pixels, and its picture 3x2"),
        (png(np.full((2, 3), 7, np.uint8)), r"a pixel is 7, and the model's labels are 0 to 1 \(255: unknown\)"),
        (png(np.full((2, 3), 255, np.uint8)), r"no pixel of the map is known"),
        (PICTURE, r"expected a picture of one channel.*this has the shape \(2, 3, 3\)"),
        (b"no picture", r"which cannot be read"),
        ("no file.png", r"which cannot be read"),
        (7, r"expected a picture: a path, a data URI or bytes"),
    ],
)
def test_what_no_map_of_labels_is(mask: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        segment_rows(mask)


def test_depths_are_pictures_or_arrays(tmp_path: Path) -> None:
    depth = np.array([[0, 1, 500], [2, 3, 4]], np.uint16)
    np.save(tmp_path / "depth.npy", depth / 2)
    for cell, scale in ((png(depth), 1), (str(tmp_path / "depth.npy"), 2)):
        row = {"image": PICTURE, "depth": cell}
        assert np.array_equal(read(of("depth-estimation"), row, row).targets[0] * scale, depth)
    row = {"image": PICTURE, "depth": png(np.zeros((2, 3), np.uint8))}
    with pytest.raises(InputError, match=r"row 1, column 'depth': no depth of the map is above 0"):
        read(of("depth-estimation"), row, row)


def test_pairs_of_sentences_become_two_items_each() -> None:
    rows = [{"sentence1": f"a{i}", "sentence2": f"b{i}", "score": i} for i in range(2)]
    found = read(of("sentence-similarity"), *rows)
    assert (found.items, found.targets) == (["a0", "b0", "a1", "b1"], [0.0, 1.0])


@pytest.mark.parametrize(
    ("column", "cell"), [("labels", [0, 1, 0]), ("relevance", [False, True, False]), ("relevant", [1])]
)
def test_relevance_is_grades_or_places(column: str, cell: list[Any]) -> None:
    row = {"query": "q", "documents": ["a", "b", "c"], column: cell}
    found = read(of("text-ranking"), row, row)
    assert found.items[0] == {"query": "q", "documents": ["a", "b", "c"]}
    assert found.targets[0] == (0.0, 1.0, 0.0)


def test_all_labels_seen_are_the_candidates() -> None:
    found = read(of("zero-shot-classification"), {"text": "a", "label": "food"}, {"text": "b", "label": "art"})
    assert (found.targets, found.options) == (["food", "art"], {"candidate_labels": ["art", "food"]})


@pytest.mark.parametrize("written", ["[MASK]", "<mask>", "<m>"])
def test_any_mask_becomes_the_model_s(written: str) -> None:
    row = {"text": f"a {written} film", "target": " good "}
    found = read(of("fill-mask"), row, row)
    assert (found.items[0], found.targets[0]) == ("a <m> film", "good")


QA = {"question": "Where?", "context": "in Rome", "answers": {"text": ["Rome"]}}


LABELS = "expected one of no, yes, or an id from 0 to 1"
RANKED = {"query": "q", "documents": ["a", "b"]}
PAIR = {"sentence1": "a", "sentence2": "b"}


@pytest.mark.parametrize(
    ("made", "row", "message"),
    [
        (CLASSIFIER, {"text": "a", "label": "perhaps"}, f"column 'label': {LABELS}, found 'perhaps'"),
        (CLASSIFIER, {"text": "a", "label": -1}, f"column 'label': {LABELS}, found -1"),
        (CLASSIFIER, {"text": "a", "label": True}, f"column 'label': {LABELS}, found True"),
        (CLASSIFIER, {"text": "a", "label": None}, f"column 'label': {LABELS}, found None"),
        (CLASSIFIER, {"text": None, "label": 1}, "column 'text': expected a text, found None"),
        (TAGGER, {"tokens": ["a"], "tags": ["O", "O"]}, "column 'tags': expected 1 labels, one for each word"),
        (TAGGER, {"tokens": ["a"], "tags": ["B-ORG"]}, "column 'tags', entry 1: expected one of O, B-PER"),
        (TAGGER, {"tokens": "a", "tags": ["O"]}, "column 'tokens': expected a list of words, found 'a'"),
        (TAGGER, {"tokens": [], "tags": []}, "column 'tokens': expected at least one word"),
        (of("question-answering"), {**QA, "context": " "}, "column 'context': expected a text that is not empty"),
        (of("question-answering"), {**QA, "answers": {"spans": 1}}, "column 'answers': expected {\"text\": [...]}"),
        (of("question-answering"), {**QA, "answers": [None]}, "column 'answers': expected {\"text\": [...]}, a list"),
        (of("fill-mask"), {"text": "no mask", "target": "a"}, "column 'text': expected a text with one <m>"),
        (of("text-ranking"), {**RANKED, "documents": ["a"]}, "column 'documents': expected two documents"),
        (of("text-ranking"), {**RANKED, "labels": [1]}, "column 'labels': expected 2 numbers from 0"),
        (of("text-ranking"), {**RANKED, "relevant": [2]}, "column 'relevant': expected places from 0 to 1"),
        (of("sentence-similarity"), {**PAIR, "score": "much"}, "column 'score': expected a number, found 'much'"),
        (of("sentence-similarity"), {**PAIR, "score": "nan"}, "column 'score': expected a number, found 'nan'"),
    ],
)
def test_a_bad_row_is_told_by_its_place(made: Manifest, row: dict[str, Any], message: str) -> None:
    good: dict[str, dict[str, Any]] = {
        "text-classification": {"text": "a", "label": 0},
        "token-classification": {"tokens": ["a"], "tags": ["O"]},
        "question-answering": QA,
        "fill-mask": {"text": "a [MASK]", "target": "a"},
        "text-ranking": {"query": "q", "documents": ["a", "b"], "labels": [0, 1], "relevant": [0]},
        "sentence-similarity": {"sentence1": "a", "sentence2": "b", "score": 1},
    }
    names = (*row, "labels") if {*row} == {*RANKED} else row
    first = {name: good[made.task][name] for name in names}
    row = {**first, **row}
    with pytest.raises(InputError) as caught:
        read(made, first, row)
    assert str(caught.value).startswith("rows.jsonl, row 2, ")
    assert message.replace('{"text": ...}', '{"text": [...]}') in str(caught.value)


@pytest.mark.parametrize(
    ("task", "row", "given", "message"),
    [
        (
            "text-classification",
            {"body": "a", "label": 1},
            {},
            r"needs columns for text, label; or text, text_pair, label",
        ),
        ("text-classification", {"text": "a"}, {}, r"It has text\. Name them with --eval-column"),
        ("text-classification", {"text": "a", "label": 1}, {"text": "body"}, r"text=body: rows.jsonl has the columns"),
        ("text-classification", {"text": "a", "label": 1}, {"words": "text"}, r"has the roles label, text, text_pair"),
        ("feature-extraction", {"text": "a"}, {}, r"feature-extraction has no metric of its own"),
        ("sentence-similarity", {"sentence1": "a", "sentence2": "b", "score": 1}, {}, r"differ from row to row"),
        ("zero-shot-classification", {"text": "a", "label": "x"}, {}, r"differ from row to row"),
        ("text-ranking", {"query": "q", "documents": ["a", "b"], "labels": [0, 0]}, {}, r"no document is relevant"),
    ],
)
def test_what_a_task_cannot_be_measured_with(
    task: str, row: dict[str, Any], given: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read(of(task), row, row, **given)


#: The rows that the trained checkpoints come with, as people find them: usual names, no options.
SHIPPED = {
    "tiny-sounds-ast": ("audio-classification", "examples.jsonl"),
    "tiny-digits-vit": ("image-classification", "examples.jsonl"),
    "tiny-shapes-segmenter": ("image-segmentation", "examples.jsonl"),
    "tiny-shapes-detector": ("object-detection", "examples.jsonl"),
    "tiny-shapes-captioner": ("image-to-text", "examples.jsonl"),
    "tiny-words-ocr": ("image-to-text", "examples.jsonl"),
    "tiny-shapes-clip": ("zero-shot-image-classification", "examples.jsonl"),
    "tiny-mlm": ("fill-mask", "examples.jsonl"),
    "tiny-ner": ("token-classification", "examples.jsonl"),
    "tiny-nli": ("text-classification", "examples.jsonl"),
    "tiny-qa": ("question-answering", "examples.jsonl"),
    "tiny-rating-regression": ("text-classification", "examples.jsonl"),
    "tiny-reranker": ("text-ranking", "examples.jsonl"),
    "tiny-sentiment": ("text-classification", "examples.jsonl"),
    "tiny-topics-multilabel": ("text-classification", "examples.jsonl"),
}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_examples_of_the_trained_checkpoints_are_read(name: str) -> None:
    task, file = SHIPPED[name]
    config = json.loads((MODELS / name / "config.json").read_text())
    labels = list(config.get("id2label", {}).values())
    lines = (MODELS / name / file).read_text(encoding="utf-8").splitlines()
    found = read(of(task, labels, config.get("problem_type")), *map(json.loads, lines))
    assert len(found.items) == len(found.targets) == len(lines) > 50


def test_every_task_with_a_metric_has_columns() -> None:
    for task in ROWS:
        for layout in () if task.metric is None else task.metric.layouts[-1:]:
            row = {names[0]: None for names in layout.values()}
            assert set(find_columns(table_of("rows", [row]), task.name, [layout], {})) == set(layout)
