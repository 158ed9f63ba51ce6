"""Readers of encoder-decoders: one table, by transformers' classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.attention import HEAD_SIZES
from onnxpress_exporter.graphs.build.encoder_decoder import EncoderDecoder
from onnxpress_exporter.graphs.build.readers.bart import bart
from onnxpress_exporter.graphs.build.readers.source import Source, read_with
from onnxpress_exporter.graphs.build.readers.t5 import t5

#: LongT5 is not here: its attention is local.
READERS: Mapping[str, Callable[[Source], EncoderDecoder]] = {
    "T5ForConditionalGeneration": t5,
    "MT5ForConditionalGeneration": t5,
    "UMT5ForConditionalGeneration": t5,
    "BartForConditionalGeneration": bart,
    "MarianMTModel": bart,
    "M2M100ForConditionalGeneration": bart,
    "MBartForConditionalGeneration": bart,
    "PegasusForConditionalGeneration": bart,
    "BlenderbotForConditionalGeneration": bart,
    "BlenderbotSmallForConditionalGeneration": bart,
    "PLBartForConditionalGeneration": bart,
}


def read_encoder_decoder(model: torch.nn.Module) -> EncoderDecoder:
    """What the graphs of an encoder-decoder are built from; NotBuildable, with the reason, if no reader knows it."""
    kind = type(model).__name__
    if kind not in READERS:
        raise NotBuildable(f"no reader knows {kind}")
    found = read_with(READERS[kind], model)
    for layer in found.decoder.layers:
        if layer.attention.size % HEAD_SIZES:
            raise NotBuildable(f"heads have {layer.attention.size} channels, which is no multiple of {HEAD_SIZES}")
    return found
