"""What other tools' graphs call their keys, values and states, and the shapes they have, in the manifest's words.

In those, layer N takes `past_key_values.N.key` and returns `present.N.key`. Sizes that a graph leaves open are the
config's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.errors import UnsupportedFormat
from onnxpress.graphcheck.face import Value

PAST, PRESENT = "past_key_values.", "present."
#: The tools' names, in full, and the manifest's; of what a graph takes, and of what it returns.
_TAKEN = (
    (r"(?:input\.)?past_key_values\.layers\.(\d+)\.(key|value)s", rf"{PAST}\1.\2"),
    (r"past_(conv|ssm|recurrent)\.(\d+)", rf"{PAST}\2.\1"),
    (r"past\.(\d+)\.(\w+)", rf"{PAST}\1.\2"),
)
_RETURNED = (
    (r"(?:output\.)?past_key_values\.layers\.(\d+)\.(key|value)s", rf"{PRESENT}\1.\2"),
    (r"present_(conv|ssm|recurrent)\.(\d+)", rf"{PRESENT}\2.\1"),
    (r"present_key_values\.(\d+)\.(\w+)", rf"{PRESENT}\1.\2"),
)
_KEYS = (".key", ".value")
#: More than any model has: a config's number is a stranger's.
_MOST = 1 << 24


def our_names(values: Sequence[Value], said: Mapping[str, str], *, taken: bool) -> dict[str, str]:
    """What a graph takes, or returns: its own name -> the manifest's.

    Args:
        said: what a tool's file says: template of the graph's names, with %d for the layer's number -> the manifest's.
    """
    patterns = [(re.escape(theirs).replace("%d", r"(\d+)"), ours.replace("%d", r"\1")) for theirs, ours in said.items()]
    patterns += _TAKEN if taken else _RETURNED
    names = {}
    for value in values:
        match = next(((m, ours) for pattern, ours in patterns if (m := re.fullmatch(pattern, value.name))), None)
        names[value.name] = value.name if match is None else match[0].expand(match[1])
    return names


def axes_of(value: Value, name: str, config: Mapping[str, Any]) -> tuple[str | int, ...]:
    """The axes of what a graph takes, of keys and values with heads and sizes as numbers.

    Args:
        name: the manifest's.
        config: config.json.

    Raises:
        UnsupportedFormat: keys and values have a shape of no tool's, or room for so many tokens and no more.
    """
    axes = tuple(int(axis) if isinstance(axis, str) and axis.isdecimal() else axis for axis in value.axes or ())
    if not name.startswith(PAST) or ".encoder." in name or not name.endswith((*_KEYS, ".key_value")):
        return axes
    queries = _number(config, "num_attention_heads", "n_head", "num_heads")
    size = _head_size(config, queries)
    if len(axes) == 3:
        return _three(axes, name, size, queries)
    if len(axes) != 4:
        raise UnsupportedFormat(f"its input {value.name} has {len(axes)} axes, which no cache has that is known here")
    rows, heads, positions, width = axes
    if not isinstance(heads, int):
        heads = _number(config, "num_key_value_heads") or queries or heads
    if not isinstance(width, int) and not (isinstance(positions, int) and positions == size):
        width = size or width
    if isinstance(positions, int) and isinstance(width, int):
        raise UnsupportedFormat(
            f"its input {value.name} has room for {positions} tokens and no more; export the model with a cache that "
            "grows"
        )
    return (rows, heads, positions, width)


def width_of(value: Value, config: Mapping[str, Any]) -> tuple[str | int, ...]:
    """The axes of scores; the last one is the config's where the graph leaves it open."""
    axes = value.axes or ()
    words = _number(config, "vocab_size")
    return (*axes[:-1], words) if axes and not isinstance(axes[-1], int) and words is not None else axes


def _three(axes: tuple[str | int, ...], name: str, size: int | None, heads: int | None) -> tuple[str | int, ...]:
    """Rows and heads in one axis, or one head."""
    together = name.endswith(".key_value")
    first = "batch" if together else f"batch x {heads or 1}"
    if isinstance(axes[1], int) and not isinstance(axes[2], int):
        return (first, *axes[1:])
    width = axes[2] if isinstance(axes[2], int) else None if size is None else size * (2 if together else 1)
    return (first, axes[1], axes[2] if width is None else width)


def _head_size(config: Mapping[str, Any], heads: int | None) -> int | None:
    said = _number(config, "head_dim", "head_size")
    hidden = _number(config, "hidden_size", "n_embd")
    return said or (hidden // heads if hidden and heads else None)


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    """The first of these that the config has, if it is one that a model may have."""
    texts = config.get("text_config")
    for name in names:
        value = config.get(name, texts.get(name) if isinstance(texts, Mapping) else None)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST:
            return value
    return None
