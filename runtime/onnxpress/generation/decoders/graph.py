"""What a decoder's graph takes and returns, read from the manifest. docs/decisions/0010-generation.md is the contract.

Knows no session and no arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, TensorInfo

TEXT_MASK = "encoder_attention_mask"
#: What the decoders of other tools take besides: the states of the text, and whether there is a past.
TEXT_STATES, USE_CACHE = "encoder_hidden_states", "use_cache_branch"
#: What a graph that reads a token of a prompt otherwise than one that was written takes for each row: 1, or 0.
OF_PROMPT = "of_prompt"
LOG_NORMALIZER = "log_normalizer"
WITH_LOG_NORMALIZER = f"with_{LOG_NORMALIZER}"
_PAST, _PRESENT = "past_key_values.", "present."

#: Inputs beside keys and values, by the kind of cache.
INPUTS: Mapping[str, frozenset[str]] = {
    "shared": frozenset(
        {
            *("input_ids", "position_ids", "seqlens_k", "total_sequence_length", "attention_mask", "logits_to_keep"),
            WITH_LOG_NORMALIZER,
        }
    ),
    "growing": frozenset(
        {"input_ids", "position_ids", "attention_mask", "logits_to_keep", "cache_position", USE_CACHE, TEXT_STATES}
    ),
    "state": frozenset({"input_ids", "position_ids", OF_PROMPT}),
    "none": frozenset({"input_ids", "logits_to_keep"}),
}


@dataclass(frozen=True, slots=True)
class DecoderGraph:
    """One decoder's graph.

    `inputs`: those beside keys, values and states. `past`: names of keys and values of the rows' own tokens -> (heads,
    size). `states`: names of what has no axis of tokens -> its shape, the rows aside. `text`: names of the keys and
    values of the encoder's text. `vocabulary`: the size of the logits' last axis. `normalizes`: whether it returns
    `log_normalizer`. `dtype`: of keys, values and states, which is float16 in a variant of 16 bits.
    """

    name: str
    inputs: frozenset[str]
    past: Mapping[str, tuple[int, int]]
    text: tuple[str, ...]
    vocabulary: int
    normalizes: bool = False
    dtype: str = "float32"
    states: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


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
    outputs = {output.name: output for output in info.outputs}
    for tensor in info.inputs:
        if tensor.name.startswith(_PAST):
            if ".encoder." in tensor.name:
                text.append(tensor.name)
                continue
            shape = _state_shape(tensor) if cache == "state" else None
            if shape is None:
                past[tensor.name] = _heads_and_size(name, tensor)
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
    normalizes = LOG_NORMALIZER in outputs
    return DecoderGraph(name, frozenset(inputs), past, tuple(text), vocabulary, normalizes, states=states)


def _state_shape(tensor: TensorInfo) -> tuple[int, ...] | None:
    """The shape of a row's state; None: it has an axis of tokens."""
    shape = tuple(axis for axis in tensor.axes[1:] if isinstance(axis, int))
    return shape if tensor.dtype == "float32" and shape and len(shape) == len(tensor.axes) - 1 else None


def _heads_and_size(graph: str, tensor: TensorInfo) -> tuple[int, int]:
    if len(tensor.axes) == 4:
        heads, size = tensor.axes[1], tensor.axes[3]
        if tensor.dtype == "float32" and isinstance(heads, int) and isinstance(size, int):
            return heads, size
    raise UnsupportedFormat(
        f"Graph {graph!r}: {tensor.name} is {tensor.dtype} {tensor.axes}, not float32 (rows, heads, capacity, size). "
        "Export again."
    )
