"""SpeechT5Tokenizer: the characters of a sentencepiece model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, names, refuse
from onnxpress_exporter.write.tokenizer_conversion.sentencepiece_model import Layout, side


def convert_speecht5(tokenizer: Any) -> Conversion:
    """The vocabulary is the model's own, with tokens behind it.

    Raises:
        UnsupportedCheckpoint: numbers are to be written in words first.
    """
    if tokenizer.normalize:
        raise refuse(tokenizer, "it writes numbers in English words first (normalize=True)")
    pieces = {tokenizer.sp_model.id_to_piece(number): number for number in range(len(tokenizer.sp_model))}
    layout = Layout(rows=names(tokenizer, pieces), prefix=(), suffix=(int(tokenizer.eos_token_id),))
    source = side(tokenizer, tokenizer.sp_model, layout)
    assert source.segmentation is not None, "a sentencepiece model has one"
    return Conversion(replace(source, segmentation=replace(source.segmentation, joins_plainly=True)))
