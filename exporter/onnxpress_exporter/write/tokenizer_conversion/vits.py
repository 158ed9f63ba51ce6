"""VitsTokenizer: the characters of a text, with a blank between them."""

from __future__ import annotations

from typing import Any

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import WordLevel

from onnxpress.format.processors import CharacterRules, Segmentation
from onnxpress_exporter.write.tokenizer_conversion.base import Conversion, Side, add_tokens, names, refuse

#: Romanian's letter with a comma below, which its models know with a cedilla.
_REPLACED = {"ron": {"ț": "ţ"}}


def convert_vits(tokenizer: Any) -> Conversion:
    """The file holds the characters; normalization and blanks are the runtime's.

    Raises:
        UnsupportedCheckpoint: a text is to be written in Latin letters, or as sounds, by another library first.
    """
    if tokenizer.phonemize:
        raise refuse(tokenizer, "it writes texts as phonemes with the phonemizer and espeak-ng (phonemize=True)")
    if tokenizer.is_uroman:
        raise refuse(tokenizer, "it writes texts in Latin letters with uroman (is_uroman=True)")
    rows = names(tokenizer, tokenizer.encoder)
    unknown = str(tokenizer.unk_token)
    rust = Tokenizer(WordLevel({row: number for number, row in enumerate(rows)}, unk_token=unknown))
    rust.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    rust.decoder = decoders.Fuse()
    add_tokens(tokenizer, rust)
    rules = CharacterRules(
        normalizes=bool(tokenizer.normalize),
        vocabulary=len(tokenizer.encoder),
        replaced=_REPLACED.get(str(tokenizer.language), {}),
        blank=0 if tokenizer.add_blank else None,
    )
    return Conversion(Side(rust, Segmentation("characters", len(rows), rows.index(unknown), characters=rules)))
