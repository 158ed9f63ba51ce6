"""Makes the arrays of one run of a graph from a case, to watch the values inside it.

docs/decisions/0010-generation.md is the contract. Knows no session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.manifest import GraphInfo
from onnxpress.generation.decoders.graph import OF_PROMPT
from onnxpress_exporter.gate.cases import Case, encoded

Arrays = dict[str, NDArray[Any]]

#: What an encoder returns that makes no keys and values itself.
STATES = "last_hidden_state"

#: Tokens of a case that are read one at a time, where a graph takes no more.
STEPS = 48


def encoder_inputs(case: Case) -> Arrays:
    """What an encoder reads: a text, int64 (1, tokens), a picture or a sound."""
    return encoded([case])[0]


def decoder_inputs(info: GraphInfo, case: Case, shared: bool, read: Mapping[str, NDArray[Any]]) -> Arrays:
    """The whole text of a decoder, read at once, with an empty past.

    Args:
        shared: whether its cache is one that it writes in place.
        read: the outputs of the encoder on the same case.
    """
    count = len(case.ids)
    # Keys and values (texts, heads, encoder_sequence, size), or states (texts, encoder_sequence, width).
    seen = next((array.shape[-2] for array in read.values()), 0)
    known: Arrays = {
        "input_ids": np.array([case.ids], np.int64),
        "position_ids": np.arange(count, dtype=np.int64)[None],
        "attention_mask": np.ones((1, count), np.int64),
        "seqlens_k": np.array([count - 1], np.int32),
        "total_sequence_length": np.array(count, np.int32),
        "logits_to_keep": np.arange(count, dtype=np.int64),
        "with_log_normalizer": np.array(False),
        "encoder_attention_mask": np.ones((1, seen), np.int64),
    }
    if STATES in read:  # of which the decoder itself makes keys and values, in the call that has no past
        known |= {"encoder_hidden_states": read[STATES], "use_cache_branch": np.zeros(1, bool)}
    arrays: Arrays = {}
    for tensor in info.inputs:
        if tensor.name in known:
            arrays[tensor.name] = known[tensor.name]
        elif (present := tensor.name.replace("past_key_values.", "present.", 1)) in read:
            arrays[tensor.name] = read[present]
        else:
            _, heads, _, size = tensor.axes
            arrays[tensor.name] = np.zeros((1, int(heads), count if shared else 0, int(size)), np.float32)
    return arrays


def step_inputs(info: GraphInfo, case: Case, run: Callable[[Arrays], Mapping[str, NDArray[Any]]]) -> Iterator[Arrays]:
    """The first tokens of a text, one at a time, each after what the graph returned for the one before."""
    past: Arrays = {}
    for tensor in info.inputs:
        if tensor.name.startswith("past_key_values."):
            shape = [axis if isinstance(axis, int) else 0 for axis in tensor.axes[1:]]
            past[tensor.name] = np.zeros((1, *shape), np.float32)
    names = {tensor.name for tensor in info.inputs}
    for place, token in enumerate(case.ids[:STEPS]):
        known = {"input_ids": token, "position_ids": place, OF_PROMPT: 1}
        arrays: Arrays = {**{name: np.array([[known[name]]], np.int64) for name in known if name in names}, **past}
        yield arrays
        outputs = run(arrays)
        past = {name: outputs[name.replace("past_key_values.", "present.", 1)] for name in past}
