"""The lane of a model that hears sounds of any length: what is heard to the next chunk is a piece of work.

So an hour of sound holds up a short text for no longer than a window does, and ends when its client leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from onnxpress.engine.stopping import Cancel
from onnxpress.errors import Cancelled, EngineError, OnnxpressError, TimeoutExceeded
from onnxpress.serve.compute import ComputeThread, Piece
from onnxpress.serve.errors import Overloaded
from onnxpress.serve.jobs import NEVER, Terms

_LOG = logging.getLogger("onnxpress.serve")

#: What an iterator of chunks gives at its end.
_END = object()

#: Seconds of computing for a second of sound, before any was heard; and what a sound that ended counts in it.
_FIRST_RATE, _SHARE = 0.3, 0.2


@dataclass(eq=False, slots=True)
class HeardSound:
    """A sound while it is heard. `seconds`: how long it is. `chunks`: each is computed by the step that asks for it.
    `cancel`: ends the step that goes on. `tell`: hears each chunk, an error or `_END`, in the computing thread."""

    terms: Terms
    seconds: float
    chunks: Iterator[Any]
    cancel: Cancel
    tell: Callable[[Any], None] = lambda value: None
    due: float = 0.0
    arrived: float = field(default_factory=time.monotonic)
    begun: float | None = None
    computed_s: float = 0.0
    #: What a step sets for whatever it calls is its own, not the next piece's.
    context: Context = field(default_factory=copy_context)


class HearingLane:
    """Implements `compute.Lane`.

    Args:
        most_s: seconds of work that may wait; beyond it sounds are refused.
        most_sound_s: seconds of sound that are held in memory together.
    """

    def __init__(self, thread: ComputeThread, most_s: float, most_sound_s: float) -> None:
        self._thread = thread
        self._most_s = most_s
        self._most_sound_s = most_sound_s
        self._sounds: list[HeardSound] = []
        self._rate = _FIRST_RATE

    def check(self, seconds: float) -> None:
        """Refuse a sound while too much waits.

        Raises:
            Overloaded: with the time that what waits is going to take.
        """
        with self._thread.changed:
            held_s = sum(sound.seconds for sound in self._sounds)
        waiting_s = held_s * self._rate
        if waiting_s > self._most_s or (held_s and held_s + seconds > self._most_sound_s):
            raise Overloaded(
                f"{held_s:.0f} s of sound wait to be heard: ask again in {waiting_s:.0f} s.",
                retry_after_s=max(waiting_s, 1.0),
            )

    def put(self, sound: HeardSound) -> None:
        """Let a sound wait; its `tell` hears its chunks."""
        with self._thread.changed:
            sound.due = sound.arrived + sound.terms.priority.value
            self._sounds.append(sound)
            self._thread.changed.notify()

    def leave(self, sound: HeardSound) -> None:
        """Nobody waits for a sound any more."""
        self._drop(sound)
        sound.cancel.cancel()

    def head(self, now: float) -> float | None:
        return min((sound.due for sound in self._sounds), default=None)

    def take(self, now: float) -> Piece | None:
        sound = min(self._sounds, key=lambda waiting: waiting.due, default=None)
        return None if sound is None else lambda: self._step(sound)

    def close(self) -> None:
        """No sound is heard any more."""
        with self._thread.changed:
            sounds, self._sounds = self._sounds, []
        for sound in sounds:
            sound.cancel.cancel()
            sound.tell(Cancelled("The model is being closed."))

    def _step(self, sound: HeardSound) -> None:
        started = time.monotonic()
        if sound.begun is None:
            sound.begun = started
        try:
            value = sound.context.run(next, sound.chunks, _END)
        except OnnxpressError as error:
            value = error
        except Exception:
            _LOG.exception("a sound failed")
            value = EngineError("The model failed on this sound.")
        ended = time.monotonic()
        sound.computed_s += ended - started
        if value is _END or isinstance(value, OnnxpressError):
            self._drop(sound)
            if value is _END:
                self._rate += _SHARE * (sound.computed_s / max(sound.seconds, 0.1) - self._rate)
        sound.due = ended + sound.terms.priority.value
        sound.tell(value)

    def _drop(self, sound: HeardSound) -> None:
        with self._thread.changed:
            self._sounds = [other for other in self._sounds if other is not sound]


async def hear(lane: HearingLane, sound: HeardSound, left: Callable[[], Awaitable[object]]) -> AsyncIterator[Any]:
    """The chunks of a sound as they are known. Leaving the iterator ends the hearing.

    Args:
        left: ends when the client is gone.

    Raises:
        OnnxpressError: of the sound; Cancelled: the client is gone; TimeoutExceeded: the time is up.
    """
    loop, heard = asyncio.get_running_loop(), asyncio.Queue[Any]()

    def tell(value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(heard.put_nowait, value)

    sound.tell = tell
    gone = asyncio.ensure_future(left())
    gone.add_done_callback(lambda _: heard.put_nowait(Cancelled("The client left.")))
    expired = None
    if sound.terms.deadline != NEVER:
        late = TimeoutExceeded("The request's time was up before all of the sound was heard.")
        expired = loop.call_at(sound.terms.deadline, heard.put_nowait, late)
    lane.put(sound)
    try:
        while (value := await heard.get()) is not _END:
            if isinstance(value, OnnxpressError):
                raise value
            yield value
    finally:
        if expired is not None:
            expired.cancel()
        gone.cancel()
        lane.leave(sound)
