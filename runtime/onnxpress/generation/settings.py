"""The settings of one call, under transformers' names and with its defaults; `generation_config.json` gives others.

Semantics are those of transformers 5.23. Settings of it that change what is generated and that are not here are refused
when they are active; those that do not change it are ignored. Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Any, Literal

from onnxpress.errors import InputError
from onnxpress.generation.settings_fields import IGNORED, KINDS, REFUSED

DEFAULT_NEW_TOKENS = 20


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """Each field as transformers documents it; several token ids are tuples.

    Not of transformers: `presence_penalty`, `frequency_penalty` and `seed` (OpenAI's), and `stop_token_ids`, which end
    a text as `eos_token_id` does. `unsupported`: settings of a file that are refused unless the call sets them off.

    Raises:
        InputError: a value that is not allowed.
    """

    max_new_tokens: int | None = None
    max_length: int | None = None
    min_new_tokens: int | None = None
    min_length: int = 0
    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 50
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: tuple[int, ...] = ()
    eos_token_id: tuple[int, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    decoder_start_token_id: int | None = None
    stop_strings: tuple[str, ...] = ()
    num_beams: int = 1
    num_return_sequences: int = 1
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False
    renormalize_logits: bool = False
    remove_invalid_values: bool = False
    prompt_lookup_num_tokens: int = 0
    max_matching_ngram_size: int = 2
    max_time: float | None = None
    seed: int | None = None
    unsupported: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        for name, kind in KINDS.items():
            value = getattr(self, name)
            if value is not _DEFAULTS[name]:
                object.__setattr__(self, name, kind.checked(name, value))

    @classmethod
    def from_file(cls, content: Mapping[str, Any]) -> GenerationConfig:
        """Of what `generation_config.json` holds. A null is not set; entries that nobody knows are the model's own."""
        values = {name: value for name, value in content.items() if value is not None}
        # Files of the first Llama have -1 as a token that does not exist.
        none = {name for name, value in values.items() if name.endswith("_token_id") and value == -1}
        known = {name: value for name, value in values.items() if name in KINDS and name not in none}
        return cls(**known, unsupported=_active(values))

    def merged(self, **call: Any) -> GenerationConfig:
        """With what one call sets; None sets a rule off. Checked as a whole.

        Raises:
            InputError: a name that does not exist, a value that is not allowed, or settings that exclude each other.
        """
        unknown = [name for name in call if not (name in KINDS or name in REFUSED or name in IGNORED)]
        if unknown:
            close = get_close_matches(unknown[0], KINDS, 3, 0.5)
            raise InputError(
                f"{unknown[0]!r} is no setting of generation"
                + (f"; did you mean {' or '.join(close)}?" if close else "; docs: the fields of GenerationConfig")
            )
        off = _DEFAULTS | {"top_k": 0}
        known = {n: off[n] if value is None else value for n, value in call.items() if n in KINDS}
        left = {**dict(self.unsupported), **{n: value for n, value in call.items() if n in REFUSED}}
        config = replace(self, **known, unsupported=_active(left))
        config.check()
        return config

    def check(self) -> None:
        """Refuse settings that exclude each other.

        Raises:
            InputError: which do, and what to set.
        """
        for name, value in self.unsupported:
            raise InputError(f"{name}={value!r} is not supported: {REFUSED[name].instead}")
        several = self.num_return_sequences
        if several > 1 and self.num_beams == 1 and not self.do_sample:
            raise InputError(f"num_return_sequences={several} needs do_sample=True or num_beams of at least {several}")
        if 1 < self.num_beams < several:
            raise InputError(f"num_return_sequences={several} is more than num_beams={self.num_beams}")
        if self.do_sample and self.temperature == 0:
            raise InputError("temperature=0 cannot be sampled with: set do_sample=False")
        if self.prompt_lookup_num_tokens and (self.do_sample or self.num_beams > 1):
            raise InputError("prompt_lookup_num_tokens needs do_sample=False and num_beams=1")
        suppressed = set(self.suppress_tokens)
        for name in ("forced_bos_token_id", "forced_eos_token_id"):
            forced = getattr(self, name)
            forced = {forced} - {None} if name == "forced_bos_token_id" else set(forced)
            if forced and forced <= suppressed:
                raise InputError(f"{name}={sorted(forced)} is in suppress_tokens too: nothing could come")

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end a text."""
        return tuple(dict.fromkeys((*self.eos_token_id, *self.stop_token_ids)))

    def most_new_tokens(self, prompt: int, limit: int | None) -> int:
        """The most that may follow a prompt of so many tokens in a model that takes `limit` in all.

        `max_new_tokens` goes before `max_length`, which counts the prompt; with neither it is 20.

        Raises:
            InputError: the prompt leaves no room.
        """
        if limit is not None and prompt >= limit:
            raise InputError(
                f"the prompt has {prompt} tokens, and the model takes {limit} with what it writes: shorten it"
            )
        if self.max_new_tokens is None and self.max_length is not None and prompt >= self.max_length:
            raise InputError(
                f"the prompt has {prompt} tokens, and max_length={self.max_length} counts them: set max_new_tokens"
            )
        if self.max_new_tokens is not None:
            most = self.max_new_tokens
        elif self.max_length is not None:
            most = self.max_length - prompt
        else:
            most = DEFAULT_NEW_TOKENS
        return most if limit is None else min(most, limit - prompt)

    def least_new_tokens(self, prompt: int) -> int:
        """How many tokens come at least before one that ends the text; `min_new_tokens` goes before `min_length`."""
        return max(self.min_length - prompt, 0) if self.min_new_tokens is None else self.min_new_tokens

    def to_dict(self) -> dict[str, Any]:
        """Every setting by name."""
        return {name: value for name, value in asdict(self).items() if name in KINDS}


#: A value that is its field's default needs no check: most settings of most calls.
_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(GenerationConfig)}


def _active(values: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((n, value) for n, value in values.items() if n in REFUSED and value not in REFUSED[n].inactive)
