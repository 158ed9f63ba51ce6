"""Which class is entailment, as transformers decides it: by label2id."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from onnxpress.pipelines.suitable import entailment
from onnxpress_exporter.tasks.postprocessing import labelled


@pytest.mark.parametrize(
    ("names", "numbers", "place", "stored"),
    [
        (["contradiction", "neutral", "entailment"], None, 2, None),
        (["LABEL_0", "LABEL_1", "LABEL_2"], {"contradiction": 0, "entailment": 1, "neutral": 2}, 1, 1),
        (["entailment", "neutral", "contradiction"], {"contradiction": 0, "neutral": 1, "Entailment": 2}, 2, 2),
        (["entailment", "neutral"], {"a": 0, "b": 1}, 0, None),
        (["a", "b"], {"entailment": 5}, None, None),
        (["a", "b"], None, None, None),
        ([0, 1], {0: 0, 1: 1}, None, None),
    ],
)
def test_entailment_by_label2id(
    names: list[Any], numbers: dict[Any, int] | None, place: int | None, stored: int | None
) -> None:
    id2label = dict(enumerate(names))
    config: Any = SimpleNamespace(
        id2label=id2label, num_labels=len(names), label2id=numbers or {name: i for i, name in id2label.items()}
    )
    settings = labelled(None, SimpleNamespace(config=config))  # type: ignore[arg-type]
    assert settings.entailment == stored
    assert entailment(settings) == place
    config.label2id = None  # as transformers 5 has it where a config is made of id2label alone
    assert labelled(None, SimpleNamespace(config=config)).entailment is None  # type: ignore[arg-type]
