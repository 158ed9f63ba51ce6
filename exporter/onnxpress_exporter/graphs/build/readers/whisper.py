"""Whisper: two convolutions and computed places before BART's encoder, and BART's decoder, which normalize what they
read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import Architecture, Branch, Convolution, Layer, SoundStack
from onnxpress_exporter.graphs.build.readers.bart import decoder_stack, embedding_of, encoder_branches, norm_if_any
from onnxpress_exporter.graphs.build.source import Source

_ENCODER, _DECODER = "model.encoder", "model.decoder"

#: Frames for each place of the encoder.
_STRIDES = (1, 2)


def read(source: Source) -> Architecture:
    """Whisper with its head. Which heads align tokens with the sound is in its generation config."""
    if not source.with_encoder():
        raise NotBuildable("it is read with its encoder only")
    # Its config may ask for scaled words, which its model does not read.
    embedding = replace(embedding_of(source, _DECODER), multiplier=1.0)
    aligning = getattr(source.module("").generation_config, "alignment_heads", None) or ()
    return Architecture(
        decoder_stack(source, embedding),
        source.head(embedding.table, name="proj_out"),
        _encoder(source),
        tuple(sorted((int(layer), int(head)) for layer, head in aligning)),
    )


def _encoder(source: Source) -> SoundStack:
    positions = source.tensor(f"{_ENCODER}.embed_positions.weight")
    return SoundStack(
        "encoder",
        "input_features",
        int(positions.shape[0]) * _STRIDES[0] * _STRIDES[1],
        [_convolution(source, f"{_ENCODER}.conv{number}", stride) for number, stride in enumerate(_STRIDES, start=1)],
        "gelu",
        positions,
        _layers(source, source.config.encoder_layers),
        norm_if_any(source, f"{_ENCODER}.layer_norm"),
    )


def _convolution(source: Source, name: str, stride: int) -> Convolution:
    return Convolution(source.tensor(f"{name}.weight"), source.tensor(f"{name}.bias"), stride)


def _layers(source: Source, count: int) -> Sequence[Layer]:
    each = (encoder_branches(source, f"{_ENCODER}.layers.{number}") for number in range(count))
    return [Layer([Branch(part, norm) for part, norm in pairs]) for pairs in each]
