"""ByT5Tokenizer: the bytes of a text, behind three special tokens and before the sentinels."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from onnxpress.format.processors import Segmentation
from onnxpress.text.slow.byte_level import BYTE_NAMES, OFFSET
from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side, add_tokens, frame, names, refuse


def convert_byt5(tokenizer: Any) -> Conversion:
    """The file names bytes as byte-level models do, so that readers of it alone decode them too."""
    if tokenizer.offset != OFFSET:
        raise refuse(tokenizer, f"its bytes begin at the id {tokenizer.offset}, not {OFFSET}")
    rows = names(tokenizer, {name: byte + OFFSET for byte, name in enumerate(BYTE_NAMES)})
    vocabulary = {row: number for number, row in enumerate(rows)}
    rust = Tokenizer(BPE(vocabulary, [], unk_token=str(tokenizer.unk_token)))
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    rust.decoder = decoders.ByteLevel()
    add_tokens(tokenizer, rust)
    suffix = (int(tokenizer.eos_token_id),)
    frame(rust, (), suffix)
    unknown = rows.index(str(tokenizer.unk_token))
    return Conversion(Side(rust, Segmentation("bytes", len(rows), unknown, suffix=suffix)))
