"""Wav2Vec2CTCTokenizer: letters, one token for what is between words, one for moments without a letter."""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import WordLevel

from onnxpress.format.processors import Letters, Segmentation
from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side, add_tokens, names, refuse


def convert_wav2vec2_ctc(tokenizer: Any) -> Conversion:
    """The file is as transformers.js has it, for readers that know tokenizer.json alone."""
    if tokenizer.pad_token_id is None:
        raise refuse(tokenizer, "it has no padding token, which is CTC's blank")
    rows = names(tokenizer, tokenizer.encoder)
    unknown = str(tokenizer.unk_token)
    if unknown not in rows:
        raise refuse(tokenizer, f"its vocabulary lacks {unknown!r}, its token for what it does not know")
    rust = Tokenizer(WordLevel({row: number for number, row in enumerate(rows)}, unk_token=unknown))
    delimiter = None if tokenizer.word_delimiter_token is None else str(tokenizer.word_delimiter_token)
    if delimiter is not None:
        rust.normalizer = normalizers.Replace(" ", delimiter)
    rust.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    rust.decoder = decoders.CTC(str(tokenizer.pad_token), delimiter or "", cleanup=False)
    add_tokens(tokenizer, rust, plain=() if delimiter is None else (delimiter,))
    letters = Letters(delimiter, str(tokenizer.replace_word_delimiter_char), bool(tokenizer.do_lower_case))
    segmentation = Segmentation("letters", len(rows), rows.index(unknown), letters=letters)
    return Conversion(Side(rust, segmentation), blank=int(tokenizer.pad_token_id))
