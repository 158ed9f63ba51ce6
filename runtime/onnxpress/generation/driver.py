"""Drives a scheduler for requests of many threads: they put requests in, and hear the events of theirs.

`Driver` is what whoever owns the computing thread calls, a turn at a time; `DriverThread` is such a thread of its own.
What goes wrong in a request ends that request alone; if the model fails, all that were being written end with its
error, and later ones begin anew.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace

from onnxpress.errors import EngineError
from onnxpress.generation.events import Event
from onnxpress.generation.requests import Request
from onnxpress.generation.scheduler import Scheduler

#: Hears each event of a request, in the thread that takes turns. Must not wait.
Tell = Callable[[Event], None]


@dataclass(eq=False, slots=True)
class Ticket:
    """A request that was put in. `unfinished`: its texts that have not ended."""

    request: Request
    tell: Tell
    unfinished: int
    _gone: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """End the request before its next token. Any thread may call this, any number of times."""
        self._gone.set()

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self._gone.is_set()


class Driver:
    """Requests of many threads over one scheduler. `turn` and `close` belong to one thread, all else to any."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._lock = threading.Lock()
        self._arrived: list[Ticket] = []
        self._running: dict[int, Ticket] = {}

    @property
    def busy(self) -> bool:
        """Whether any request is not finished."""
        return bool(self._arrived or self._running)

    @property
    def waiting(self) -> int:
        """How many requests have no slot yet."""
        return len(self._arrived) + self._scheduler.waiting

    @property
    def rows(self) -> int:
        """How many texts are being written or read."""
        return self._scheduler.rows

    def put(self, request: Request, tell: Tell) -> Ticket:
        """Accept a request; its events are told from the next turn on, the last one of each of its texts included."""
        ticket = Ticket(request, tell, request.config.num_return_sequences)
        with self._lock:
            self._arrived.append(ticket)
        return ticket

    def turn(self) -> None:
        """Let in who arrived, write a token of each text, and tell everybody theirs."""
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for ticket in arrived:
            self._admit(ticket)
        try:
            events = self._scheduler.step()
        except Exception as error:
            self._fail(error if isinstance(error, EngineError) else EngineError(f"The model failed ({error})."))
            return
        for owner, event in events:
            self._told(owner, event)

    def close(self) -> None:
        """End every request, and free the memory."""
        with self._lock:
            arrived, self._arrived = self._arrived, []
        for ticket in (*arrived, *self._running.values()):
            self._end(ticket, Event(ticket.request.first_row, None, None, "cancelled"))
        self._running.clear()
        self._scheduler.close()

    def _admit(self, ticket: Ticket) -> None:
        hooks = ticket.request.hooks
        asked = hooks.cancelled

        def cancelled() -> bool:
            return ticket.cancelled or (asked is not None and asked())

        if cancelled():  # it costs nothing, not even a slot
            self._end(ticket, Event(ticket.request.first_row, None, None, "cancelled"))
            return
        try:
            owner = self._scheduler.admit(replace(ticket.request, hooks=replace(hooks, cancelled=cancelled)))
        except Exception as error:
            self._end(ticket, Event(ticket.request.first_row, None, None, "failed", error))
            return
        self._running[owner] = ticket

    def _told(self, owner: int, event: Event) -> None:
        ticket = self._running.get(owner)
        if ticket is None:
            return
        ticket.unfinished -= event.finish is not None
        if not ticket.unfinished:
            del self._running[owner]
        try:
            ticket.tell(event)
        except Exception:  # whoever cannot hear is not waited for
            ticket.cancel()

    def _fail(self, error: EngineError) -> None:
        running, self._running = self._running, {}
        self._scheduler.close()
        for ticket in running.values():
            self._end(ticket, Event(ticket.request.first_row, None, None, "failed", error))

    def _end(self, ticket: Ticket, event: Event) -> None:
        """Tell the end of each text of a request that ends as a whole."""
        for row in range(ticket.request.config.num_return_sequences):
            try:
                ticket.tell(replace(event, row=event.row + row))
            except Exception:
                ticket.cancel()


class DriverThread:
    """A thread that takes turns while there is work. Its requests come from any thread or event loop."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._driver = Driver(scheduler)
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="onnxpress-generation", daemon=True)
        self._thread.start()

    def put(self, request: Request, tell: Tell) -> Ticket:
        """As of `Driver.put`.

        Raises:
            EngineError: it is closed.
        """
        with self._changed:
            if self._closing:
                raise EngineError("The thread that writes texts is closed.")
            ticket = self._driver.put(request, tell)
            self._changed.notify()
        return ticket

    def events(self, request: Request) -> Iterator[Event]:
        """The events of a request as they come, to its end. Closing the iterator cancels it."""
        heard: queue.SimpleQueue[Event] = queue.SimpleQueue()
        ticket = self.put(request, heard.put)
        return self._listened(ticket, heard)

    async def listen(self, request: Request) -> AsyncIterator[Event]:
        """The same for an event loop."""
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[Event]()
        ticket = self.put(request, lambda event: _ignored(loop.call_soon_threadsafe(heard.put_nowait, event)))
        try:
            left = request.config.num_return_sequences
            while left:
                event = await heard.get()
                left -= event.finish is not None
                yield event
        finally:
            ticket.cancel()

    def close(self) -> None:
        """End every request when the turn that goes on is over."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _listened(self, ticket: Ticket, heard: queue.SimpleQueue[Event]) -> Iterator[Event]:
        try:
            left = ticket.request.config.num_return_sequences
            while left:
                event = heard.get()
                left -= event.finish is not None
                yield event
        finally:
            ticket.cancel()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._driver.busy and not self._closing:
                    self._changed.wait()
                if self._closing:
                    break
            self._driver.turn()
        self._driver.close()


def _ignored(result: object) -> None:
    """What a call returns is of no use."""
