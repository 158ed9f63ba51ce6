"""The events that a search yields while it writes, and the texts that remain. Knows no model and no text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from onnxpress.generation.rules import Rule
from onnxpress.generation.structured.constraints import Constraint

FinishReason = Literal["stop", "length", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Event:
    """One more token of a row, and whether it was the last.

    `row`: prompt number * num_return_sequences + which of them. `token` is None only where a row ends without another
    one: it was cancelled, or it failed. `logprob`, where asked for, is the model's own, before any rule; `best` are the
    likeliest tokens with theirs, where they are asked for. `cached`, of a text's first token: how many of its prompt's
    were not read, because others had read them.
    `finish`: "stop" (a token or a text that ends, this token included), "length" (no more were allowed), "cancelled",
    "failed": `error` says why. (`generate` raises that error; a scheduler has other requests to go on with.)
    """

    row: int
    token: int | None
    logprob: float | None = None
    finish: FinishReason | None = None
    error: Exception | None = None
    best: tuple[tuple[int, float], ...] = ()
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Generated:
    """A whole text. `ids` are the new tokens, with the one that ended it; `score` is a beam's."""

    ids: tuple[int, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    logprobs: tuple[float, ...] | None = None
    score: float | None = None

    @property
    def new_tokens(self) -> int:
        """How many tokens were generated."""
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a search asks of its caller, none of it needed.

    `cancelled()`: asked before each call of the model; true ends every row that has this hook.
    `ended(row)`: makes what is told every new token of that row, and says whether its text is complete now; with beams
    it is made again and again, for whatever might come.
    `constraint(row)`: makes what says which tokens may come in that row; not with beams.
    `rules`: apply after those that the settings ask for.
    """

    cancelled: Callable[[], bool] | None = None
    ended: Callable[[int], Callable[[int], bool]] | None = None
    constraint: Callable[[int], Constraint] | None = None
    rules: Sequence[Rule] = ()


NO_HOOKS = Hooks()


@dataclass(slots=True)
class _Collected:
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: FinishReason = "cancelled"


def collect(events: Iterable[Event], prompts: Sequence[Sequence[int]], returned: int = 1) -> list[list[Generated]]:
    """Collect events into the `returned` texts of each prompt. A row without a last event was cancelled."""
    rows = [_Collected() for _ in range(len(prompts) * returned)]
    for event in events:
        row = rows[event.row]
        if event.token is not None:
            row.ids.append(event.token)
        if event.logprob is not None:
            row.logprobs.append(event.logprob)
        if event.finish is not None:
            row.finish = event.finish
    texts = [
        Generated(tuple(row.ids), row.finish, len(prompts[number // returned]), tuple(row.logprobs) or None)
        for number, row in enumerate(rows)
    ]
    return [texts[start : start + returned] for start in range(0, len(texts), returned)]
