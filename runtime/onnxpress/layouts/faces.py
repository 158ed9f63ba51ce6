"""What a stranger's graph takes and returns, in the manifest's words: axes by name, and what its answers are.

Names of outputs differ from tool to tool, and some say nothing: dtype, rank and the last axis decide as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType
from typing import Any

from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.format.model import Adapter, Answers
from onnxpress.graphcheck.face import Value
from onnxpress.graphcheck.scan import GraphFile
from onnxpress.layouts.caches import PAST, axes_of, our_names, width_of

_SPANS = ("start_logits", "end_logits")
_SCORES = ("logits", "scores")
_STATES = ("last_hidden_state", "token_embeddings", "hidden_states")
_VECTORS = ("sentence_embedding", "sentence_embeddings", "text_embeds")
_OF_ENCODER = "encoder_"
#: What readers of texts are given.
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
NUMBERS = ("float32", "float16")
_IDS = ("int64", "int32", "float32", "float16")
#: What callers need not give.
_POSITIONS = "position_ids"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
#: The longest axis that a tensor has, such as a vocabulary's, and the most numbers of an input of one size.
MAX_AXIS, MAX_FIXED = 1 << 24, 1 << 26


@dataclass(frozen=True, slots=True)
class Face:
    """A graph for the manifest: of its outputs those that answer. `width`: their last axis; None: not known."""

    info: GraphInfo
    answers: Answers
    width: int | None
    adapter: Adapter = field(default_factory=Adapter)


def read_face(
    graph: GraphFile, config: Mapping[str, Any], output: str | None = None, said: Mapping[str, str] = _NOTHING
) -> Face:
    """Describe a graph that reads texts or continues them.

    Args:
        config: config.json, which tells classes from words where the graph does not.
        output: the one that the caller says is the answer; None: the graph's names and shapes tell.
        said: the graph's names and the manifest's, as of `our_names`.

    Raises:
        UnsupportedFormat: it takes what texts do not give, or it is not known what it returns.
    """
    names = our_names(graph.takes, said, taken=True)
    if "input_ids" not in names.values():
        raise UnsupportedFormat(
            f"it takes {', '.join(graph.inputs)}, and neither input_ids nor a picture: of other tools' graphs this "
            "version of onnxpress runs those that read texts or pictures"
        )
    pasts = [value for value in graph.takes if names[value.name].startswith(PAST)]
    if pasts and "logits" in our_names(graph.returns, said, taken=False).values():
        return read_writer(graph, "decoder", config, said)
    adapter = Adapter(
        empty={value.name: _empty(axes_of(value, names[value.name], config), value) for value in pasts},
        positions=next((name for name in names if name == _POSITIONS), ""),
    )
    if extra := [name for name in graph.inputs if name not in (*INPUTS, *adapter.given)]:
        raise UnsupportedFormat(
            f"it takes {', '.join(extra)} beside {', '.join(INPUTS)}, which nothing gives it; export the model without"
        )
    asked_for = [value for value in graph.takes if value.name not in adapter.given]
    for value in asked_for:
        if value.dtype not in _IDS:
            raise UnsupportedFormat(f"its input {value.name} is {value.dtype}; it should be int64 or int32")
    answers, chosen = _answering(_named(graph.returns, output), config)
    inputs = tuple(described(value, _sizes(value)) for value in asked_for)
    outputs = tuple(described(value, _axes(answers, value)) for value in chosen)
    width = outputs[0].axes[-1]
    if not isinstance(width, int) and answers == "vector":  # as wide as what it pools, where only that is told
        width = next((value.axes[-1] for value in graph.returns if value.axes and len(value.axes) == 3), width)
    return Face(GraphInfo(inputs, outputs, "encoder"), answers, width if isinstance(width, int) else None, adapter)


def read_writer(
    graph: GraphFile, role: str, config: Mapping[str, Any] = _NOTHING, said: Mapping[str, str] = _NOTHING
) -> Face:
    """Describe a graph that returns scores of the next token; arguments as of `read_face`.

    Raises:
        UnsupportedFormat: it does not, or has a cache of no shape that is known.
    """
    takes, returns = our_names(graph.takes, said, taken=True), our_names(graph.returns, said, taken=False)
    inputs = tuple(
        replace(described(value, axes_of(value, name, config)), name=name)
        for value, name in zip(graph.takes, takes.values(), strict=True)
    )
    outputs = tuple(
        replace(described(value, width_of(value, config) if name == _SCORES[0] else value.axes or ()), name=name)
        for value, name in zip(graph.returns, returns.values(), strict=True)
    )
    logits = next((tensor for tensor in outputs if tensor.name == _SCORES[0]), None)
    if logits is None:
        raise UnsupportedFormat(
            f"it continues texts and returns no {_SCORES[0]}; it returns {', '.join(graph.outputs)}"
        )
    width = logits.axes[-1] if logits.axes else None
    about = any(value.name.startswith(_OF_ENCODER) or ".encoder." in value.name for value in graph.takes)
    answers: Answers = "rewritten text" if about else "text"
    renamed = {ours: theirs for theirs, ours in (*takes.items(), *returns.items()) if ours != theirs}
    return Face(GraphInfo(inputs, outputs, role), answers, width if isinstance(width, int) else None, Adapter(renamed))


def _empty(axes: tuple[str | int, ...], value: Value) -> tuple[int, ...]:
    """The axes, but for the batch's, of a past of no tokens."""
    if len(axes) != 4 or not (isinstance(axes[1], int) and isinstance(axes[3], int)):
        raise UnsupportedFormat(f"its input {value.name} is a past of {value.axes}, whose sizes nothing tells")
    return tuple(0 if isinstance(axis, str) else axis for axis in described(value, axes).axes[1:])


