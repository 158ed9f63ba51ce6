"""What a decoder's graph takes and returns, read from the manifest. docs/decisions/0010-generation.md is the contract.

Knows no session and no arrays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.generation.decoders.forms import USUAL, Form

TEXT_MASK = "encoder_attention_mask"
#: What the decoders of other tools take besides: the states of the text, and whether there is a past.
TEXT_STATES, USE_CACHE = "encoder_hidden_states", "use_cache_branch"
#: What a graph that reads a token of a prompt otherwise than one that was written takes for each row: 1, or 0.
OF_PROMPT = "of_prompt"
#: How many of the last tokens' scores other tools' graphs are asked for.
COUNT = "num_logits_to_keep"
LOG_NORMALIZER = "log_normalizer"
#: What heads of a decoder look for that tell where in a sound each token was spoken; returned where it is asked for.
ALIGNING_QUERIES = "aligning_queries"
WITH_LOG_NORMALIZER = f"with_{LOG_NORMALIZER}"
_PAST, _PRESENT = "past_key_values.", "present."
_FLOATS = ("float32", "float16")
#: A first axis of rows times heads, or of rows alone where there is one head.
_FLAT = re.compile(r"batch(?: x (\d+))?")

#: Inputs beside keys and values, by the kind of cache.
_GROWING = frozenset(
    {"input_ids", "position_ids", "attention_mask", "logits_to_keep", "cache_position", USE_CACHE, TEXT_STATES, COUNT}
)
INPUTS: Mapping[str, frozenset[str]] = {
    "shared": frozenset(
        {
            *("input_ids", "position_ids", "seqlens_k", "total_sequence_length", "attention_mask", "logits_to_keep"),
            WITH_LOG_NORMALIZER,
        }
    ),
    "growing": _GROWING,
    "fused": _GROWING,
    "state": frozenset({"input_ids", "position_ids", "attention_mask", OF_PROMPT, COUNT}),
    "none": frozenset({"input_ids", "logits_to_keep"}),
}


@dataclass(frozen=True, slots=True)
class FirstGraph:
    """A graph that reads the first tokens of a row, of a decoder that goes on from there: its name and its inputs."""

    name: str
    inputs: frozenset[str]


@dataclass(frozen=True, slots=True)
class DecoderGraph:
    """One decoder's graph.

    `inputs`: those beside keys, values and states. `past`: names of keys and values of the rows' own tokens -> (heads,
    size). `states`: names of what has no axis of tokens -> its shape, the rows aside. `text`: names of the keys and
    values of the encoder's text. `vocabulary`: the size of the logits' last axis. `normalizes`: whether it returns
    `log_normalizer`. `dtype`: of keys, values and states, which is float16 in a variant of 16 bits.

    Of other tools' graphs: `right`: whether padding follows a row's tokens. `single`: whether it takes one token after
    a past. `first`: what reads the first tokens then; None: itself. `forms`: of those of `past` that have another
    shape. `counts`: inputs that take the number of scores that are wanted -> their axes.
    """

    name: str
    inputs: frozenset[str]
    past: Mapping[str, tuple[int, int]]
    text: tuple[str, ...]
    vocabulary: int
    normalizes: bool = False
    dtype: str = "float32"
    states: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    right: bool = False
    single: bool = False
    first: FirstGraph | None = None
    forms: Mapping[str, Form] = field(default_factory=dict)
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def present(name: str) -> str:
    """The output that continues the input `name`."""
    return _PRESENT + name.removeprefix(_PAST)


def read(name: str, info: GraphInfo, cache: str) -> DecoderGraph:
    """Describe a graph of a kind of cache, one of `INPUTS`.

    Raises:
        UnsupportedFormat: it takes what this runtime does not give, or does not return what it should.
    """
    inputs, past, text = set(), {}, []
    states: dict[str, tuple[int, ...]] = {}
    forms: dict[str, Form] = {}
    outputs = {output.name: output for output in info.outputs}
    for tensor in info.inputs:
        if tensor.name.startswith(_PAST):
            if ".encoder." in tensor.name:
                text.append(tensor.name)
                continue
            shape = _state_shape(tensor) if cache == "state" else None
            if shape is None:
                past[tensor.name], forms[tensor.name] = _heads_and_size(name, tensor)
            else:
                states[tensor.name] = shape
            if present(tensor.name) not in outputs:
                raise UnsupportedFormat(f"Graph {name!r} does not return {present(tensor.name)}. Export again.")
        elif tensor.name in INPUTS[cache] or tensor.name == TEXT_MASK:
            inputs.add(tensor.name)
        else:
            raise UnsupportedFormat(
                f"Graph {name!r} takes {tensor.name}, which this onnxpress cannot give. Upgrade it."
            )
    if "input_ids" not in inputs or not (past or states or cache == "none") or "logits" not in outputs:
        raise UnsupportedFormat(f"Graph {name!r} is no decoder: it lacks input_ids, logits or a past. Export again.")
    vocabulary = outputs["logits"].axes[-1]
    if not isinstance(vocabulary, int):
        raise UnsupportedFormat(f"Graph {name!r} does not say how many tokens there are: {outputs['logits'].axes}.")
    ids = next(tensor for tensor in info.inputs if tensor.name == "input_ids")
    return DecoderGraph(
        name,
        frozenset(inputs),
        past,
        tuple(text),
        vocabulary,
        normalizes=LOG_NORMALIZER in outputs,
        states=states,
        right=cache == "fused",
        single=ids.axes[-1:] == (1,) or (USE_CACHE in inputs and not text),
        forms={name: form for name, form in forms.items() if form != USUAL},
        counts=_counts(info),
    )


def _counts(info: GraphInfo) -> dict[str, tuple[int, ...]]:
    """Inputs that take a number of scores, and not the places of those that are wanted."""
    numbers = {t.name: t.axes for t in info.inputs if t.name == COUNT or (t.name == "logits_to_keep" and not t.axes)}
    return {name: tuple(1 for _ in axes) for name, axes in numbers.items()}


def _state_shape(tensor: TensorInfo) -> tuple[int, ...] | None:
    """The shape of a row's state; None: it has an axis of tokens."""
    shape = tuple(axis for axis in tensor.axes[1:] if isinstance(axis, int))
    return shape if tensor.dtype in _FLOATS and shape and len(shape) == len(tensor.axes) - 1 else None


def _heads_and_size(graph: str, tensor: TensorInfo) -> tuple[tuple[int, int], Form]:
    """Of keys or values: heads and size, and the shape that the graph wants them in."""
    axes = tensor.axes
    flat = len(axes) == 3 and (match := _FLAT.fullmatch(str(axes[0])))
    heads = int(match[1] or 1) if flat and match else axes[1] if len(axes) == 4 else ""
    turned = len(axes) > 2 and not isinstance(axes[-1], int)
    size = axes[-2 if turned else -1] if len(axes) > 2 else ""
    if tensor.dtype in _FLOATS and isinstance(heads, int) and isinstance(size, int):
        return (heads, size), Form(heads if flat else None, turned)
    raise UnsupportedFormat(
        f"Graph {graph!r}: {tensor.name} is {tensor.dtype} {tensor.axes}, not float32 (rows, heads, capacity, size). "
        "Export again."
    )
