"""Every argument in the signatures of transformers' pipelines for text: the same answer, or refused by the table."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from onnxpress import InputError, pipeline
from onnxpress.generation.settings_fields import IGNORED, KINDS, REFUSED
from onnxpress.pipelines.known_arguments import OF_TOKENIZERS
from tests.conftest import MODELS

#: What a value of no account is for an argument that is given by the inputs, or is transformers' own affair.
_INTERNAL = {
    "self", "inputs", "model_inputs", "model_outputs", "all_outputs", "sentence", "prompt_text", "text_inputs",
    "sequences", "args", "kwargs", "tokenizer_kwargs", "preprocess_parameters", "preprocess_params", "generate_kwargs",
    "tokenize_kwargs", "pipeline_parameters", "_legacy", "target_ids",
}  # fmt: skip

TEXT = "What a nice laptop, thank you"

#: task -> checkpoint, its first input, and what every call has.
TASKS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "text-classification": ("tiny-sentiment", TEXT, {}),
    "token-classification": ("tiny-ner", "Anna Smith works in Paris.", {}),
    "fill-mask": ("tiny-mlm", "the [MASK] is nice", {}),
    "zero-shot-classification": ("tiny-nli", TEXT, {"candidate_labels": ["computers", "food"]}),
    "feature-extraction": ("tiny-embedder", TEXT, {}),
    "text-generation": ("tiny-lm", "Once upon a time", {"max_new_tokens": 5, "do_sample": False}),
}

_EVERY = {"batch_size": [2], "num_workers": [0]}
_OF_TOKENIZER: dict[str, list[Any]] = {
    "add_special_tokens": [False], "padding": [True, "max_length"], "truncation": [True, "only_first"],
    "max_length": [4], "stride": [1], "is_split_into_words": [True], "pad_to_multiple_of": [8],
    "padding_side": ["left"], "return_tensors": ["pt"], "return_token_type_ids": [True, False],
    "return_attention_mask": [True, False], "return_overflowing_tokens": [True],
    "return_special_tokens_mask": [True], "return_offsets_mapping": [True], "return_length": [True],
    "verbose": [False], "text_pair": ["more"], "text_target": ["a"], "text_pair_target": ["a"],
    "tokenizer_kwargs": [{"x": 1}],
}  # fmt: skip

#: task -> argument -> values to try.
VALUES: dict[str, dict[str, list[Any]]] = {
    "text-classification": {
        **_OF_TOKENIZER, "function_to_apply": ["sigmoid", "softmax", "none"], "top_k": [1, 2, None],
    },
    "token-classification": {
        "ignore_labels": [[], ["O", "B-PER"]], "aggregation_strategy": ["none", "simple", "first", "average", "max"],
        "offset_mapping": [None], "is_split_into_words": [False], "stride": [2], "delimiter": [" "],
    },
    "fill-mask": {
        "top_k": [1, 3], "targets": [["day", "car"], "day"], "return_tensors": ["pt"],
        "tokenizer_kwargs": [{"truncation": True}, {"return_length": True}, {"add_special_tokens": False}],
    },
    "zero-shot-classification": {
        "candidate_labels": [["a"], "a, b, c"], "hypothesis_template": ["It is {}."], "multi_label": [True],
        "multi_class": [True],
    },
    "feature-extraction": {
        "return_tensors": [True, False], "truncation": [True, "only_first"],
        "tokenize_kwargs": [
            {"truncation": True, "max_length": 5}, {"add_special_tokens": False}, {"return_length": True},
            {"padding": "max_length", "max_length": 12},
        ],
    },
    "text-generation": {
        "return_full_text": [False, True], "return_tensors": [True], "return_text": [True], "return_type": [0, 1, 2],
        "clean_up_tokenization_spaces": [True, False], "prefix": ["Well: "], "handle_long_generation": ["hole"],
        "stop_sequence": ["."], "truncation": [True], "max_length": [12], "continue_final_message": [None],
        "skip_special_tokens": [True, False], "tokenizer_encode_kwargs": [{"add_special_tokens": False}],
        "tools": [None], "documents": [None], "add_special_tokens": [True, False], "padding": [True],
        "num_beams": [2], "repetition_penalty": [1.5], "no_repeat_ngram_size": [2], "min_new_tokens": [4],
        "num_return_sequences": [1], "eos_token_id": [5], "pad_token_id": [0], "use_cache": [True],
        "guidance_scale": [1.5], "penalty_alpha": [0.5], "output_scores": [True], "renormalize_logits": [True],
        "max_time": [1000.0], "suppress_tokens": [[7]], "forced_eos_token_id": [2], "length_penalty": [2.0],
        "early_stopping": [True], "sequence_bias": [{(7,): 1.0}], "num_beam_groups": [2], "low_memory": [True],
        "negative_prompt_ids": [[1]], "custom_generate": ["x/y"], "stop_strings": [None], "tokenizer": [None],
        "generation_config": [{"max_new_tokens": 3}],
    },
}  # fmt: skip
for _values in VALUES.values():
    _values.update(_EVERY)

CASES = [
    pytest.param(task, name, value, id=f"{task}-{name}-{value!r:.30}")
    for task, names in VALUES.items()
    for name, values in names.items()
    for value in values
]


@pytest.fixture(scope="module")
def both(exported: Callable[..., Any], reference: Callable[..., Any]) -> Callable[[str], tuple[Any, Any]]:
    opened: dict[str, tuple[Any, Any]] = {}

    def make(task: str) -> tuple[Any, Any]:
        if task not in opened:
            checkpoint = MODELS / TASKS[task][0]
            as_exported = None if task != "zero-shot-classification" else "text-classification"
            artifact = exported(checkpoint, as_exported or task)
            opened[task] = pipeline(task, artifact, threads=1), reference(checkpoint, task)
        return opened[task]

    return make


@pytest.mark.parametrize("task", TASKS)
def test_every_argument_in_their_signatures_has_values(task: str) -> None:
    import transformers

    kind = type_of(transformers, task)
    names: set[str] = set()
    for method in ("_sanitize_parameters", "preprocess", "_forward", "postprocess", "__call__"):
        names |= set(inspect.signature(getattr(kind, method)).parameters)
    names |= set(inspect.signature(transformers.Pipeline.__call__).parameters)
    if task == "text-classification":
        names |= set(inspect.signature(transformers.PreTrainedTokenizerFast.__call__).parameters) - {"text"}
    tried = set(VALUES[task]) | set(TASKS[task][2])
    assert names - _INTERNAL - tried == set()


def type_of(transformers: Any, task: str) -> Any:
    """transformers' class for a task."""
    kind = transformers.pipelines.SUPPORTED_TASKS[task]["impl"]
    return getattr(transformers, kind.rpartition(".")[2]) if isinstance(kind, str) else kind


