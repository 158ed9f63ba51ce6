"""multiple-choice against the model computed here: transformers 5 has no such pipeline.

Pairs are encoded as transformers' documentation of multiple choice encodes SWAG: (prompt, choice), the longer one cut
first; the scores are the softmax over the choices of one prompt.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import onnxpress
from onnxpress.cli.main import program
from onnxpress_exporter.judging.data import table_of
from onnxpress_exporter.judging.metrics import score
from onnxpress_exporter.tasks.evaluation import evaluation_of
from tests.parity.alike import assert_json
from tests.parity.texts import SENTENCES, parity, texts

TASK = "multiple-choice"
PROMPT = "what is said about the cheese?"
CHOICES = ["the dessert tasted of cheese.", "the old hurdle broke the world record.", "", "why is the theory so young?"]


@cache
def model_of(checkpoint: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForMultipleChoice, AutoTokenizer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoTokenizer.from_pretrained(checkpoint), AutoModelForMultipleChoice.from_pretrained(checkpoint)


def expected_scores(checkpoint: Path, prompt: str, choices: list[str]) -> list[float]:
    import torch

    tokenizer, model = model_of(checkpoint)
    limit = tokenizer.model_max_length
    encoding = tokenizer(
        [prompt] * len(choices), choices, padding=True, truncation=True, max_length=limit, return_tensors="pt"
    )
    with torch.inference_mode():
        logits = model(**{name: ids[None] for name, ids in encoding.items()}).logits
    return logits.softmax(dim=-1)[0].tolist()  # type: ignore[no-any-return]


def assert_chooses(result: Any, choices: list[str], scores: list[float]) -> None:
    """Every choice once, best first, with PyTorch's score."""
    assert [list(entry) for entry in result] == [["index", "choice", "score"]] * len(choices)
    assert result == sorted(result, key=lambda entry: (-entry["score"], entry["index"]))
    in_order = sorted(result, key=lambda entry: entry["index"])
    assert [entry["choice"] for entry in in_order] == choices
    assert [entry["score"] for entry in in_order] == pytest.approx(scores, abs=1e-4)
    assert_json(result)


def test_scores(chooser: Path, ours: Callable[..., Any]) -> None:
    assert_scores(chooser, ours)


@pytest.mark.nightly
@pytest.mark.parametrize("architecture", ["bert", "distilbert", "xlnet"])
def test_scores_of_architectures(architecture: str, tiny: Callable[..., Path], ours: Callable[..., Any]) -> None:
    assert_scores(tiny(architecture, TASK), ours)


def assert_scores(checkpoint: Path, ours: Callable[..., Any]) -> None:
    pipe = ours(checkpoint, TASK)
    for prompt, choices in ((PROMPT, CHOICES), ("the fox " * 100, [*SENTENCES, "a " * 200]), ("", ["only one"])):
        assert_chooses(pipe(prompt=prompt, choices=choices), choices, expected_scores(checkpoint, prompt, choices))


def test_prompts_with_different_numbers_of_choices_are_answered_as_each_alone(chooser: Path, ours: Any) -> None:
    pipe = ours(chooser, TASK)
    sides = st.fixed_dictionaries({"prompt": texts(max_parts=4), "choices": st.lists(texts(), min_size=1, max_size=7)})

    @parity
    @given(items=st.lists(sides, min_size=1, max_size=4))
    def check(items: list[dict[str, Any]]) -> None:
        for item, result in zip(items, pipe(items), strict=True):
            assert_chooses(result, item["choices"], expected_scores(chooser, item["prompt"], item["choices"]))
            alone = pipe(item)
            assert [entry["index"] for entry in alone] == [entry["index"] for entry in result]
            assert [entry["score"] for entry in alone] == pytest.approx([entry["score"] for entry in result], abs=1e-6)

    check()


def test_int8_passes_the_gate_and_chooses_the_same(chooser: Path, exported: Callable[..., Any]) -> None:
    artifact = exported(chooser, TASK, ("fp32", "int8"))
    quality = artifact.manifest.variants["int8"].quality
    assert quality.measures["label agreement"] >= 0.98 and quality.measures["batch disagreement"] == 0
    result = onnxpress.pipeline(TASK, artifact, precision="int8", threads=1)(prompt=PROMPT, choices=CHOICES)
    best = max(enumerate(expected_scores(chooser, PROMPT, CHOICES)), key=lambda pair: pair[1])
    assert (result[0]["index"], result[0]["score"]) == (best[0], pytest.approx(best[1], abs=0.15))


@pytest.mark.nightly
def test_tokens_after_the_prompt_are_global_to_longformer(tiny: Callable[..., Path], ours: Callable[..., Any]) -> None:
    checkpoint = tiny("longformer", TASK)
    result = ours(checkpoint, TASK)({"prompt": PROMPT, "choices": CHOICES})
    assert_chooses(result, CHOICES, expected_scores(checkpoint, PROMPT, CHOICES))


def test_command_line(chooser: Path, exported: Callable[..., Any]) -> None:
    folder = str(exported(chooser, TASK).folder)
    run = CliRunner().invoke(program, ["run", folder, *CHOICES, "--set", f"prompt={PROMPT}", "--json"])
    assert run.exit_code == 0, run.output
    entries = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(entries) == len(CHOICES)


@pytest.mark.parametrize(
    ("row", "columns"),
    [
        ({"prompt": "p", "choices": ["a", "b"], "label": 1}, {}),
        ({"ctx": "p", "endings": ["a", "b"], "label": "b"}, {}),
        ({"sent1": "p", "sent2": "", "ending0": "a", "ending1": "b", "ending2": "c", "ending3": "d", "label": 1}, {}),
        ({"story": "p", "ends": ["a", "b"], "label": "1"}, {"prompt": "story", "choices": "ends"}),
    ],
)
def test_labelled_rows(
    chooser: Path, exported: Callable[..., Any], row: dict[str, Any], columns: dict[str, str]
) -> None:
    evaluation = evaluation_of(table_of("rows", [row, row]), exported(chooser, TASK).manifest, columns)
    assert evaluation.targets == [1, 1]
    assert score(evaluation, [[{"index": 1}], [{"index": 0}]]) == {"accuracy": 0.5}
