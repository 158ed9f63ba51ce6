"""EsmTokenizer: the longest tokens of the vocabulary, one after the other; what is none of them is unknown."""

from __future__ import annotations

import re
from typing import Any

from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side, add_tokens, enclose, names

#: Where Python's str.split splits: more than the Rust library takes for space.
_SPACES = f"[{''.join(letter for letter in map(chr, range(0x3001)) if letter.isspace())}]+"


def convert_esm(tokenizer: Any) -> Conversion:
    """Split a text at every token, the longest first, and what is between them at spaces."""
    rows = names(tokenizer, tokenizer._token_to_id)
    rust = Tokenizer(WordLevel({row: number for number, row in enumerate(rows)}, unk_token=str(tokenizer.unk_token)))
    tokens = "|".join(re.escape(row) for row in sorted(rows, key=len, reverse=True))
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(tokens), "isolated"), pre_tokenizers.Split(Regex(_SPACES), "removed")]
    )
    add_tokens(tokenizer, rust)
    enclose(rust, tokenizer.cls_token, tokenizer.eos_token)
    return Conversion(Side(rust))
