"""token-classification against transformers: strategies, windows, words, offsets; any text on a trained checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import onnxpress
from onnxpress import InputError
from tests.fixtures.tiny import tiny_checkpoint
from tests.parity.alike import assert_alike, assert_json
from tests.parity.texts import SENTENCES, parity, texts

TASK = "token-classification"
STRATEGIES = ("none", "simple", "first", "average", "max")
TEXT = "John Smith works at Acme in Paris, not in Berlin or San Francisco."
WORDS = ["John", "Smith", "works", "at", "Acme,", "", "in", "São", "Paulo", "👍🏽", "e\u0301te\u0301"]
LONG = " ".join((*SENTENCES[:6], TEXT)) * 2
#: Tokenizers that mark the pieces of a word, and tokenizers that do not; an unknown token is written differently.
ARCHITECTURES = ("bert", "roberta", "xlm_roberta")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def pipes(request: Any, tiny: Callable[..., Path], ours: Callable[..., Any], reference: Callable[..., Any]) -> Any:
    checkpoint = tiny(request.param, TASK)
    return ours(checkpoint, TASK), reference(checkpoint, TASK)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies(pipes: Any, strategy: str) -> None:
    for inputs in (TEXT, [TEXT, "", "x"], list(SENTENCES), "good 𝔘𝔫𝔦 e\u0301 👩‍👩‍👧‍👦 [MASK] fox"):
        options: dict[str, Any] = {"aggregation_strategy": strategy, "ignore_labels": []}
        obtained = pipes[0](inputs, **options)
        assert_alike(obtained, pipes[1](inputs, **options))
        assert_json(obtained)


@pytest.mark.parametrize("ignore", [None, ["O", "PER"], ["B-PER"]], ids=["default", "group", "label"])
def test_ignored_labels(pipes: Any, ignore: list[str] | None) -> None:
    for strategy in ("none", "simple", "first"):
        options: dict[str, Any] = {"aggregation_strategy": strategy, "ignore_labels": ignore}
        assert_alike(pipes[0](TEXT, **options), pipes[1](TEXT, **options))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_cut_silently_without_stride(pipes: Any, strategy: str) -> None:
    options = {"aggregation_strategy": strategy, "ignore_labels": []}
    obtained = pipes[0](LONG, **options)
    assert_alike(obtained, pipes[1](LONG, **options))
    assert obtained[-1]["end"] < len(LONG)


@pytest.mark.parametrize(
    ("strategy", "stride"), [("simple", 0), ("simple", 60), ("first", 17), ("average", 5), ("max", 40)]
)
def test_windows(pipes: Any, strategy: str, stride: int) -> None:
    options: dict[str, Any] = {"aggregation_strategy": strategy, "stride": stride}
    inputs = [LONG, TEXT, ""]
    assert_alike(pipes[0](inputs, **options), [_once(entities) for entities in pipes[1](inputs, **options)])
    everything = pipes[0](LONG, **options, ignore_labels=[])
    assert everything[-1]["end"] >= len(LONG) - 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_words(pipes: Any, strategy: str) -> None:
    options: dict[str, Any] = {"aggregation_strategy": strategy, "ignore_labels": [], "is_split_into_words": True}
    for inputs in (WORDS, [WORDS, ["a", "b"]], [WORDS]):
        assert_alike(pipes[0](inputs, **options), pipes[1](inputs, **options))


@pytest.mark.parametrize("delimiter", [" ", "", " | "])
def test_delimiters(pipes: Any, delimiter: str) -> None:
    for strategy in ("none", "first"):
        options = {"aggregation_strategy": strategy, "is_split_into_words": True, "delimiter": delimiter}
        assert_alike(pipes[0]([WORDS], **options), pipes[1]([WORDS], **options))


def _once(entities: list[Any]) -> list[Any]:
    """transformers gives the first entity of a text in windows twice if it is empty, as a lone space may be."""
    return entities[1:] if len(entities) > 1 and entities[0] is entities[1] else entities


def test_words_in_windows(pipes: Any) -> None:
    options = {"aggregation_strategy": "simple", "is_split_into_words": True, "stride": 8}
    inputs = [LONG.split(" "), WORDS]
    assert_alike(pipes[0](inputs, **options), [_once(entities) for entities in pipes[1](inputs, **options)])


def test_offsets_of_ones_own(pipes: Any) -> None:
    count = len(pipes[1].pipe.tokenizer("the fox")["input_ids"])
    mapping = [(0, 0), *((i, i + 2) for i in range(count - 2)), (0, 0)]
    for options in ({}, {"aggregation_strategy": "simple", "ignore_labels": []}):
        expected = pipes[1]("the fox", offset_mapping=mapping, **options)
        assert_alike(pipes[0]("the fox", offset_mapping=mapping, **options), expected)
        assert_alike(pipes[0](["the fox"], offset_mapping=[mapping], **options), [expected])
    with pytest.raises(InputError, match="needs one for each token"):
        pipes[0]("the fox", offset_mapping=mapping[1:])
    with pytest.raises(InputError, match="1 lists of offsets for 2 inputs"):
        pipes[0](["the fox", "a"], offset_mapping=[mapping])


def test_strategy_as_transformers_enum(pipes: Any) -> None:
    from transformers.pipelines.token_classification import AggregationStrategy

    for strategy in AggregationStrategy:
        options = {"aggregation_strategy": strategy}
        assert_alike(pipes[0](TEXT, **options), pipes[1](TEXT, **options))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_trained(
    strategy: str, trained: Callable[[str], Path], ours: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = trained("tiny-ner")
    pipe, theirs = ours(checkpoint, TASK), reference(checkpoint, TASK)

    @parity
    @given(text=texts(min_parts=1), ignore=st.sampled_from([["O"], []]))
    def check(text: str, ignore: list[str]) -> None:
        assume(_margin(theirs.pipe, text) > 1e-4)
        options = {"aggregation_strategy": strategy, "ignore_labels": ignore}
        obtained = pipe(text, **options)
        assert_alike(obtained, theirs(text, **options))
        assert all(0 <= one["start"] <= one["end"] <= len(text) for one in obtained)

    check()


def _margin(pipe: Any, text: str) -> float:
    """The smallest difference between the two best labels of a token: below it rounding decides."""
    import torch

    with torch.no_grad():
        logits = pipe.model(**pipe.tokenizer(text, return_tensors="pt", truncation=True)).logits[0]
    best = np.sort(logits.softmax(-1).numpy(), axis=-1)
    return float((best[:, -1] - best[:, -2]).min())


def test_trained_finds_names_in_windows(
    trained: Callable[[str], Path], ours: Callable[..., Any], reference: Callable[..., Any]
) -> None:
    checkpoint = trained("tiny-ner")
    pipe, theirs = ours(checkpoint, TASK), reference(checkpoint, TASK)
    rows = [json_line["text"] for json_line in _examples(checkpoint)[:24]]
    text = " 🙂 ".join(rows)
    for strategy in STRATEGIES[1:]:
        options = {"aggregation_strategy": strategy, "stride": 16}
        obtained = pipe(text, **options)
        assert_alike(obtained, theirs(text, **options))
        assert len(obtained) > 24
        assert obtained[-1]["start"] > len(text) * 0.9


def _examples(checkpoint: Path) -> list[dict[str, Any]]:
    import json

    return [json.loads(line) for line in (checkpoint / "examples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_alone_in_a_batch_and_streamed(trained: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    from transformers.pipelines.pt_utils import KeyDataset

    pipe = ours(trained("tiny-ner"), TASK)
    inputs = [*SENTENCES, "", " ".join(SENTENCES[:5])]
    options: dict[str, Any] = {"aggregation_strategy": "simple", "ignore_labels": []}
    alone = [pipe(text, **options) for text in inputs]
    rows = [{"text": text} for text in inputs]
    for result in (
        pipe(inputs, **options),
        pipe(inputs, batch_size=3, **options),
        list(pipe((text for text in inputs), **options)),
        list(pipe(KeyDataset(rows, "text"), **options)),
    ):
        assert_alike(result, alone, tolerance=1e-5)


@pytest.mark.nightly
@pytest.mark.parametrize("architecture", ["deberta_v2", "deberta"])
def test_relative_positions_are_no_limit(architecture: str, tmp_path: Path) -> None:
    """Every token of a text is labelled that is longer than what relative positions were trained for."""
    import transformers

    from onnxpress_exporter import export

    folder = tmp_path / "model"
    tiny_checkpoint(architecture, TASK, folder, num_hidden_layers=1, max_position_embeddings=64)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["model_max_length"] = 10**30
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    export(folder, tmp_path / "out")
    text = "John Smith works at Acme in Paris. " * 12
    theirs = transformers.pipeline(TASK, model=str(folder), device=-1)
    with onnxpress.pipeline(TASK, tmp_path / "out", threads=1) as pipe:
        assert pipe.processor.tokenizer.settings.max_length is None
        obtained = pipe(text, ignore_labels=[])
    assert len(obtained) > 112
    assert_alike(obtained, theirs(text, ignore_labels=[]))
