"""Readers: a model of a family -> its architecture. One table, by the config's model_type."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.generators.architecture import Decoder
from onnxpress_exporter.generators.families.gpt2 import gpt2
from onnxpress_exporter.generators.families.llama import llama
from onnxpress_exporter.generators.families.source import Source

READERS: Mapping[str, Callable[[Source], Decoder]] = {
    "gpt2": gpt2,
    "llama": llama,
    "mistral": llama,
    "qwen2": llama,
    "qwen3": llama,
}


def read(model: torch.nn.Module) -> Decoder:
    """The architecture of a transformers causal language model; NotBuildable, with the reason, if none is known."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind not in READERS:
        raise NotBuildable(f"no reader knows the architecture {kind!r}")
    if not type(model).__name__.endswith(("ForCausalLM", "LMHeadModel")):
        raise NotBuildable(f"{type(model).__name__} is not a causal language model")
    source = Source(model)
    decoder = READERS[kind](source)
    source.check_all_read()
    return decoder
