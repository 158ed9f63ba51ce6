"""Encoder-decoders whose graphs are built, by transformers' classes. New family: a reader and its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir
import torch

from onnxpress_exporter.generators.blocks import ACTIVATIONS
from onnxpress_exporter.generators.build_encoder import build_encoder
from onnxpress_exporter.generators.build_seq2seq_decoder import build_seq2seq_decoder
from onnxpress_exporter.generators.encoder_decoder import Attention, EncoderDecoder, FeedForward
from onnxpress_exporter.generators.errors import NotBuildable
from onnxpress_exporter.generators.families.bart import read_bart
from onnxpress_exporter.generators.families.t5 import read_t5

#: Class of a model -> its reader. LongT5 is not here: its attention is local.
READERS: Mapping[str, Callable[[Any], EncoderDecoder]] = {
    "T5ForConditionalGeneration": read_t5,
    "MT5ForConditionalGeneration": read_t5,
    "UMT5ForConditionalGeneration": read_t5,
    "BartForConditionalGeneration": read_bart,
    "MarianMTModel": read_bart,
    "M2M100ForConditionalGeneration": read_bart,
    "MBartForConditionalGeneration": read_bart,
    "PegasusForConditionalGeneration": read_bart,
    "BlenderbotForConditionalGeneration": read_bart,
    "BlenderbotSmallForConditionalGeneration": read_bart,
    "PLBartForConditionalGeneration": read_bart,
}
#: GroupQueryAttention takes heads of a multiple of this many channels.
HEAD_CHANNELS = 8


def build_encoder_decoder(model: torch.nn.Module) -> dict[str, onnx_ir.Model]:
    """The graphs `encoder_model` and `decoder_model_merged` of a loaded transformers model, float32.

    Weights are read when the graphs are saved. Raises NotBuildable.
    """
    found = read_encoder_decoder(model)
    return {"encoder_model": build_encoder(found), "decoder_model_merged": build_seq2seq_decoder(found)}


def read_encoder_decoder(model: torch.nn.Module) -> EncoderDecoder:
    """What the graphs are built from. Raises NotBuildable if no reader knows the model, or a kernel cannot do it."""
    kind = type(model).__name__
    if kind not in READERS:
        raise NotBuildable(f"No reader knows {kind}.")
    try:
        found = READERS[kind](model)
    except (AttributeError, ValueError) as error:
        raise NotBuildable(f"{kind} is not as its reader knows it: {error}.") from error
    for layer in found.encoder.layers:
        _check_feed_forward(layer.feed_forward)
    for one in found.decoder.layers:
        _check_feed_forward(one.feed_forward)
        _check_attention(one.attention)
    return found


def _check_feed_forward(layer: FeedForward) -> None:
    if layer.activation not in ACTIVATIONS:
        raise NotBuildable(f"The activation {layer.activation!r} is none of {', '.join(ACTIVATIONS)}.")


def _check_attention(attention: Attention) -> None:
    if attention.size % HEAD_CHANNELS:
        raise NotBuildable(f"Heads have {attention.size} channels, which is no multiple of {HEAD_CHANNELS}.")
