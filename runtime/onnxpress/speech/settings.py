"""The settings of a call that concern speech alone, under the names of transformers' Whisper, with its defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxpress.errors import InputError
from onnxpress.speech.tokens import SpeechTokens

#: Names of transformers' `generate` that change nothing here: they ask for outputs that are not made.
_IGNORED = frozenset(
    {
        *("return_segments", "return_token_timestamps", "num_segment_frames", "time_precision", "attention_mask"),
        *("time_precision_features", "force_unique_generate_call", "monitor_progress", "ignore_warning"),
    }
)

#: Of them, what the checkpoint's generation_config.json may say, too.
_OF_FILE = ("language", "task", "compression_ratio_threshold", "logprob_threshold", "no_speech_threshold")

_CONDITIONS = ("first-segment", "all-segments")


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechSettings:
    """As transformers documents them for `WhisperForConditionalGeneration.generate`.

    `temperatures`: tried one after the other, while a window's text falls short of the thresholds; above 0 it is
    drawn. `prompt_ids`: what is written before the first window's text, or before every one's.
    """

    language: str | None = None
    task: str | None = None
    is_multilingual: bool | None = None
    prompt_ids: tuple[int, ...] = ()
    prompt_condition_type: str = _CONDITIONS[0]
    condition_on_prev_tokens: bool = False
    temperatures: tuple[float, ...] = (0.0,)
    compression_ratio_threshold: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None

    def __post_init__(self) -> None:
        for name in ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
                raise InputError(f"{name} is {value!r:.60}; it must be a number, or None for none.")
        if self.no_speech_threshold is not None and self.logprob_threshold is None:
            raise InputError(
                "no_speech_threshold counts only together with logprob_threshold: pass both, such as 0.6 and -1.0."
            )
        if not isinstance(self.condition_on_prev_tokens, bool):
            raise InputError(f"condition_on_prev_tokens is {self.condition_on_prev_tokens!r:.60}; pass True or False.")
        if self.prompt_condition_type not in _CONDITIONS:
            raise InputError(
                f"prompt_condition_type is {self.prompt_condition_type!r:.60}; it may be {' or '.join(_CONDITIONS)}."
            )
        if self.prompt_condition_type == _CONDITIONS[1] and not self.condition_on_prev_tokens:
            raise InputError("prompt_condition_type='all-segments' needs condition_on_prev_tokens=True.")

    @property
    def prompts_all(self) -> bool:
        """Whether the prompt stands before every window's text."""
        return self.prompt_condition_type == _CONDITIONS[1]

    @property
    def judges(self) -> bool:
        """Whether a window's text may fall short."""
        return self.compression_ratio_threshold is not None or self.logprob_threshold is not None


#: The names that are taken out of a call's settings of generation.
NAMES = frozenset({"temperature", *_IGNORED, *SpeechSettings.__slots__} - {"temperatures"})


def of_call(
    asked: Mapping[str, Any], file: Mapping[str, Any], tokens: SpeechTokens
) -> tuple[SpeechSettings, dict[str, Any]]:
    """The settings of a call over those of the checkpoint's file, and what is left: settings of generation.

    Raises:
        InputError: a value that is not allowed, or that the model has no token for.
    """
    named = {name: value for name, value in asked.items() if name in NAMES - _IGNORED and value is not None}
    rest = {name: value for name, value in asked.items() if name not in NAMES}
    for name in ("do_sample",):  # as in transformers, the temperature says whether anything is drawn
        rest.pop(name, None)
    known = {name: file[name] for name in _OF_FILE if file.get(name) is not None}
    if file.get("condition_on_prev_tokens") is not None:
        known["condition_on_prev_tokens"] = bool(file["condition_on_prev_tokens"])
    values = {**known, **named}
    temperature = values.pop("temperature", None)
    if "prompt_ids" in values:
        values["prompt_ids"] = _ids(values["prompt_ids"])
    settings = SpeechSettings(**values, temperatures=_temperatures(temperature))
    single = not (
        settings.is_multilingual if settings.is_multilingual is not None else tokens.multilingual is not False
    )
    if single and (settings.language or settings.task):
        if {"language", "task"} & set(named):
            raise InputError("This model knows English alone: leave language and task out.")
        settings = replace(settings, language=None, task=None)
    if settings.language is not None:
        tokens.language_id(settings.language)
    if settings.task is not None and settings.task not in tokens.tasks:
        raise InputError(
            f"task is {settings.task!r:.60}; this model knows {', '.join(tokens.tasks) or 'none that is asked for'}."
        )
    return settings, rest


def _ids(value: Any) -> tuple[int, ...]:
    try:
        array = np.asarray(value)
    except Exception as error:
        raise InputError(f"prompt_ids is {value!r:.60}; it must be a list of token ids.") from error
    if array.dtype.kind not in "iu" or array.ndim != 1 or (array < 0).any():
        raise InputError(f"prompt_ids is {value!r:.60}; it must be a list of token ids.")
    return tuple(array.tolist())


def _temperatures(value: Any) -> tuple[float, ...]:
    values = (0.0,) if value is None else tuple(value) if isinstance(value, Sequence) else (value,)
    numbers = [not isinstance(number, bool) and isinstance(number, (int, float)) and number >= 0 for number in values]
    if not values or isinstance(value, str) or not all(numbers):
        raise InputError(
            f"temperature is {value!r:.60}; it must be a number from 0, or several that are tried in turn."
        )
    return tuple(map(float, values))
