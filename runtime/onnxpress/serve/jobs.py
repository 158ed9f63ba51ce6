"""What waits: the rows of a request, each computed in whatever batch has room for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from onnxpress.engine.stopping import Cancel
from onnxpress.errors import OnnxpressError
from onnxpress.pipelines.batching import Limits
from onnxpress.samples import Sample

NEVER = float("inf")

#: A request of more rows is bulk, whatever it says.
MOST_INTERACTIVE_ROWS = 32


class Priority(Enum):
    """How long a request is content to wait, seconds: what its virtual deadline is made of."""

    HIGH = 0.1
    NORMAL = 1.0
    BATCH = 30.0

    @classmethod
    def named(cls, name: str) -> Priority | None:
        """By the name in a header; None: there is no such priority."""
        return cls.__members__.get(name.upper())


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a request is answered.

    Args:
        client: whose share of the machine it uses: the name of an API key, or an address.
        deadline: when nobody waits for the answer any more, on the monotonic clock; what is not computed by then is
            dropped.
    """

    client: str = ""
    deadline: float = NEVER
    priority: Priority = Priority.NORMAL


@dataclass(eq=False, slots=True)
class QueuedRow:
    """A sample of a request. `key`: only rows with equal keys share a batch. `due`: its virtual deadline. `seconds`:
    what it is expected to take."""

    job: Job
    index: int
    sample: Sample
    key: Hashable
    due: float = NEVER
    seconds: float = 0.0


@dataclass(eq=False, slots=True)
class Job:
    """A request's rows, from the queue to their values.

    Args:
        compute: samples with one key -> a value for each.
        limits: what a batch of them may hold.
        ended: called when there is a value for each row, from the thread that computes.
    """

    terms: Terms
    compute: Callable[[Sequence[Sample]], Sequence[Any]]
    limits: Limits
    ended: Callable[[Job], None] = lambda _: None
    rows: list[QueuedRow] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    missing: int = 0
    gone: bool = False
    cancel: Cancel = field(default_factory=Cancel)
    arrived: float = 0.0
    #: When its first row was computed, and how long its batches took together, seconds.
    begun: float | None = None
    computed_s: float = 0.0
    batch_rows: int = 0

    def add(self, samples: Sequence[Sample], of_options: Hashable) -> None:
        """Make rows of samples; `of_options`: what they are asked with."""
        for sample in samples:
            key = (of_options, self.limits.key(sample))
            self.rows.append(QueuedRow(self, len(self.rows), sample, key))
        self.values = [None] * len(self.rows)
        self.missing = len(self.rows)

    @property
    def priority(self) -> Priority:
        """As asked, but what is bulk is bulk."""
        return Priority.BATCH if len(self.rows) > MOST_INTERACTIVE_ROWS else self.terms.priority

    @property
    def cost(self) -> int:
        """Of all its samples together, in tokens of text."""
        return sum(row.sample.cost for row in self.rows)

    def lost(self, now: float) -> bool:
        """Whether nobody waits for it any more."""
        return self.gone or now >= self.terms.deadline

    def leave(self) -> None:
        """Nobody waits for it any more: what is not computed is not going to be."""
        self.gone = True
        self.cancel.cancel()

    def settle(self, index: int, value: Any) -> None:
        """Note a row's value."""
        self.values[index] = value
        self.missing -= 1

    def failure(self) -> OnnxpressError | None:
        """The first error among the values."""
        return next((value for value in self.values if isinstance(value, OnnxpressError)), None)
