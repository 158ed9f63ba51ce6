"""Which values are one input, and which are many. Knows no modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

#: What arrays and pictures have, whatever library they come from (numpy, PyTorch, JAX, Pillow).
_ARRAY_PROTOCOLS = ("__array_interface__", "__dlpack__")


def is_stream(inputs: object) -> bool:
    """Whether inputs come lazily: an iterator, or a dataset (what can be iterated or read by index).

    Texts, bytes, mappings, arrays and pictures are single inputs; a list or a tuple is many, and is there at once.
    """
    if isinstance(inputs, (str, bytes, bytearray, memoryview, list, tuple, Mapping)) or is_array(inputs):
        return False
    return isinstance(inputs, Iterable) or hasattr(inputs, "__getitem__")


def is_array(value: object) -> bool:
    """Whether a value is an array or a picture. Only its type is asked: a picture would make its array at once."""
    return any(hasattr(type(value), name) for name in _ARRAY_PROTOCOLS)


def items_of(inputs: Any) -> Iterable[Any]:
    """A dataset that has a length and items but no iterator is read by index; its length ends it, not an IndexError."""
    if hasattr(inputs, "__iter__") or not hasattr(inputs, "__len__"):
        return inputs  # type: ignore[no-any-return]
    return (inputs[index] for index in range(len(inputs)))
