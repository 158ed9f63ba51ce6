"""Which tasks an artifact says it serves: those whose pipeline takes its model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxpress.format.manifest import Postprocessing
from onnxpress.pipelines.suitable import entailing
from onnxpress.pipelines.table import TASKS, served_tasks
from tests.fixtures.manifests import manifest


@pytest.mark.parametrize(
    ("labels", "others"),
    [
        (("score",), {"text-ranking"}),
        (("negative", "neutral", "positive"), set()),
        (("contradiction", "neutral", "ENTAILMENT"), {"zero-shot-classification"}),
        ((), set()),
    ],
)
def test_a_classifier_serves_what_its_labels_allow(labels: tuple[str, ...], others: set[str]) -> None:
    classifier = replace(manifest(), task="text-classification", postprocessing=Postprocessing(labels=labels))
    assert served_tasks(classifier)[0] == "text-classification"
    assert set(served_tasks(classifier)) == {"text-classification", *others}


def test_what_a_task_serves_is_a_task() -> None:
    for row in TASKS.values():
        assert set(row.serves) <= set(TASKS) - {row.name}


def test_the_first_label_that_begins_so_is_entailment() -> None:
    assert entailing(("Entails", "entailment")) == 0
    assert entailing(("no", "not entailed")) is None
