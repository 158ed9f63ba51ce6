"""Graphs of generating models that no reader knows: traced, with keys and values that grow by concatenation.

docs/decisions/0010-generation.md is the contract of the graphs. `cache` finds out what a model keeps of what it has
read, `modules` are what is traced, `rotations` holds still what would change with the length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir
import torch

from onnxpress_exporter.errors import TraceError
from onnxpress_exporter.graphs.names import DECODER
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.graphs.trace import trace
from onnxpress_exporter.graphs.traced_cache import examples, modules, states
from onnxpress_exporter.graphs.traced_cache.cache import first_line, kept_after_encoder, kept_by_decoder
from onnxpress_exporter.graphs.traced_cache.forms import cache_argument
from onnxpress_exporter.graphs.traced_cache.rotations import changing_from, held
from onnxpress_exporter.graphs.traced_cache.specs import cross_decoder_spec, decoder_spec, encoder_spec
from onnxpress_exporter.passes.bfloat16_arithmetic import bfloat16_arithmetic
from onnxpress_exporter.passes.expert_weights import expert_weights
from onnxpress_exporter.passes.gemm_as_matmul import gemm_as_matmul

__all__ = [
    "keeps_anything",
    "keeps_states",
    "trace_decoder",
    "trace_encoder_decoder",
    "trace_step",
    "trace_whole",
    "traced",
    "traced_limit",
]

#: What configs call the most positions that a model was made for.
_POSITIONS = (
    *("max_position_embeddings", "max_decoder_position_embeddings", "n_positions"),
    *("max_seq_len", "max_sequence_length", "seq_length", "max_target_positions"),
    "max_text_positions",
)


def trace_decoder(model: Any) -> onnx_ir.Model:
    """The graph of a transformers causal language model, in float32.

    Raises:
        TraceError: it keeps something else than keys and values, or PyTorch cannot capture it.
    """
    with held(model), torch.no_grad():
        layers = kept_by_decoder(model)
        masked = modules.hides_padding(model, layers)
        spec = decoder_spec(layers, modules.vocabulary(model), modules.positions(model), masked)
        first = modules.first_position(model)
        return traced([(modules.Decoder(model, len(layers), first), spec)])[DECODER]


def keeps_anything(model: Any) -> bool:
    """Whether the model takes what it keeps of the tokens it has read."""
    return cache_argument(model) is not None


def keeps_states(model: Any) -> bool:
    """Whether some layer keeps a state, or nothing, instead of keys and values of every token.

    Raises:
        TraceError: it keeps something that no graph here can hold.
    """
    with held(model), torch.no_grad():
        return states.keeps_states(model)


def trace_step(model: Any) -> onnx_ir.Model:
    """The graph of a causal language model that keeps a state in some layers: one token after it, in float32.

    Raises:
        TraceError: it keeps something else, or PyTorch cannot capture it.
    """
    with held(model), torch.no_grad():
        step = states.step_of(model)
        states.check_steps(step)
        return traced([(step, states.step_spec(model, step.entries))])[DECODER]


def trace_whole(model: Any) -> onnx_ir.Model:
    """The graph of a causal language model that keeps nothing of what it has read, in float32.

    Raises:
        TraceError: a token's scores change with what follows it, or PyTorch cannot capture it.
    """
    with torch.no_grad():
        states.check_whole(model)
        return traced([(states.Whole(model), states.whole_spec(model))])[DECODER]


def trace_encoder_decoder(model: Any) -> dict[str, onnx_ir.Model]:
    """The graphs `encoder_model`, with the decoder's keys and values of the text, and `decoder_model_merged`.

    Raises:
        TraceError: as `trace_decoder`.
    """
    with held(model), torch.no_grad():
        written, text = kept_after_encoder(model)
        modules.check_cross(model, written, text)
        after = cross_decoder_spec(written, text, modules.vocabulary(model))
        return traced(
            [
                (modules.Encoder(model, len(text)), encoder_spec(text)),
                (modules.CrossDecoder(model, len(written)), after),
            ]
        )


def traced_limit(model: Any) -> int | None:
    """How many tokens a row can have: those the model was made for, as far as it rotates and attends as to few."""
    config = model.config.get_text_config(decoder=True)
    limits = [getattr(config, name, None) for name in _POSITIONS]
    limits = [limit - modules.first_position(model) if isinstance(limit, int) else None for limit in limits]
    limits.append(changing_from(model))
    # DeepSeek-V3.2's indexer and its kin's choose the tokens that one attends to: all of them up to this number.
    limits.append(getattr(config, "index_topk", None))
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=None)


def traced(parts: Sequence[tuple[torch.nn.Module, GraphSpec]]) -> dict[str, onnx_ir.Model]:
    """Graphs of modules, which are run first.

    Raises:
        TraceError: one does not run, or PyTorch cannot capture it.
    """
    inputs = [examples.inputs(spec) for _, spec in parts]
    # All of them before any is traced, which takes long.
    for (module, _), tensors in zip(parts, inputs, strict=True):
        try:
            module(**tensors)
        except Exception as error:
            raise TraceError(f"it does not run in pieces: {first_line(error)}") from error
    graphs = {}
    for (module, spec), tensors in zip(parts, inputs, strict=True):
        graph = graphs[spec.name] = trace(module, spec, tensors)
        bfloat16_arithmetic(graph)
        gemm_as_matmul(graph)
        expert_weights(graph)
    return graphs
