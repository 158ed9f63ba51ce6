"""The tokens that tell of speech, as a checkpoint's generation_config.json names them: languages, tasks, times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import InputError
from onnxpress.speech.languages import code_of

#: Seconds that one token of time is after the one before.
TIME_STEP = 0.02

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class SpeechTokens:
    """Token ids. `first_time`: of 0.00 s, after which come all times; None: the model tells none.

    `languages`: code -> id. `tasks`: name -> id. `before`: what the text of earlier speech follows.
    `latest_start`: in steps, of the first time of a window; None: any. `no_times`: says that no times follow.
    """

    start: int
    end: int
    no_times: int | None
    languages: Mapping[str, int]
    tasks: Mapping[str, int]
    before: int | None
    latest_start: int | None
    multilingual: bool | None

    @property
    def first_time(self) -> int | None:
        return None if self.no_times is None else self.no_times + 1

    @property
    def no_speech(self) -> int | None:
        """The token whose probability at the beginning tells that nothing is said."""
        return None if self.no_times is None else self.no_times - 1

    def is_time(self, token: int) -> bool:
        """Whether a token tells a time."""
        return self.no_times is not None and token > self.no_times

    def language_id(self, language: str) -> int:
        """Of a language by code, name or token.

        Raises:
            InputError: the model does not know it.
        """
        if not isinstance(language, str):
            raise InputError(f"language is {language!r:.60}; it must be a name or a code, such as 'german' or 'de'.")
        code = code_of(language)
        if code is None or code not in self.languages:
            known = list(self.languages)
            more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
            raise InputError(f"No language {language!r:.60}. This model knows {', '.join(known[:_SHOWN])}{more}.")
        return self.languages[code]

    def code_of_id(self, token: int) -> str | None:
        """The code of a language's token; None: it is none."""
        return next((code for code, number in self.languages.items() if number == token), None)

    @staticmethod
    def of_config(content: Mapping[str, Any]) -> SpeechTokens:
        """Read from a checkpoint's generation_config.json."""
        suppressed: Any = content.get("suppress_tokens") or ()
        before = content.get("prev_sot_token_id")
        if before is None and len(suppressed) >= 2:  # as transformers guesses it of old files
            before = suppressed[-2]
        start = content.get("decoder_start_token_id")
        return SpeechTokens(
            start=int(content.get("bos_token_id", 0) if start is None else start),
            end=_first(content.get("eos_token_id")),
            no_times=content.get("no_timestamps_token_id"),
            languages={
                str(name).removeprefix("<|").removesuffix("|>"): int(number)
                for name, number in (content.get("lang_to_id") or {}).items()
            },
            tasks={str(name): int(number) for name, number in (content.get("task_to_id") or {}).items()},
            before=before,
            latest_start=content.get("max_initial_timestamp_index"),
            multilingual=content.get("is_multilingual"),
        )


def _first(ends: Any) -> int:
    """The first of the tokens that end a text."""
    return int((ends[0] if isinstance(ends, list) else ends) or 0)
