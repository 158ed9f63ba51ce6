"""Letters as tokens (Wav2Vec2's CTC tokenizer). Knows no vocabulary but the tokens' names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from onnxpress.format.processors import Letters


class LetterTokens:
    """`ids`: token -> id. Letters that are no tokens are `unknown_id`."""

    def __init__(self, settings: Letters, ids: Mapping[str, int], unknown_id: int) -> None:
        self._settings, self._ids, self._unknown_id = settings, ids, unknown_id

    def segment(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        settings = self._settings
        text = text.upper() if settings.lower_case else text
        text = text if settings.delimiter is None else text.replace(" ", settings.delimiter)
        return [self._ids.get(letter, self._unknown_id) for letter in text]

    def join(self, names: Sequence[str], special: Collection[str]) -> str:
        """The text of tokens, of which special ones are as others."""
        settings = self._settings
        text = "".join(settings.space if name == settings.delimiter else name for name in names).strip()
        return text.lower() if settings.lower_case else text
