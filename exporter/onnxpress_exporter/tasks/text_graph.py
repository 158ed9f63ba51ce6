"""The graph of a text encoder with or without a head: token ids in, logits or hidden states out.

Architectures need nothing here: what a model takes is read from its `forward` and its config.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.lengths import refuse_length_dependent
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.tasks.token_streams import makes_streams

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

_BATCH, _SEQUENCE = "batch", "sequence"

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def takes_token_types(model: Any, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether segment ids are passed by transformers and change the answer.

    A tokenizer that does not make them leaves the choice to the model, inside the graph: BERT then
    takes zeros, GPT-2 adds nothing at all. With one type of segment or none there is no choice.
    """
    types = getattr(model.config, "type_vocab_size", None)
    return "token_type_ids" in tokenizer.model_input_names and (types is None or types > 1)


def text_encoder_spec(task: ExportTask, model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase) -> GraphSpec:
    """The graph named "model" for `task`: int64 (batch, sequence) inputs that `model` reads.

    Raises:
        UnsupportedCheckpoint: the model does not read token ids, or computes something else at another length.
    """
    assert task.outputs is not None, f"{task.name} has graphs of its own"
    return GraphSpec(name="model", inputs=text_graph_inputs(model, tokenizer), outputs=task.outputs(model))


def text_graph_inputs(
    model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, tokens: int | None = None
) -> tuple[TensorInfo, ...]:
    """What of token ids, mask and types `model` reads: int64 (batch, sequence).

    Args:
        tokens: the only length of its rows, which are read as the tokenizer fills them up; None: any, with a mask.

    Raises:
        UnsupportedCheckpoint: as of `text_encoder_spec`.
    """
    refuse_length_dependent(model)
    parameters = _parameters(model)
    if "input_ids" not in parameters:
        raise UnsupportedCheckpoint(f"{type(model).__name__} does not take token ids.")
    names = [name for name in _INPUTS if name in parameters]
    needed = makes_streams(tokenizer) or takes_token_types(model, tokenizer)
    if "token_type_ids" in names and not needed:
        names.remove("token_type_ids")
    if tokens is not None:  # a tokenizer that makes no mask lets the model attend to padding
        names = [name for name in names if name == _INPUTS[0] or name in tokenizer.model_input_names]
    axes = (_BATCH, tokens or _SEQUENCE)
    return tuple(TensorInfo(name, "int64", axes) for name in names)


def _parameters(model: torch.nn.Module) -> frozenset[str]:
    """What `forward` takes by name; where it passes on whatever it is given, what the class that it extends takes."""
    for forward in (model.forward, *(vars(kind)["forward"] for kind in type(model).__mro__ if "forward" in vars(kind))):
        parameters = inspect.signature(forward).parameters
        passes_on = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        if "input_ids" in parameters or not passes_on:
            return frozenset(parameters)
    return frozenset()


# Lengths differ, so that the mask has real padding: an all-ones mask can vanish from a graph.
_EXAMPLES = (
    ("The quick brown fox jumps over the lazy dog.", "It did so twice."),
    ("Two words", "and more"),
    ("Seven", "is a number of this example"),
)


def example_inputs(spec: GraphSpec, tokenizer: PreTrainedTokenizerBase) -> dict[str, torch.Tensor]:
    """Inputs to trace `spec` with: int64 (3, sequence), padded, sequence unlike any other size.

    Args:
        spec: of `text_encoder_spec`.
        tokenizer: the checkpoint's.
    """
    import torch

    pad_id = tokenizer.pad_token_id
    encoded = [tokenizer(text, pair, return_token_type_ids=True, truncation=False) for text, pair in _EXAMPLES]
    ids = [list(encoding["input_ids"]) for encoding in encoded]
    # 3 rows of 11 to 23 tokens: primes, far from each other and from the sizes inside a model.
    only = spec.inputs[0].axes[1]
    length = only if isinstance(only, int) else min(23, max(11, *(len(row) for row in ids)))
    counts = [min(len(row), length - index) for index, row in enumerate(ids)]
    rows: dict[str, list[list[int]]] = {"input_ids": [], "attention_mask": [], "token_type_ids": []}
    for row, encoding, count in zip(ids, encoded, counts, strict=True):
        types = list(encoding.get("token_type_ids") or [0] * len(row))
        # A sequence-to-sequence classifier reads the state of the last token, so keep that.
        tokens, types = [*row[: count - 1], row[-1]], [*types[: count - 1], types[-1]]
        padding = length - len(tokens)
        left = tokenizer.padding_side == "left"
        for name, values, filler in (
            ("input_ids", tokens, 0 if pad_id is None else pad_id),
            ("attention_mask", [1] * len(tokens), 0),
            ("token_type_ids", types, tokenizer.pad_token_type_id),
        ):
            pad = [filler] * padding
            rows[name].append([*pad, *values] if left else [*values, *pad])
    return {tensor.name: torch.tensor(rows[tensor.name], dtype=torch.int64) for tensor in spec.inputs}
