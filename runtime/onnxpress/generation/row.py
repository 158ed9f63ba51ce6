"""One text while it is written: its tokens, its rules, what ends it. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onnxpress.generation.events import Event, FinishReason, Hooks
from onnxpress.generation.rules import Ids, Rule, Scores, Written
from onnxpress.generation.sampling import Draw, draw_of, logprob_of, pick, rules_of
from onnxpress.generation.settings import GenerationConfig
from onnxpress.generation.structured.constraints import Constraint

FIRST_ROOM = 1024


@dataclass(slots=True)
class Row:
    """`ids` int64 (room): the first `length` are written, `prompt` of them and `most` new ones if none ends it.

    `pending`: those the model has not read.
    """

    number: int
    ids: Ids
    prompt: int
    length: int
    most: int
    ends: frozenset[int]
    rules: list[Rule]
    draw: Draw | None
    ended: Callable[[int], bool] | None
    constraint: Constraint | None
    logprobs: bool
    pending: list[int]
    finish: FinishReason | None = None

    def take(self, scores: Scores) -> Iterator[Event]:
        """What comes now, of float32 (vocabulary) scores, which are changed; the row may be finished then."""
        before = scores.copy() if self.logprobs and self.rules else scores
        if self.rules:
            written = Written(self.ids[: self.length], self.prompt)
            for rule in self.rules:
                rule(written, scores)
        token = pick(scores, self.draw)
        self.pending = []
        yield self._append(token, logprob_of(before, token) if self.logprobs else None)
        while self.constraint is not None and self.finish is None and (run := self.constraint.forced()):
            for forced in run:
                if self.finish is None:
                    yield self._append(forced, None)

    @property
    def left(self) -> int:
        """How many tokens may still come."""
        return self.prompt + self.most - self.length

    def cancel(self) -> Event:
        """It ends here, without another token."""
        self.finish = "cancelled"
        return Event(self.number, None, None, "cancelled")

    def _append(self, token: int, logprob: float | None) -> Event:
        if self.length == len(self.ids):
            self.ids = np.concatenate([self.ids, np.empty_like(self.ids)])
        self.ids[self.length] = token
        self.length += 1
        self.pending.append(token)
        stops = self.ended is not None and self.ended(token)
        if token in self.ends or stops:
            self.finish = "stop"
        elif self.constraint is not None:
            self.constraint.advance(token)
            if self.constraint.ended:
                self.finish = "stop"
        if self.finish is None and self.left == 0:
            self.finish = "length"
        return Event(self.number, token, logprob, self.finish)


def rows_of(
    number: int,
    prompt: Sequence[int],
    config: GenerationConfig,
    limit: int | None,
    read: Sequence[int],
    hooks: Hooks,
    logprobs: bool,
) -> list[Row]:
    """The rows that continue prompt `number`, one for each text that it shall return."""
    most = config.most_new_tokens(len(prompt), limit)
    rows = []
    for which in range(config.num_return_sequences):
        name = number * config.num_return_sequences + which
        ids = np.empty(len(prompt) + min(most, FIRST_ROOM), np.int64)
        ids[: len(prompt)] = prompt
        constraint = hooks.constraint(name) if hooks.constraint else None
        rules = rules_of(config, len(prompt), most, read, constraint)
        ended = hooks.ended(name) if hooks.ended else None
        draw = draw_of(config, which)
        ends = frozenset(config.ends)
        rows.append(Row(name, ids, len(prompt), len(prompt), most, ends, rules, draw, ended, constraint, logprobs, []))
    return rows
