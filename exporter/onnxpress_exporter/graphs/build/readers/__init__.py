"""Readers: a model of a family -> its architecture. One table, by the config's model_type."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Decoder
from onnxpress_exporter.graphs.build.attention import HEAD_SIZES
from onnxpress_exporter.graphs.build.readers import gemma, gpt2, gptj, llama, neox, phi
from onnxpress_exporter.graphs.build.readers.source import Source, read_with

READERS: Mapping[str, Callable[[Source], Decoder]] = {
    "bloom": neox.bloom,
    "codegen": gptj.codegen,
    "cohere": phi.cohere,
    "ernie4_5": llama.helium,
    "falcon": neox.falcon,
    "gemma": gemma.gemma,
    "gemma2": gemma.gemma2,
    "gemma3_text": gemma.gemma3,
    "gpt2": gpt2.gpt2,
    "gpt_neo": gpt2.gpt_neo,
    "gpt_neox": neox.gpt_neox,
    "gptj": gptj.gptj,
    "granite": llama.granite,
    "helium": llama.helium,
    "llama": llama.llama,
    "ministral": llama.qwen,
    "mistral": llama.mistral,
    "olmo": llama.olmo,
    "olmo2": llama.olmo2,
    "olmo3": llama.olmo3,
    "opt": gpt2.opt,
    "phi": phi.phi,
    "phi3": llama.phi3,
    "qwen2": llama.qwen,
    "qwen3": llama.qwen,
    "seed_oss": llama.llama,
    "smollm3": llama.smollm3,
    "stablelm": phi.stablelm,
    "starcoder2": phi.starcoder2,
}


def read(model: torch.nn.Module) -> Decoder:
    """The architecture of a transformers causal language model; NotBuildable, with the reason, if none is known."""
    kind = getattr(getattr(model, "config", None), "model_type", None)
    reader = READERS.get(str(kind))
    if reader is None:
        raise NotBuildable(f"no reader knows the architecture {kind!r}")
    if not type(model).__name__.endswith(("ForCausalLM", "LMHeadModel")):
        raise NotBuildable(f"{type(model).__name__} is not a causal language model")
    decoder = read_with(reader, model)
    for layer in decoder.layers:
        if layer.attention.size % HEAD_SIZES:
            raise NotBuildable(f"its heads are {layer.attention.size} wide, not a multiple of {HEAD_SIZES}")
    return decoder
