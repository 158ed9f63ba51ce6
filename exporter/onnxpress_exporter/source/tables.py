"""Looks for the tables in a loaded model that bound what it can read: of tokens, and of positions.

A config's numbers do not tell: `max_position_embeddings` is also what rotary and relative positions were trained for,
which bounds nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Parts of names that positions in a table have, and that other tables of positions have.
_POSITIONS = ("embed_pos", "pos_emb", "pos_enc", "position_emb", "positions_emb", "position_enc", "positional", "wpe")
_OTHER = ("relative", "rel_pos", "rotary", "position_ids", "x_pos", "y_pos", "h_pos", "w_pos", "bias")

#: Rotary positions that are computed otherwise above a length, of which one graph holds one way.
_CHANGING_ROTARY = frozenset({"dynamic", "longrope"})


@dataclass(frozen=True, slots=True)
class Tables:
    """`tokens`: rows of the table of tokens; None: not known. `positions`: whether the config's number of positions
    bounds the length of a text."""

    tokens: int | None = None
    positions: bool = True


def find_tables(model: Any) -> Tables:
    """The tables of a loaded model of transformers."""
    return Tables(_token_rows(model), _has_positions(model) or _rotary_changes(model.config))


def _token_rows(model: Any) -> int | None:
    try:
        weight = getattr(model.get_input_embeddings(), "weight", None)
    except NotImplementedError:
        return None
    return None if weight is None else int(weight.shape[0])


def _has_positions(model: Any) -> bool:
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return any(_names_positions(name) and tensor.ndim > 1 for name, tensor in tensors)


def _names_positions(name: str) -> bool:
    return any(part in name for part in _POSITIONS) and not any(part in name for part in _OTHER)


def _rotary_changes(config: Any) -> bool:
    parameters = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    groups = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    return any(group.get("rope_type", group.get("type")) in _CHANGING_ROTARY for group in groups)
