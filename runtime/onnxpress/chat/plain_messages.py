"""Messages whose texts are text alone: a control token that stands in one is no control token.

Before a template is rendered, what would be read as a control token gives way to a mark; after it, each mark stands for
tokens that spell it. So a message cannot end itself and begin another in somebody else's name. Knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

#: Around the number of what a mark stands for: noncharacters of Unicode. In a text that has them they are marked, too.
_OPEN, _CLOSE = "\ufdd0", "\ufdd1"
_MARK = re.compile(f"{_OPEN}(\\d+){_CLOSE}")

Encode = Callable[[str], Sequence[int]]


class PlainMessages:
    """Messages in which marks stand for control tokens.

    Arguments:
        controls: the texts of the tokenizer's control tokens.
    """

    def __init__(self, messages: Sequence[Any], controls: Collection[str]) -> None:
        words = sorted((word for word in {*controls, _OPEN, _CLOSE} if word), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, words)))
        self._marked: list[str] = []
        self.messages = [self._message(message) for message in messages]

    @property
    def marks(self) -> bool:
        """Whether there was anything to mark."""
        return bool(self._marked)

    def ids(self, text: str, encode: Encode) -> list[int]:
        """The tokens of the rendered text; those of each mark spell what it stands for.

        encode: a text to its tokens, control tokens included.
        """
        ids: list[int] = []
        parts = _MARK.split(text)
        for place, part in enumerate(parts):
            if place % 2:
                for piece in self._spelled(self._marked[int(part)]):
                    ids += encode(piece)
            elif part:
                ids += encode(part)
        return ids

    def _message(self, message: Any) -> Any:
        if not isinstance(message, Mapping):
            return message
        return {name: value if name == "role" else self._plain(value) for name, value in message.items()}

    def _plain(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._pattern.sub(self._mark, value)
        if isinstance(value, Mapping):
            return {name: self._plain(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._plain(item) for item in value]
        return value

    def _mark(self, match: re.Match[str]) -> str:
        self._marked.append(match[0])
        return f"{_OPEN}{len(self._marked) - 1}{_CLOSE}"

    def _spelled(self, word: str) -> list[str]:
        """Pieces of a control token that are none; one of a single letter cannot be spelled, and is left out."""
        if word in (_OPEN, _CLOSE) or not self._pattern.search(word):
            return [word]
        if len(word) == 1:
            return []
        return [*self._spelled(word[:1]), *self._spelled(word[1:])]
