"""SiglipTokenizer: a sentencepiece model of texts without capitals and punctuation."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from typing import Any

from onnxpress.format.processors import Canonical
from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, names, refuse
from onnxpress_exporter.write.tokenizer_conversion.sentencepiece_model import Layout, side


def convert_siglip(tokenizer: Any) -> Conversion:
    """The vocabulary is the model's own."""
    from tokenizers import Regex, normalizers

    pieces = {tokenizer.sp_model.id_to_piece(number): number for number in range(len(tokenizer.sp_model))}
    last = str(tokenizer.unk_token)[-1:]
    if pieces.get(last, tokenizer.unk_token_id) == tokenizer.unk_token_id:
        raise refuse(tokenizer, f"its model has no piece for {last!r}, behind which it cuts texts in its own way")
    layout = Layout(rows=names(tokenizer, pieces), prefix=(), suffix=(int(tokenizer.eos_token_id),))
    source = side(tokenizer, tokenizer.sp_model, layout)
    assert source.segmentation is not None, "a sentencepiece model has one"
    changes = [normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""), source.rust.normalizer]
    if tokenizer.do_lower_case:
        changes.insert(0, normalizers.Lowercase())
    source.rust.normalizer = normalizers.Sequence(changes)
    segmentation = replace(
        source.segmentation,
        # transformers puts the sign for a space there itself.
        add_dummy_prefix=False,
        canonical=Canonical(bool(tokenizer.do_lower_case), string.punctuation),
        before_special=" ",
        ends_each_text=True,
    )
    return Conversion(replace(source, segmentation=segmentation))
