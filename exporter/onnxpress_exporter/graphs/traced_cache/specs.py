"""The graphs of models that write text, traced: keys and values go in, and come out with this call's after them.

docs/decisions/0010-generation.md is the contract. Knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.graphs.names import CROSS_DECODER, DECODER, ENCODER, TEXT_MASK, past_names, present_names
from onnxpress_exporter.graphs.spec import GraphSpec


@dataclass(frozen=True, slots=True)
class Kept:
    """What one layer keeps of each token: `heads` keys of size `key`, and as many values of size `value`."""

    heads: int
    key: int
    value: int


def decoder_spec(layers: Sequence[Kept], vocabulary: int, positions: bool, masked: bool) -> GraphSpec:
    """A decoder without an encoder.

    `positions`: it takes them. `masked`: rows may have padding on the left, which the mask hides.
    """
    inputs = [TensorInfo("input_ids", "int64", ("rows", "sequence"))]
    if masked:
        inputs.append(TensorInfo("attention_mask", "int64", ("rows", "total")))
    if positions:
        inputs.append(TensorInfo("position_ids", "int64", ("rows", "sequence")))
    inputs += [_KEPT, *_past(layers, "")]
    return GraphSpec(DECODER, tuple(inputs), (_logits(vocabulary), *_present(layers, "", "rows", "total")), "decoder")


def encoder_spec(layers: Sequence[Kept]) -> GraphSpec:
    """An encoder with what the decoder's `layers` keep of the text."""
    axes = ("texts", "encoder_sequence")
    inputs = (TensorInfo("input_ids", "int64", axes), TensorInfo("attention_mask", "int64", axes))
    return GraphSpec(ENCODER, inputs, tuple(seen_outputs(layers)))


def seen_outputs(layers: Sequence[Kept], length: str | int = "encoder_sequence") -> Iterator[TensorInfo]:
    """What an encoder returns for the decoder's `layers`. `length`: of each text, or a picture's places."""
    return _present(layers, "encoder.", "texts", length)


def cross_decoder_spec(written: Sequence[Kept], text: Sequence[Kept], vocabulary: int) -> GraphSpec:
    """A decoder after an encoder; rows of one call have the same length."""
    inputs = (
        TensorInfo("input_ids", "int64", ("rows", "sequence")),
        TensorInfo(TEXT_MASK, "int64", ("texts", "encoder_sequence")),
        _KEPT,
        *_past(written, "decoder."),
        *_past(text, "encoder.", "texts", "encoder_sequence"),
    )
    return GraphSpec(
        CROSS_DECODER, inputs, (_logits(vocabulary), *_present(written, "decoder.", "rows", "total")), "decoder"
    )


_KEPT = TensorInfo("logits_to_keep", "int64", ("kept",))


def _logits(vocabulary: int) -> TensorInfo:
    return TensorInfo("logits", "float32", ("rows", "kept", vocabulary))


def _past(layers: Sequence[Kept], part: str, rows: str = "rows", length: str = "past") -> Iterator[TensorInfo]:
    for number, layer in enumerate(layers):
        for name, size in zip(past_names(number, part), (layer.key, layer.value), strict=True):
            yield TensorInfo(name, "float32", (rows, layer.heads, length, size))


def _present(layers: Sequence[Kept], part: str, rows: str, length: str | int) -> Iterator[TensorInfo]:
    for number, layer in enumerate(layers):
        for name, size in zip(present_names(number, part), (layer.key, layer.value), strict=True):
            yield TensorInfo(name, "float32", (rows, layer.heads, length, size))
