"""What was inferred of another tool's files, fact by fact, while they are read."""

from __future__ import annotations

from collections.abc import Iterable

from onnxpress.format.model import Fact


class Notes:
    """Facts in the order in which they became known."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self.facts = list(facts)

    def add(self, fact: Fact | None) -> None:
        """Note a fact, if there is one."""
        if fact is not None:
            self.facts.append(fact)

    def note(self, what: str, value: str, source: str) -> None:
        """Note what `source` says."""
        self.facts.append(Fact(what, value, source))

    def assume(self, what: str, value: str, source: str) -> None:
        """Note what nothing says. `source`: why, and what the caller can do."""
        self.facts.append(Fact(what, value, source, assumed=True))
