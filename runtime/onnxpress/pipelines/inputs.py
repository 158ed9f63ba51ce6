"""Which values are one input, and which are many. Knows no modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onnxpress.errors import InputError
from onnxpress.format.callers_files import as_input
from onnxpress.suggestions import nearest

#: For type checkers: texts that are there at once; an input that is an object; several of either.
Texts = list[str] | tuple[str, ...]
Row = Mapping[str, Any]
Many = Texts | list[dict[str, Any]] | list[dict[str, str]]

#: What arrays and pictures have, whatever library they come from (numpy, PyTorch, JAX, Pillow).
_ARRAY_PROTOCOLS = ("__array_interface__", "__dlpack__")

#: What columns have, and make a list of themselves with: Arrow's arrays; pandas' and Polars' series.
_COLUMN_METHODS = ("to_pylist", "to_list")

#: What tables have, and make a list of their rows with, each a dictionary: Polars' and pandas' data frames.
_ROW_METHODS = ("to_dicts", "to_dict")

#: numpy's kinds of texts: of fixed width, of Python objects, of any width.
_TEXT_KINDS = frozenset("UOT")


def listed(inputs: Any) -> Any:
    """Many inputs that are there at once, as the list that they would be: sequences, columns and tables of pandas,
    Polars and Arrow, numpy arrays of texts. Everything else as it is.

    A table's inputs are its rows, as a dataset's are, not its columns' names, which pandas counts off.

    An array of texts is many inputs as it is to sentence-transformers; transformers' pipelines refuse it.
    """
    if isinstance(inputs, (list, tuple, str, bytes, bytearray, memoryview)):
        return inputs
    for name in _COLUMN_METHODS:
        if callable(convert := getattr(inputs, name, None)):
            return convert()
    if hasattr(inputs, "columns"):
        for name in _ROW_METHODS:
            if callable(convert := getattr(inputs, name, None)):
                return convert() if name == "to_dicts" else convert("records")
    if is_array(inputs):
        return inputs.tolist() if holds_texts(inputs) and inputs.ndim < 2 else inputs
    return list(inputs) if isinstance(inputs, Sequence) else inputs


def named_input(inputs: Any, options: dict[str, Any], names: Sequence[str], noun: str) -> Any:
    """The inputs of a call, each of which is a `noun`: its first argument, or one that another library calls by one of
    `names`, which leave `options`. An open file is one input, not a stream of lines.

    Raises:
        InputError: there are none, or two.
    """
    named = [options.pop(name) for name in names if name in options]
    passed = [value for value in (inputs, *named) if value is not None]
    if len(passed) != 1:
        raise InputError(f"Pass one {noun} or several as the first argument." if not passed else f"Pass {noun}s once.")
    return as_input(passed[0])


def holds_texts(value: Any) -> bool:
    """Whether a value is a numpy array of texts, or of any Python objects."""
    return getattr(getattr(value, "dtype", None), "kind", None) in _TEXT_KINDS


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


def picked(item: Mapping[str, Any], fields: Sequence[str], optional: Sequence[str] = ()) -> tuple[Any, ...]:
    """The fields of an input that is an object. Others are left alone: rows of datasets have labels and ids beside.

    Raises:
        InputError: one is missing, or another one is nearly the name of one, so that it was probably meant.
    """
    for name in item:
        meant = None if name in (*fields, *optional) else nearest(str(name), (*fields, *optional))
        if meant is not None and meant not in item:
            raise InputError(f"An input has {name!r}, which is none of its fields. Did you mean {meant!r}?")
    missing = [name for name in fields if name not in item]
    if missing:
        raise InputError(f"An input has no {missing[0]!r}; it has: {', '.join(map(str, item))}.")
    return tuple(item[name] for name in fields)


def as_pairs(inputs: Iterable[Any], otherwise: str = "") -> list[Any]:
    """Pairs of texts, as sentence-transformers takes them; as a list.

    Raises:
        InputError: something else is among them; `otherwise` says what to do then.
    """
    pairs = list(inputs)
    for pair in pairs:
        texts = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(text, str) for text in pair)
        if not texts:
            advice = f" {otherwise}" if otherwise else ""
            raise InputError(f"predict takes pairs of texts, [(query, document), ...], not {pair!r:.60}.{advice}")
    return pairs
