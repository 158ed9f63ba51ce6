"""Rotations whose frequencies change once a text is long: "longrope" and "dynamic".

Which frequencies hold depends on the longest row of a batch, and keys that were read before keep the old ones: an
answer would depend on a row's neighbours and on where its text was cut. Graphs take those of short texts, up to the
length at which they would change.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

_CHANGING = ("dynamic", "longrope")
_STILL = "default"


def changing_from(model: torch.nn.Module) -> int | None:
    """The tokens of a text above which rotations change; None: they never do."""
    lengths = []
    for module in _modules(model):
        parameters = module.config.rope_parameters
        kinds = parameters.values() if isinstance(module.rope_type, Mapping) else (parameters,)
        lengths += [kind.get("original_max_position_embeddings") for kind in kinds if isinstance(kind, Mapping)]
        lengths.append(getattr(module, "original_max_seq_len", None))
    return min((length for length in lengths if isinstance(length, int)), default=None)


@contextmanager
def held(model: torch.nn.Module) -> Iterator[None]:
    """Rotations as for short texts; as they were on exit."""
    changed = [(module, module.rope_type) for module in _modules(model)]
    for module, kind in changed:
        prefixes = [f"{name}_" for name in kind] if isinstance(kind, Mapping) else [""]
        for prefix in prefixes:
            original: Any = getattr(module, f"{prefix}original_inv_freq", None)
            if original is not None:
                getattr(module, f"{prefix}inv_freq").copy_(original)
        module.rope_type = dict.fromkeys(kind, _STILL) if isinstance(kind, Mapping) else _STILL
    try:
        yield
    finally:
        for module, kind in changed:
            module.rope_type = kind


def _modules(model: torch.nn.Module) -> list[Any]:
    return [module for module in model.modules() if _changes(getattr(module, "rope_type", None))]


def _changes(kind: object) -> bool:
    kinds = kind.values() if isinstance(kind, Mapping) else (kind,)
    return any(isinstance(name, str) and any(part in name for part in _CHANGING) for name in kinds)