def _answering(returns: Sequence[Value], config: Mapping[str, Any]) -> tuple[Answers, list[Value]]:
    """What the answers are, and the outputs that hold them."""
    floats = {value.name: value for value in returns if value.dtype in NUMBERS}
    if set(_SPANS) <= set(floats):
        return "spans", [floats[name] for name in _SPANS]
    if name := next((name for name in _SCORES if name in floats), None):
        return _kind_of_scores(floats[name], config), [floats[name]]
    if name := next((name for name in _VECTORS if name in floats), None):
        return "vector", [floats[name]]
    if name := next((name for name in _STATES if name in floats), None):
        return "states", [floats[name]]
    return _by_shape(list(floats.values()), config, returns)


def _named(returns: Sequence[Value], name: str | None) -> Sequence[Value]:
    """The output of this name alone, if one is named."""
    if name is None:
        return returns
    chosen = [value for value in returns if value.name == name]
    if not chosen or chosen[0].dtype not in NUMBERS:
        floats = ", ".join(repr(value.name) for value in returns if value.dtype in NUMBERS)
        raise UnsupportedFormat(f"output={name!r} is none of its outputs with numbers, which are {floats}")
    return chosen


def _kind_of_scores(value: Value, config: Mapping[str, Any]) -> Answers:
    rank = None if value.axes is None else len(value.axes)
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    if rank == 2:
        return "classes"
    if rank == 3:
        width, words, classes = value.axes[-1] if value.axes else "", config.get("vocab_size"), config.get("id2label")
        if isinstance(width, int) and width == words and not (isinstance(classes, dict) and len(classes) == width):
            return "words"
        if isinstance(width, int) and isinstance(classes, dict) and len(classes) == width:
            return "token classes"
        return "words" if architecture.endswith(("MaskedLM", "PreTraining")) else "token classes"
    if architecture.endswith("TokenClassification"):
        return "token classes"
    if architecture.endswith(("MaskedLM", "PreTraining")):
        return "words"
    return "classes"


def _by_shape(
    floats: Sequence[Value], config: Mapping[str, Any], returns: Sequence[Value]
) -> tuple[Answers, list[Value]]:
    """What outputs without a telling name are: states if one has three axes and the width of the model's, scores if
    the model's class gives some, a vector if one has two. Beside ids that the graph hands on, as a whole
    sentence-transformers model traced with its features does, the vector is the sentence's.

    Raises:
        UnsupportedFormat: that does not tell.
    """
    architecture = str(next(iter(config.get("architectures") or ()), ""))
    size = config.get("hidden_size") or config.get("dim") or config.get("d_model")
    three = [value for value in floats if value.axes is not None and len(value.axes) == 3]
    two = [value for value in floats if value.axes is not None and len(value.axes) == 2]
    if "For" in architecture and len(floats) == 1:
        return _kind_of_scores(floats[0], config), [floats[0]]
    hands_on = any(value.dtype in ("int64", "int32") for value in returns)
    if hands_on and len(three) == len(two) == 1:
        return "vector", two
    wide = [value for value in three if value.axes is not None and value.axes[-1] == size]
    if wide or len(three) == 1:
        return "states", [(wide or three)[0]]
    if len(two) == 1:
        return "vector", [two[0]]
    raise UnsupportedFormat(
        f"it is not known which of its outputs is the answer: "
        f"{', '.join(f'{value.name} {value.axes}' for value in floats) or 'none has numbers'}; name one: output=NAME"
    )


def _sizes(value: Value) -> tuple[str | int, ...]:
    """The axes of an input (batch, sequence): sizes where they are fixed."""
    axes = ("", "") if value.axes is None else value.axes
    if len(axes) != 2:
        raise UnsupportedFormat(f"its input {value.name} has {len(axes)} axes instead of (batch, sequence)")
    return tuple(
        axis if isinstance(axis, int) else name for axis, name in zip(axes, ("batch", "sequence"), strict=True)
    )


def _axes(answers: Answers, value: Value) -> tuple[str | int, ...]:
    last = value.axes[-1] if value.axes else ""
    if answers == "spans":
        return ("batch", "sequence")
    if answers in ("classes", "vector"):
        return ("batch", last)
    return ("batch", "sequence", last)


def described(value: Value, axes: Sequence[str | int]) -> TensorInfo:
    """An input or output for the manifest, of a size that memory holds: arrays are made as large as a graph says.

    Raises:
        UnsupportedFormat: it is larger than any model's.
    """
    sizes = [axis for axis in axes if isinstance(axis, int)]
    if any(size > MAX_AXIS for size in sizes) or prod(sizes) > MAX_FIXED:
        raise UnsupportedFormat(f"its {value.name} has the axes {tuple(axes)}, which is larger than any model's")
    return TensorInfo(value.name, value.dtype or "float32", tuple(axes))
