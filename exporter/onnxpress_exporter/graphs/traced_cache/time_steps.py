"""Limits of Mamba's time steps, which transformers observes where it reads a text and not where it writes one.

A scan over a prompt keeps every time step within the limits; the update by one token, which `generate` does for each
token that it has written, does not. A graph of one token a row is told which of the two a token is for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch

#: What the mixers' modules call the update of a state by one token.
_UPDATE = "mamba2_selective_state_update"
_NONE = (0.0, float("inf"))

Limits = tuple[float, float]


def limits(model: torch.nn.Module) -> Mapping[str, Limits]:
    """The modules of Python's whose updates by one token do not observe limits that their scans do, and these."""
    limited: dict[str, Limits] = {}
    for part in model.modules():
        limit, module = getattr(part, "time_step_limit", None), type(part).__module__
        if limit is not None and tuple(limit) != _NONE and hasattr(sys.modules[module], _UPDATE):
            low, high = limit
            limited[module] = (low, high)
    return limited


@contextmanager
def limited(model: torch.nn.Module, of_prompt: torch.Tensor) -> Iterator[None]:
    """Let updates by one token observe the limits in rows whose token is of the prompt: int64 (rows, 1)."""
    with ExitStack() as restored:
        for name, limit in limits(model).items():
            module = sys.modules[name]
            update = _observing(getattr(module, _UPDATE), limit, of_prompt)
            restored.enter_context(patch.object(module, _UPDATE, update))
        yield


def _observing(update: Any, limit: Limits, of_prompt: torch.Tensor) -> Any:
    def observe(
        state: torch.Tensor,
        hidden_states: torch.Tensor,
        dt: torch.Tensor,
        *others: torch.Tensor,
        dt_bias: torch.Tensor,
        dt_softplus: bool,
        **options: Any,
    ) -> Any:
        steps = torch.nn.functional.softplus(dt + dt_bias) if dt_softplus else dt + dt_bias
        steps = torch.where(of_prompt[:, :, None] == 1, steps.clamp(*limit), steps)
        return update(state, hidden_states, steps, *others, **options)

    return observe
