"""Specs: which inputs a model really takes, what its outputs are, and what it is traced on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.text_graph import example_inputs, text_encoder_spec
from tests.fixtures.tiny import ARCHITECTURES, HIDDEN, _config
from tests.fixtures.tiny_tokenizers import tiny_tokenizer


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


def model_and_tokenizer(architecture: str, head: str, labels: int = 3, **config: Any) -> tuple[Any, Any]:
    import transformers

    tiny = ARCHITECTURES[architecture]
    tokenizer = tiny_tokenizer(tiny.tokenizer, **tiny.tokenizer_args)
    settings = _config(architecture, tokenizer, tuple(f"label {number}" for number in range(labels)))
    for key, value in config.items():
        setattr(settings, key, value)
    return getattr(transformers, head).from_config(settings), tokenizer


def names(spec: GraphSpec) -> list[str]:
    return [one.name for one in spec.inputs]


MASKED = ["input_ids", "attention_mask"]
TYPED = [*MASKED, "token_type_ids"]


@pytest.mark.parametrize(
    ("architecture", "inputs"),
    [
        ("bert", TYPED),
        ("electra", TYPED),
        ("ernie", TYPED),  # its task_type_ids are left to the model
        ("roberta", MASKED),  # one type of segment: nothing to choose
        ("distilbert", MASKED),  # no such parameter
        ("mpnet", MASKED),
        ("modernbert", MASKED),
        ("deberta", MASKED),  # no types of segment, although its tokenizer makes them
        ("gpt2", MASKED),  # could embed them, but its tokenizer does not make them
        ("fnet", ["input_ids", "token_type_ids"]),  # takes no mask
    ],
)
def test_inputs_are_those_that_change_the_answer(architecture: str, inputs: list[str]) -> None:
    model, tokenizer = model_and_tokenizer(architecture, "AutoModel")
    spec = text_encoder_spec(TASKS["feature-extraction"], model, tokenizer)
    assert names(spec) == inputs
    assert {(one.dtype, one.axes) for one in spec.inputs} == {("int64", ("batch", "sequence"))}


def test_a_tokenizer_without_segment_ids_leaves_them_to_the_model() -> None:
    model, _ = model_and_tokenizer("bert", "AutoModel")
    tokenizer = tiny_tokenizer("bert", model_input_names=MASKED)
    assert names(text_encoder_spec(TASKS["feature-extraction"], model, tokenizer)) == MASKED


@pytest.mark.parametrize(
    ("task", "head", "outputs"),
    [
        ("text-classification", "SequenceClassification", {"logits": ("batch", 3)}),
        ("zero-shot-classification", "SequenceClassification", {"logits": ("batch", 3)}),
        ("token-classification", "TokenClassification", {"logits": ("batch", "sequence", 3)}),
        ("fill-mask", "MaskedLM", {"logits": ("batch", "sequence", 347)}),
        (
            "question-answering",
            "QuestionAnswering",
            {"start_logits": ("batch", "sequence"), "end_logits": ("batch", "sequence")},
        ),
    ],
)
def test_outputs_by_task(task: str, head: str, outputs: dict[str, tuple[Any, ...]]) -> None:
    model, tokenizer = model_and_tokenizer("bert", f"AutoModelFor{head}")
    spec = text_encoder_spec(TASKS[task], model, tokenizer)
    assert spec.name == "model"
    assert spec.outputs == tuple(TensorInfo(name, "float32", axes) for name, axes in outputs.items())


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "gpt2", "xlnet", "t5"])
def test_the_hidden_size_by_any_name(architecture: str) -> None:
    model, tokenizer = model_and_tokenizer(architecture, "AutoModel")
    spec = text_encoder_spec(TASKS["feature-extraction"], model, tokenizer)
    assert spec.outputs == (TensorInfo("last_hidden_state", "float32", ("batch", "sequence", HIDDEN)),)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "qwen3", "t5"])
def test_examples_have_more_than_one_row_and_real_padding(architecture: str) -> None:
    model, tokenizer = model_and_tokenizer(architecture, "AutoModel")
    spec = text_encoder_spec(TASKS["feature-extraction"], model, tokenizer)
    inputs = example_inputs(spec, tokenizer)
    assert list(inputs) == names(spec)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    assert ids.shape == mask.shape and ids.shape[0] >= 2 and ids.shape[1] >= 2
    assert not {*ids.shape} & {4, 8, 24, HIDDEN, 48, 96, 98}, "a size that is also one of the model's is ambiguous"
    assert len({int(row.sum()) for row in mask}) > 1
    padded_first = bool((mask[:, 0] == 0).any())
    assert padded_first == (tokenizer.padding_side == "left")
    assert bool((ids[mask == 0] == tokenizer.pad_token_id).all())
    again = example_inputs(spec, tokenizer)
    assert all(bool((again[name] == value).all()) for name, value in inputs.items())


@pytest.mark.parametrize(
    ("architecture", "config", "words"),
    [
        ("nystromformer", {}, "means of 4 segments of exactly 16 tokens"),
        ("funnel", {}, "relative positions"),
        ("big_bird", {"attention_type": "block_sparse"}, "original_full"),
    ],
)
def test_models_that_one_graph_cannot_follow(architecture: str, config: dict[str, Any], words: str) -> None:
    model, tokenizer = model_and_tokenizer(architecture, "AutoModelForSequenceClassification", **config)
    with pytest.raises(UnsupportedCheckpoint, match=words):
        text_encoder_spec(TASKS["text-classification"], model, tokenizer)


def test_nystromformer_with_as_many_segments_as_landmarks_attends_in_full() -> None:
    kind = "AutoModelForSequenceClassification"
    model, tokenizer = model_and_tokenizer("nystromformer", kind, segment_means_seq_len=4)
    assert names(text_encoder_spec(TASKS["text-classification"], model, tokenizer))[0] == "input_ids"


@pytest.mark.parametrize(
    ("architecture", "config"),
    [("bart", {}), ("t5", {}), *((name, {"pad_token_id": None}) for name in ("gpt2", "qwen2", "llama", "qwen3"))],
)
def test_classifiers_answer_rows_that_their_class_refuses_together(architecture: str, config: dict[str, Any]) -> None:
    """Different numbers of end tokens; no token for padding: each row as the class answers it alone."""
    import torch

    from onnxpress_exporter.tasks.sequence_rows import answer_by_rows

    model, tokenizer = model_and_tokenizer(architecture, "AutoModelForSequenceClassification")
    for name, value in config.items():
        setattr(model.config, name, value)
    model.eval()
    ids = [tokenizer(*texts).input_ids for texts in (("fox",), ("the quick brown fox", "dog"), ("a dog", "fox"))]
    longest = max(map(len, ids))
    rows = torch.tensor([row + [1] * (longest - len(row)) for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    with torch.inference_mode():
        alone = [model(torch.tensor([row])).logits for row in ids]
        if config:
            with pytest.raises(ValueError, match="no padding token"):
                model(input_ids=rows, attention_mask=mask)
        together = answer_by_rows(model)(input_ids=rows, attention_mask=mask)["logits"]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


def test_a_class_that_passes_on_what_it_takes_reads_what_the_one_below_it_reads() -> None:
    """Authors' own classes are often written so."""
    import transformers

    class Extended(transformers.BertModel):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    class Closed(transformers.BertModel):
        def forward(self, tokens: Any) -> Any:
            return super().forward(tokens)

    plain, tokenizer = model_and_tokenizer("bert", "AutoModel")
    task = TASKS["feature-extraction"]
    assert names(text_encoder_spec(task, Extended(plain.config), tokenizer)) == TYPED
    with pytest.raises(UnsupportedCheckpoint, match="Closed does not take token ids"):
        text_encoder_spec(task, Closed(plain.config), tokenizer)
