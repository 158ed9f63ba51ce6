"""What a tokenizer's call returns, as transformers' BatchEncoding: rows of numbers by name, padded on demand."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.errors import InputError
from onnxpress.text.tokenizer import Encoding

#: What fills up a row, by name; None: the tokenizer's own padding.
_FILLS: Mapping[str, int | None] = {"attention_mask": 0, "special_tokens_mask": 1, "input_ids": None}


class Tokenized(dict[str, Any]):
    """`input_ids`, `attention_mask` and others by key or attribute; `**tokenized` are the inputs of `load(...)`.

    `encodings`: those of the texts, for `tokens`, `word_ids` and `sequence_ids` of one of them.
    """

    def __init__(self, content: Mapping[str, Any], encodings: Sequence[Encoding] = ()) -> None:
        super().__init__(content)
        self.encodings = list(encodings)

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"There is no {name!r}; there are: {', '.join(self)}.") from None

    def tokens(self, index: int = 0) -> list[str]:
        """The tokens of a text, special ones included."""
        return list(self.encodings[index].tokens)

    def word_ids(self, index: int = 0) -> list[int | None]:
        """For each token of a text the number of its word; None: a special token."""
        return list(self.encodings[index].word_ids)

    def sequence_ids(self, index: int = 0) -> list[int | None]:
        """For each token of a pair 0 or 1; None: a special token."""
        return list(self.encodings[index].sequence_ids)

    def to(self, *_: Any, **__: Any) -> Tokenized:
        """Itself: arrays are on the host, and a graph takes them from there."""
        return self


@dataclass(frozen=True, slots=True)
class Padding:
    """How rows are made as long as each other: up to `length`, or if that is None, to the longest; then to a multiple.

    `pad_id`, `pad_type_id`: what fills up ids and type ids.
    """

    pad_id: int
    pad_type_id: int
    side: str
    length: int | None = None
    multiple: int | None = None

    def apply(self, rows: dict[str, list[list[Any]]]) -> None:
        """Fill up the rows in place."""
        width = max((len(row) for row in rows["input_ids"]), default=0)
        width = max(width, self.length or 0)
        if self.multiple:
            width = -(-width // self.multiple) * self.multiple
        for name, values in rows.items():
            fill: Any = (0, 0) if name == "offset_mapping" else _FILLS.get(name)
            if fill is None:
                fill = self.pad_id if name == "input_ids" else self.pad_type_id
            for row in values:
                missing = [fill] * (width - len(row))
                row[:] = [*row, *missing] if self.side == "right" else [*missing, *row]


def padding_of(value: Any, max_length: int | None, limit: int | None, make: Any) -> Padding | None:
    """transformers' argument `padding`; None: rows stay as long as they are.

    Args:
        make: makes a Padding for a length.

    Raises:
        InputError: no way of padding.
    """
    name = getattr(value, "value", value)
    if name in (False, None, "do_not_pad"):
        return None
    if name is True or name == "longest":
        return make(None)  # type: ignore[no-any-return]
    if name == "max_length":
        return make(max_length or limit)  # type: ignore[no-any-return]
    raise InputError(f'padding is {value!r}; it must be True, False, "longest", "max_length" or "do_not_pad".')


def as_tensors(rows: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    """Rows as int64 arrays (texts, tokens), where `return_tensors="np"` asks for them; "pt": as PyTorch's tensors,
    where the caller has imported torch.

    Raises:
        InputError: the rows are not of one length, or arrays of another library are asked for.
    """
    name = getattr(kind, "value", kind)
    if name in (None, False):
        return dict(rows)
    torch = sys.modules.get("torch") if name == "pt" else None
    if name not in ("np", "pt") or (name == "pt" and torch is None):
        raise InputError(
            f'return_tensors={kind!r}: pass "np" for arrays of numpy, or "pt" in a program that has imported torch.'
        )
    try:
        arrays = {name: np.array(row, dtype=np.int64) for name, row in rows.items()}
        return arrays if torch is None else {name: torch.from_numpy(array) for name, array in arrays.items()}
    except ValueError:
        raise InputError("The texts have different numbers of tokens: pass padding=True to make arrays.") from None


#: The fields that `pad` fills up; others stay as they are.
PADDED = ("input_ids", "token_type_ids", "attention_mask", "special_tokens_mask")


def rows_of(encoded: Any) -> tuple[dict[str, list[Any]], bool]:
    """What a tokenizer returned, or a list of that, as new lists of rows by name, and whether it was many.

    Raises:
        InputError: something else.
    """
    if isinstance(encoded, (list, tuple)) and encoded and all(isinstance(row, Mapping) for row in encoded):
        if any(set(row) != set(encoded[0]) for row in encoded):
            raise InputError("pad: the encoded texts have different fields: encode them all in the same way.")
        encoded = {name: [row[name] for row in encoded] for name in encoded[0]}
    if not isinstance(encoded, Mapping) or "input_ids" not in encoded:
        raise InputError(f"pad takes what the tokenizer returned, with input_ids, not {type(encoded).__name__}.")
    content = {name: plain(value) for name, value in encoded.items()}
    many = not content["input_ids"] or isinstance(content["input_ids"][0], list)
    rows = content if many else {name: [value] for name, value in content.items()}
    return {n: [list(r) if isinstance(r, list) else r for r in value] for n, value in rows.items()}, many


def plain(ids: Any) -> Any:
    """Ids as integers or lists of them, whatever library they come from."""
    if hasattr(ids, "tolist"):
        return ids.tolist()
    if isinstance(ids, (list, tuple)):
        return [plain(number) for number in ids]
    return int(ids) if isinstance(ids, np.integer) else ids
