"""The part of `onnxpress.json` that says how an input becomes arrays: one processor for each kind of input.

docs/artifact.md describes every field for readers of other languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from onnxpress.later import later

# Pictures and sounds have many steps: their classes are made where a manifest has one.
if TYPE_CHECKING:
    from onnxpress.format.pictures import ImageSettings
    from onnxpress.format.sounds import SoundSettings

__getattr__ = later(
    __name__, {"onnxpress.format.pictures": ("ImageSettings",), "onnxpress.format.sounds": ("SoundSettings",)}
)

Side = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class SpecialToken:
    text: str
    id: int


@dataclass(frozen=True, slots=True)
class LanguageSettings:
    """How a tokenizer is told the languages. `codes`: language -> id of its token, in the order of the checkpoint.

    `source_position`: where the source language's token stands in an encoded row (0: first, -1: last); None: nowhere.
    `target`: how the target language is asked for. "forced": its id is the first token to be generated; "text": its
    token, `>>CODE<<`, begins the source text; None: not at all.
    """

    codes: Mapping[str, int]
    source_position: int | None = None
    target: Literal["forced", "text"] | None = None
    default_source: str | None = None
    default_target: str | None = None


#: sentencepiece's sign for a space.
PIECE_SPACE = "▁"
#: Begins the name of a token that no text may become: pieces hold no space. It is not part of the token.
UNREACHABLE = " "

SegmentationMethod = Literal["sentencepiece", "blenderbot-small", "bytes", "characters", "letters"]


@dataclass(frozen=True, slots=True)
class Canonical:
    """What becomes of a text before it is cut: it gets one sign for a space in front and has none elsewhere. Of each
    part the characters of `removed` are taken out, runs of white space become one space, and both ends are stripped."""

    lower_case: bool
    removed: str


@dataclass(frozen=True, slots=True)
class Letters:
    """How letters are tokens: `delimiter` is the token between words, None: there is none; in decoded text `space`
    stands for it. `lower_case`: a text is made upper case before it is cut, and lower case when it is decoded."""

    delimiter: str | None
    space: str = " "
    lower_case: bool = False


@dataclass(frozen=True, slots=True)
class CharacterRules:
    """How a text becomes characters. `normalizes`: capitals that are no tokens become small letters; what is no token
    of the `vocabulary` (ids below) is left out, as are spaces at both ends. `replaced`: characters that stand for
    others. `blank`: the id that stands before, between and behind them; None: nothing does."""

    normalizes: bool
    vocabulary: int
    replaced: Mapping[str, str] = field(default_factory=dict)
    blank: int | None = None


@dataclass(frozen=True, slots=True)
class Segmentation:
    """How a text becomes tokens where the Rust library has no exact way. It stands in for the normalizer, the
    pre-tokenizer, the template and the decoder of `tokenizer.json`; docs/artifact.md says what each method does.

    Ids from `vocabulary` on are pieces that the model has no row for: they count as `unknown_id`. `prefix` and
    `suffix` surround a row. The rest is for "sentencepiece": the file with its normalization table, its settings,
    pieces without a text, whether `>>CODE<<` at the beginning is one token; in decoded text, what follows a special
    token, and the names of others that are joined as special ones are; `canonical`: how a text is changed first, None:
    it is not; in decoded text, what is put before the pieces that a special token ends. `ends_each_text`: `suffix` is
    put after both texts of a pair, and only where a text does not end with it. `letters`, `characters`: of the methods
    of these names. `joins_plainly`: decoded text is all tokens one after the other, special ones too.
    """

    method: SegmentationMethod
    vocabulary: int
    unknown_id: int
    prefix: tuple[int, ...] = ()
    suffix: tuple[int, ...] = ()
    charsmap_file: str | None = None
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    invisible: tuple[str, ...] = ()
    leading_code: bool = False
    after_special: str = ""
    apart: tuple[str, ...] = ()
    canonical: Canonical | None = None
    before_special: str = ""
    ends_each_text: bool = False
    letters: Letters | None = None
    characters: CharacterRules | None = None
    joins_plainly: bool = False


@dataclass(frozen=True, slots=True)
class TokenBoxes:
    """The boxes of tokens that are no words of a document, of which each token has its word's: those of the question,
    and special tokens, of which `begin` is that of "cls". Each is x0, y0, x1, y1 in thousandths of a page's edges."""

    question: tuple[int, ...]
    begin: tuple[int, ...]
    others: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """What `tokenizer.json` does not say. `max_length` counts tokens, special ones included; None: unlimited.

    `target`: the tokenizer of the target side, which decodes, where that side has a vocabulary of its own.
    `named_tokens`: what chat templates know by other names than KIND_token, or as other texts. `vocabulary`: rows of
    the model's table of tokens, so that ids from there on mean nothing to it; None: not known. `boxes`: of a model that
    is told where words stand; None: it is not. `blank`: of a model that answers a token for each moment of a sound
    (CTC), the id of the token that stands for none: neighbours of one id are one token, and blanks are left out; None:
    of other models.
    """

    file: str
    input_names: tuple[str, ...]
    max_length: int | None
    pad_token_id: int
    pad_token_type_id: int = 0
    padding_side: Side = "right"
    truncation_side: Side = "right"
    clean_up_tokenization_spaces: bool = False
    special_tokens: Mapping[str, SpecialToken] = field(default_factory=dict)
    languages: LanguageSettings | None = None
    segmentation: Segmentation | None = None
    named_tokens: Mapping[str, str] = field(default_factory=dict)
    vocabulary: int | None = None
    target: TokenizerSettings | None = None
    boxes: TokenBoxes | None = None
    blank: int | None = None


@dataclass(frozen=True, slots=True)
class Processors:
    """One processor for each kind of input; None: the model takes no such input."""

    text: TokenizerSettings | None = None
    image: ImageSettings | None = None
    audio: SoundSettings | None = None
