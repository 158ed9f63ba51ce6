"""Characters as tokens, with a blank between them (VITS). Knows no file."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from onnxpress.format.processors import CharacterRules


class Characters:
    """`names`: id -> token; `unknown`: the id of what has none."""

    def __init__(self, rules: CharacterRules, names: Mapping[int, str], unknown: int) -> None:
        self._rules, self._unknown = rules, unknown
        self._rows = {name: number for number, name in names.items()}
        self._own = {name for number, name in names.items() if number < rules.vocabulary}
        longest = max(map(len, self._rows), default=1)
        #: Lengths of the names, in the order in which transformers looks for them: that of the ids.
        self._in_order = [names[number] for number in sorted(names)] if longest > 1 else None

    def prepare(self, text: str) -> str:
        """The text as it is read: in lower case but for what is a token as it stands, without what is none."""
        if self._rules.normalizes:
            text = self._lower(text)
        for character, other in self._rules.replaced.items():
            text = text.replace(character, other)
        if self._rules.normalizes:
            text = "".join(character for character in text if character in self._own).strip()
        return text

    def _lower(self, text: str) -> str:
        if self._in_order is None:
            return "".join(character if character in self._rows else character.lower() for character in text)
        parts, place = [], 0
        while place < len(text):
            word = next((name for name in self._in_order if name and text.startswith(name, place)), None)
            parts.append(text[place].lower() if word is None else word)
            place += 1 if word is None else len(word)
        return "".join(parts)

    def segment(self, text: str) -> list[int]:
        """The ids of a text without special tokens."""
        ids = [self._rows.get(character, self._unknown) for character in text]
        if self._rules.blank is None:
            return ids
        between = [self._rules.blank] * (2 * len(ids) + 1)
        between[1::2] = ids
        return between

    def join(self, names: Sequence[str], special: Collection[str]) -> str:
        """The text of tokens, every second of which is a blank."""
        return "".join(names[1::2] if self._rules.blank is not None and len(names) > 1 else names)
