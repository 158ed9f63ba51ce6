"""CLAP's reader of sounds as a graph: which of a batch's sounds have several spectra joined is no question there."""

from __future__ import annotations

import copy
from typing import Any


def joining(model: Any) -> Any:
    """A `ClapModel` that joins the spectra of every sound, as transformers does for a sound that is alone in its call;
    the model itself where it joins none. Weights are shared, and the model stays as it is."""
    import torch

    if not model.config.audio_config.enable_fusion:
        return model

    class Joined(torch.nn.Module):
        def __init__(self, patches: Any) -> None:
            super().__init__()
            self.patches = patches

        def forward(self, hidden_states: torch.Tensor, is_longer_idx: Any = None) -> Any:
            return self.patches(hidden_states, torch.arange(hidden_states.shape[0]))

    return _with(model, ("audio_model", "audio_encoder", "patch_embed"), Joined)


def _with(module: Any, path: tuple[str, ...], wrap: Any) -> Any:
    """A module that shares all parts with another but the one at a path, which is wrapped."""
    if not path:
        return wrap(module)
    other = copy.copy(module)
    other._modules = dict(module._modules)
    other._modules[path[0]] = _with(module._modules[path[0]], path[1:], wrap)
    return other