def test_every_setting_of_generation_is_in_a_table() -> None:
    from transformers import GenerationConfig, GenerationMixin

    names = set(vars(GenerationConfig())) | set(inspect.signature(GenerationMixin.generate).parameters)
    names -= {"self", "inputs", "kwargs", "generation_config", "streamer", "_from_model_config"}
    assert names - set(KINDS) - set(REFUSED) - IGNORED == set()


@pytest.mark.parametrize(("task", "name", "value"), CASES)
def test_an_argument_gives_the_same_or_is_refused(both: Any, task: str, name: str, value: Any) -> None:
    ours, theirs = both(task)
    _, text, settings = TASKS[task]
    arguments = {**settings, name: value}
    if name == "max_length":
        arguments.pop("max_new_tokens", None)
    try:
        expected = theirs(text, **arguments)
    except Exception:  # transformers fails in any way that it likes
        expected = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = ours(text, **arguments)
    except InputError as error:
        known = {
            **ours.arguments,
            **(OF_TOKENIZERS if task in ("fill-mask", "text-classification", "feature-extraction") else {}),
        }
        refused = {row.name for row in known.values() if row.kind != "has no effect"} | set(REFUSED)
        # What transformers cannot do either needs no row. Windows share tokens that would be labelled twice;
        # features have no padding.
        named = {row for row in (*refused, "truncation", "stride", 'padding="max_length"') if row in str(error)}
        assert expected is None or named, f"{name}={value!r}: {error}"
        return
    if expected is not None:
        assert_alike(result, expected)


def assert_alike(result: Any, expected: Any) -> None:
    """The same structure and texts, numbers within what kernels differ by."""
    if hasattr(expected, "detach"):  # a tensor, which is an array here
        result, expected = result.tolist(), expected.tolist()
    if isinstance(expected, dict):
        assert set(result) == set(expected)
        for name, value in expected.items():
            assert_alike(result[name], value)
    elif isinstance(expected, (list, tuple)):
        assert len(result) == len(expected)
        for ours, theirs in zip(result, expected, strict=True):
            assert_alike(ours, theirs)
    elif isinstance(expected, (float, np.floating)):
        assert result == pytest.approx(float(expected), abs=2e-3)
    else:
        assert result == expected
