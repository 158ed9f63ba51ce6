"""Exact files for tokenizers that transformers has in Python only.

A converter takes the tokenizer and says, as a `Conversion`, what its files hold and what the runtime adds to them. It
proves nothing: `onnxpress_exporter.write.tokenizers` compares what was written with transformers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side
from onnxpress_exporter.write.tokenizer_conversion.blenderbot_small import convert_blenderbot_small
from onnxpress_exporter.write.tokenizer_conversion.byt5 import convert_byt5
from onnxpress_exporter.write.tokenizer_conversion.esm import convert_esm
from onnxpress_exporter.write.tokenizer_conversion.languages import languages_of
from onnxpress_exporter.write.tokenizer_conversion.m2m100 import convert_m2m100, convert_speech_to_text
from onnxpress_exporter.write.tokenizer_conversion.marian import convert_marian
from onnxpress_exporter.write.tokenizer_conversion.siglip import convert_siglip
from onnxpress_exporter.write.tokenizer_conversion.speecht5 import convert_speecht5
from onnxpress_exporter.write.tokenizer_conversion.vits import convert_vits
from onnxpress_exporter.write.tokenizer_conversion.wav2vec2_ctc import convert_wav2vec2_ctc
from onnxpress_exporter.write.tokenizer_conversion.word_pieces import convert_prophetnet, convert_roc_bert

__all__ = ["CONVERTERS", "Conversion", "Side", "convert", "languages_of"]

#: class name -> converter
CONVERTERS: Mapping[str, Callable[[Any], Conversion]] = {
    "BlenderbotSmallTokenizer": convert_blenderbot_small,
    "ByT5Tokenizer": convert_byt5,
    "EsmTokenizer": convert_esm,
    "M2M100Tokenizer": convert_m2m100,
    "MarianTokenizer": convert_marian,
    "ProphetNetTokenizer": convert_prophetnet,
    "RoCBertTokenizer": convert_roc_bert,
    "SiglipTokenizer": convert_siglip,
    "Speech2TextTokenizer": convert_speech_to_text,
    "SpeechT5Tokenizer": convert_speecht5,
    "VitsTokenizer": convert_vits,
    "Wav2Vec2CTCTokenizer": convert_wav2vec2_ctc,
}


def convert(tokenizer: Any) -> Conversion | None:
    """The conversion of a slow tokenizer; None if there is no converter for its class."""
    converter = CONVERTERS.get(type(tokenizer).__name__)
    return None if converter is None else converter(tokenizer)
