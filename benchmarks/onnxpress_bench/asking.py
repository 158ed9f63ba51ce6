"""Requests over HTTP that do not wait for each other (an open loop), and what became of each.

Requests arrive by a Poisson process; a latency counts from the moment a request was meant to be sent
(scenarios/server.py says why).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onnxpress_bench.caller import LENGTH, address_of
from onnxpress_bench.statistics import percentile

#: Between two calls that are compared, longer than ONNX Runtime's threads spin after a run (decision 0135), and rounds
#: of them that do not count.
_PAUSE_S, _WARM_UP = 0.1, 20


@dataclass(slots=True)
class Tally:
    """What became of requests: milliseconds of each that was answered, and how many had each status."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    retry_after: int = 0

    def report(self, seconds: float) -> dict[str, Any]:
        """The figures of a run that took so long."""
        answered = self.milliseconds
        figures = {f"p{q}_ms": round(percentile(answered, q), 2) for q in (50, 90, 99)} if answered else {}
        return {
            "sent": self.statuses.total(),
            "answered": len(answered),
            "goodput_per_s": round(len(answered) / seconds, 2),
            **figures,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "refused_with_retry_after": self.retry_after,
        }


def in_turn(first: Callable[[], object], second: Callable[[], object], rounds: int) -> list[tuple[float, float]]:
    """Milliseconds of two calls, in turn, after some that do not count.

    Between two calls nothing is done for a while: the engine's threads look for more work for some time, and would take
    the other's processors.
    """

    def timed(call: Callable[[], object]) -> float:
        time.sleep(_PAUSE_S)
        began = time.perf_counter()
        call()
        return (time.perf_counter() - began) * 1e3

    return [(timed(first), timed(second)) for _ in range(rounds + _WARM_UP)][_WARM_UP:]


class _Wire(asyncio.Protocol):
    """A connection, and who waits for the answer on it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self._received = bytearray()
        self._waiter: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def send(self, data: bytes) -> asyncio.Future[bytes]:
        """Send a request; the head of its answer is to come."""
        self._waiter = asyncio.get_running_loop().create_future()
        self.transport.write(data)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[: end + 2])
        length = LENGTH.search(head)
        whole = end + 4 + (int(length[1]) if length else 0)
        if len(self._received) >= whole:
            del self._received[:whole]
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(head)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or EOFError("The server closed the connection."))


class Connections:
    """Connections to a server that are kept and used again. Made for many requests a second: the client should not
    take the processors from the server that is measured."""

    def __init__(self, url: str, key: str | None) -> None:
        self._host, self._port = address_of(url)
        self._key = "" if key is None else f"authorization: Bearer {key}\r\n"
        self._free: list[_Wire] = []

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        """Send a request and read its answer: the status and the head, in which names are as the server wrote them."""
        if self._free:
            wire = self._free.pop()
        else:
            _, wire = await asyncio.get_running_loop().create_connection(_Wire, self._host, self._port)
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}:{self._port}\r\ncontent-type: application/json\r\n"
            f"{self._key}content-length: {len(body)}\r\n\r\n"
        )
        try:
            answer = await wire.send(head.encode() + body)
        except BaseException:  # an answer may still come, which is no later request's
            wire.transport.close()
            raise
        if b"\r\nconnection: close\r\n" in answer:
            wire.transport.close()
        else:
            self._free.append(wire)
        return int(answer[9:12]), answer

    def close(self) -> None:
        """Close those that are kept."""
        for wire in self._free:
            wire.transport.close()


async def ask(connections: Connections, path: str, body: bytes, due: float, outcome: Tally) -> None:
    """Send a request when it is due, and note what became of it."""
    await asyncio.sleep(max(0.0, due - time.perf_counter()))
    try:
        status, head = await connections.post(path, body)
    except (OSError, EOFError):
        outcome.statuses[0] += 1
        return
    outcome.statuses[status] += 1
    outcome.retry_after += b"\r\nretry-after-ms: " in head and b"\r\nretry-after: " in head
    if status == 200:
        outcome.milliseconds.append((time.perf_counter() - due) * 1e3)


async def run(
    url: str,
    path: str,
    bodies: Sequence[bytes],
    rate: float,
    seconds: float,
    *,
    key: str | None = None,
    greedy: tuple[bytes, float, str | None] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Requests at a rate for some seconds, and the figures of them.

    Args:
        greedy: a body that another client sends, every how many seconds, and its key.
    """
    rng = np.random.default_rng(seed)
    connections, outcome = Connections(url, key), Tally()
    started = time.perf_counter() + 0.1
    due = started + np.cumsum(rng.exponential(1 / rate, max(1, round(rate * seconds))))
    chosen = rng.integers(len(bodies), size=len(due))
    tasks = [
        asyncio.create_task(ask(connections, path, bodies[which], float(when), outcome))
        for when, which in zip(due, chosen, strict=True)
    ]
    others, dropped = Tally(), []
    if greedy is not None:
        body, every_s, greedy_key = greedy
        of_greedy = Connections(url, greedy_key)
        times = np.arange(started, float(due[-1]), every_s)
        dropped = [asyncio.create_task(ask(of_greedy, path, body, float(when), others)) for when in times]
    await asyncio.gather(*tasks)
    took = time.perf_counter() - started
    await asyncio.gather(*dropped)
    connections.close()
    report = {"rate_per_s": rate, **outcome.report(took)}
    return report | ({"greedy": others.report(took)} if greedy is not None else {})
