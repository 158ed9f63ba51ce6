"""Which values each setting takes, as a table; and the names of transformers' settings that are refused or ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from numbers import Integral
from typing import Any

from onnxpress.errors import InputError


@dataclass(frozen=True, slots=True)
class Kind:
    """`allowed` in words; `read` returns the value as it is kept, and raises ValueError or TypeError for others."""

    allowed: str
    read: Callable[[Any], Any]

    def checked(self, name: str, value: Any) -> Any:
        """The value as it is kept.

        Raises:
            InputError: what is allowed instead.
        """
        try:
            return self.read(value)
        except (TypeError, ValueError):
            raise InputError(f"{name}={value!r}: it has to be {self.allowed}") from None


def _integer(value: Any, least: float) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError
    return int(value)


def _whole(least: int) -> Kind:
    return Kind(f"a whole number of at least {least}", lambda value: _integer(value, least))


def _optional(kind: Kind) -> Kind:
    return Kind(f"{kind.allowed}, or None", lambda value: None if value is None else kind.read(value))


def _number(lowest: float, highest: float, allowed: str, above: bool = False) -> Kind:
    def read(value: Any) -> float:
        if isinstance(value, bool | str) or not isfinite(value):
            raise ValueError
        if not lowest <= value <= highest or (above and value == lowest):
            raise ValueError
        return float(value)

    return Kind(allowed, read)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _token_ids(value: Any) -> tuple[int, ...]:
    if isinstance(value, Integral):
        return (_integer(value, 0),)
    return tuple(_integer(token, 0) for token in value)


def _suppressed(value: Any) -> tuple[int, ...]:
    """As in transformers, a negative id suppresses nothing: Whisper's configs hold -1."""
    tokens = (value,) if isinstance(value, Integral) else value
    return tuple(int(token) for token in tokens if _integer(token, -inf) >= 0)


def _words(value: Any) -> tuple[tuple[int, ...], ...]:
    words = tuple(tuple(_integer(token, 0) for token in word) for word in value)
    if not all(words):
        raise ValueError
    return words


def _strings(value: Any) -> tuple[str, ...]:
    strings = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(string, str) and string for string in strings):
        raise ValueError
    return strings


def _early(value: Any) -> Any:
    return value if value == "never" else _flag(value)


_COUNT = _whole(0)
_ONE_OR_MORE = _whole(1)
_FLAG = Kind("True or False", _flag)
_TOKEN = _optional(Kind("a token id", lambda value: _integer(value, 0)))
_TOKENS = Kind("a token id or a list of them", _token_ids)
_SUPPRESSED = Kind("a token id or a list of them", _suppressed)
_SHARE = _number(0, 1, "a number from 0 to 1")
_PENALTY = _number(-inf, inf, "a finite number")

KINDS: dict[str, Kind] = {
    "max_new_tokens": _optional(_ONE_OR_MORE),
    "max_length": _optional(_ONE_OR_MORE),
    "min_new_tokens": _optional(_COUNT),
    "min_length": _COUNT,
    "do_sample": _FLAG,
    "temperature": _number(0, inf, "a number above 0, or 0 with do_sample=False"),
    "top_k": _COUNT,
    "top_p": _SHARE,
    "min_p": _SHARE,
    "typical_p": _number(0, 1, "a number above 0, up to 1", above=True),
    "repetition_penalty": _number(0, inf, "a number above 0", above=True),
    "presence_penalty": _PENALTY,
    "frequency_penalty": _PENALTY,
    "no_repeat_ngram_size": _COUNT,
    "encoder_no_repeat_ngram_size": _COUNT,
    "bad_words_ids": Kind("a list of lists of token ids, none of them empty", _words),
    "suppress_tokens": _SUPPRESSED,
    "begin_suppress_tokens": _SUPPRESSED,
    "forced_bos_token_id": _TOKEN,
    "forced_eos_token_id": _TOKENS,
    "eos_token_id": _TOKENS,
    "stop_token_ids": _TOKENS,
    "pad_token_id": _TOKEN,
    "bos_token_id": _TOKEN,
    "decoder_start_token_id": _TOKEN,
    "stop_strings": Kind("a string or a list of them, none of them empty", _strings),
    "num_beams": _ONE_OR_MORE,
    "num_return_sequences": _ONE_OR_MORE,
    "length_penalty": _PENALTY,
    "early_stopping": Kind('True, False or "never"', _early),
    "renormalize_logits": _FLAG,
    "remove_invalid_values": _FLAG,
    "prompt_lookup_num_tokens": _COUNT,
    "max_matching_ngram_size": _ONE_OR_MORE,
    "max_time": _optional(_number(0, inf, "a number of seconds above 0", above=True)),
    "seed": _optional(_COUNT),
}


@dataclass(frozen=True, slots=True)
class Refused:
    """A setting that is not here: values that change nothing, and what to do about others."""

    inactive: tuple[Any, ...]
    instead: str = "leave it out"


REFUSED: dict[str, Refused] = {
    "guidance_scale": Refused((None, 1)),
    "sequence_bias": Refused((None, {}, [])),
    "encoder_repetition_penalty": Refused((None, 1)),
    "exponential_decay_length_penalty": Refused((None,), "use length_penalty with beams, or min_new_tokens"),
    "epsilon_cutoff": Refused((None, 0, 1), "use min_p"),
    "eta_cutoff": Refused((None, 0, 1), "use min_p"),
    "top_h": Refused((None,), "use top_p or min_p"),
    "penalty_alpha": Refused((None, 0), "use do_sample=True or num_beams"),
    "dola_layers": Refused((None,)),
    "num_beam_groups": Refused((None, 1), "use num_beams alone"),
    "diversity_penalty": Refused((None, 0), "use num_beams alone"),
    "constraints": Refused((None, []), "constrain the output by a grammar or a schema"),
    "force_words_ids": Refused((None, []), "constrain the output by a grammar or a schema"),
    "prefix_allowed_tokens_fn": Refused((None,), "constrain the output by a grammar or a schema"),
    "logits_processor": Refused((None, [])),
    "stopping_criteria": Refused((None, []), "use stop_strings, stop_token_ids, or stop reading the stream"),
    "negative_prompt_ids": Refused((None,)),
    "negative_prompt_attention_mask": Refused((None,)),
    "custom_generate": Refused((None,)),
    "assistant_tokenizer": Refused((None,), "use prompt_lookup_num_tokens"),
    "watermarking_config": Refused((None,)),
    "token_healing": Refused((None, False)),
    "assistant_model": Refused((None,), "use prompt_lookup_num_tokens"),
    "assistant_early_exit": Refused((None, 0), "use prompt_lookup_num_tokens"),
    "use_mtp": Refused((None, False), "use prompt_lookup_num_tokens"),
    "speculation_type": Refused((None,), "use prompt_lookup_num_tokens"),
}

IGNORED = frozenset(
    {
        "use_cache", "cache_implementation", "cache_config", "max_cache_len", "prefill_chunk_size", "low_memory",
        "output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate",
        "compile_config", "disable_compile", "synced_gpus", "is_assistant", "num_assistant_tokens",
        "num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_lookbehind", "target_lookbehind",
        "assistant_ensemble_weight", "continuous_batching_config", "transformers_version",
        "use_model_defaults",
    }
)  # fmt: skip
