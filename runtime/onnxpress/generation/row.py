"""One text while it is written: its tokens, its rules, what ends it. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from onnxpress.generation.drawing import Draw, pick
from onnxpress.generation.events import Event, FinishReason
from onnxpress.generation.requests import Request
from onnxpress.generation.rules import Ids, Rule, Scores, Written, added
from onnxpress.generation.sampling import Best, best_logprobs, draw_of, logprob_of, rules_of
from onnxpress.generation.structured.constraints import Constraint

FIRST_ROOM = 1024


@dataclass(slots=True)
class Row:
    """`ids` int64 (room): the first `length` are written, `prompt` of them and `most` new ones if none ends it.

    `pending`: those the model has not read. `begun`: those with which it was let in, the prompt and, where it had to
    give up its memory, what it had written by then.
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
    best: int
    pending: list[int]
    begun: int
    finish: FinishReason | None = None

    def take(self, scores: Scores) -> Iterator[Event]:
        """Take the next token by float32 (vocabulary) scores, which are changed. It may finish the row.

        Nothing is done, and nothing fails, before the first event is asked for.
        """
        before = self.rule(scores)
        yield from self.put(pick(scores, self.draw), before)

    def rule(self, scores: Scores) -> Scores:
        """Apply the row's rules to scores in place; what the model said, for `put`."""
        tells = self.logprobs or self.best > 0
        before = scores.copy() if tells and (self.rules or self.draw is not None) else scores
        if self.rules:
            written = Written(self.ids[: self.length], self.prompt)
            for rule in self.rules:
                rule(written, scores)
        return before

    def put(self, token: int, before: Scores) -> Iterator[Event]:
        """Append a token, and those that must follow it; `before`: what the model said of it."""
        self.pending = []
        logprob = logprob_of(before, token) if self.logprobs else None
        yield self._append(token, logprob, best_logprobs(before, self.best) if self.best else ())
        while self.constraint is not None and self.finish is None and (run := self.constraint.forced()):
            for forced in run:
                if self.finish is None:
                    yield self._append(forced, None)

    @property
    def left(self) -> int:
        """How many tokens the row may still get."""
        return self.prompt + self.most - self.length

    def again(self) -> Row:
        """The same row, to be read anew with what it has written; this one ends without a word."""
        row = replace(self, pending=[], begun=self.length)
        self.finish = "cancelled"
        return row

    def cancel(self) -> Event:
        """End the row here, without another token."""
        self.finish = "cancelled"
        return Event(self.number, None, None, "cancelled")

    def fail(self, error: Exception) -> Event:
        """End the row here, because it cannot be continued."""
        self.finish = "failed"
        return Event(self.number, None, None, "failed", error)

    def _append(self, token: int, logprob: float | None, best: Best = ()) -> Event:
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
        return Event(self.number, token, logprob, self.finish, best=best)


def rows_of(request: Request, limit: int | None) -> list[Row]:
    """The rows that continue a request's prompt, one for each text that it shall return.

    `limit`: the most tokens of a row.

    Raises:
        InputError: the prompt leaves no room.
    """
    prompt, config, hooks = request.prompt, request.config, request.hooks
    most = config.most_new_tokens(len(prompt), limit)
    read = prompt if request.text is None else request.text
    ends = frozenset(config.ends)
    rows = []
    for which in range(config.num_return_sequences):
        number = request.first_row + which
        ids = np.empty(len(prompt) + min(most, FIRST_ROOM), np.int64)
        ids[: len(prompt)] = prompt
        constraint = hooks.constraint(number) if hooks.constraint else None
        biased = [added(request.bias)] if request.bias else []
        rules = [*biased, *rules_of(config, len(prompt), most, read, constraint), *hooks.rules]
        ended = hooks.ended(number) if hooks.ended else None
        draw = draw_of(config, which)
        row = Row(
            number, ids, len(prompt), len(prompt), most, ends, rules, draw, ended, constraint, request.logprobs,
            request.best, [], len(prompt)
        )  # fmt: skip
        rows.append(row)
    return rows
