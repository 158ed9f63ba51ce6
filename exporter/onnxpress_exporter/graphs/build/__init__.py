"""Graphs of generating models made from their weights instead of traced."""

from __future__ import annotations

import onnx_ir
import torch

from onnxpress_exporter.graphs.build.build_encoder import encoder_graph
from onnxpress_exporter.graphs.build.build_seq2seq_decoder import seq2seq_decoder_graph
from onnxpress_exporter.graphs.build.decoder_graph import decoder_graph
from onnxpress_exporter.graphs.build.readers import read
from onnxpress_exporter.graphs.build.readers.encoder_decoders import read_encoder_decoder

__all__ = ["build_decoder", "build_encoder_decoder", "context_limit"]


def build_decoder(model: torch.nn.Module) -> onnx_ir.Model:
    """The graph of a transformers causal language model, in float32.

    Its weights are those of `model`, read when the graph is saved: the model has to stay as it is until then.

    Raises:
        NotBuildable: no reader knows the model, or its reader does not know something in its config.
        ReaderError: its reader failed.
    """
    return decoder_graph(read(model))


def build_encoder_decoder(model: torch.nn.Module) -> dict[str, onnx_ir.Model]:
    """The graphs `encoder_model` and `decoder_model_merged` of a transformers encoder-decoder, in float32.

    Weights, and errors, as of `build_decoder`.
    """
    found = read_encoder_decoder(model)
    return {"encoder_model": encoder_graph(found), "decoder_model_merged": seq2seq_decoder_graph(found)}


def context_limit(model: torch.nn.Module) -> int | None:
    """How many tokens a row can have, after an encoder: one that is written; None where positions do not end.

    Raises:
        NotBuildable: as `build_decoder`.
    """
    if not _has_encoder(model):
        return read(model).limit
    positions = read_encoder_decoder(model).decoder.embedding.positions
    return None if positions is None else int(positions.shape[0])


def _has_encoder(model: torch.nn.Module) -> bool:
    return bool(getattr(getattr(model, "config", None), "is_encoder_decoder", False))
