"""The HTTP protocol of a connection, with deadlines: a request that does not arrive in time costs a connection no more.

uvicorn has none for a request that drips in. A silent connection is closed when the time of a request's header is up.

Reading a request costs as much as answering it does where models are tiny, so that whoever refuses it then has won
nothing. A whole request that comes in one piece while it would be refused anyway is refused unread.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from onnxpress.serve.http import REQUEST_ID, new_id

#: Bytes of a request's line and headers.
MOST_HEADER_BYTES = 32 * 2**10

_ID = re.compile(rb"\r\nx-request-id:[ \t]*(" + REQUEST_ID.encode() + rb")[ \t]*\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,12})[ \t]*\r\n", re.IGNORECASE)

#: Bodies of refusals: the fields of every protocol's errors.
_OPENAI = (
    '{"error": {"message": "{message}", "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded"}, '
    '"error_type": "overloaded", "message": "{message}"}'
)
_OTHERS = '{"error": "{message}", "error_type": "overloaded", "message": "{message}"}'


def refusal_of(data: bytes, excess_s: float) -> bytes | None:
    """The answer to a request that is refused unread; None: it is not a whole POST request and nothing else.

    The body has the fields of every protocol's errors.
    """
    head = data.find(b"\r\n\r\n")
    if head < 0 or not data.startswith(b"POST "):
        return None
    length = _LENGTH.search(data, 0, head + 2)
    if length is None or len(data) != head + 4 + int(length[1]):
        return None
    known = _ID.search(data, 0, head + 2)
    request_id = new_id() if known is None else known[1].decode("ascii")
    message = f"More requests come than can be answered: ask again in {excess_s:.2f} s."
    of_openai = data.find(b"/v1/", 0, data.find(b"\r\n")) >= 0
    body = (_OPENAI if of_openai else _OTHERS).replace("{message}", message)  # which needs no escapes
    return (
        f"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"retry-after: {max(1, round(excess_s))}\r\nretry-after-ms: {round(excess_s * 1e3)}\r\n"
        f"x-request-id: {request_id}\r\n\r\n{body}"
    ).encode()


class Joining:
    """A transport that sends the head of an answer together with what follows it at once: one packet, and one wake-up
    of whoever waits for it. What follows later does not hold it up."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head: bytes | None = None
        self._begun = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._begun:
            self._begun, self._head = True, data
            self._loop.call_soon(self._flush)
            return
        head, self._head = self._head, None
        self._transport.write(data if head is None else head + data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._transport.write(head)


def guarded(
    arrive_s: float, excess_s: Callable[[str], float] = lambda _: 0.0, refused: Callable[[], None] = lambda: None
) -> type[asyncio.Protocol]:
    """The protocol.

    Args:
        arrive_s: seconds for a request to arrive, its body included.
        excess_s: when a client, by its address, may ask again that would be refused now; 0: it is to be read.
        refused: called for each request that is refused unread.
    """

    class Guarded(HttpToolsProtocol):  # type: ignore[misc, unused-ignore]  # uvicorn need not be installed
        """`_due`: when a request that is on its way must be here; never: none is. One timer looks at it, and again as
        late as it may: one for each request would cost more than its route. `_idle`: the last one was refused unread.
        """

        _timer: asyncio.TimerHandle | None = None
        _due = math.inf
        _header_bytes = 0
        _idle = False
        _address = "local"

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._address = str((self.client or ("local",))[0])
            self._expect()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.cycle is None or self.cycle.response_complete:
                if (
                    not self._header_bytes
                    and (late_s := excess_s(self._address))
                    and (answer := refusal_of(data, late_s))
                ):
                    refused()
                    self._expect()  # or the connection would stay for ever, as uvicorn knows of no request
                    self._idle = True
                    self.transport.write(answer)
                    return
                if self._due == math.inf or self._idle:
                    self._expect()
                self._idle = False
            super().data_received(data)

        def on_message_begin(self) -> None:
            self._header_bytes = 0
            super().on_message_begin()

        def on_url(self, url: bytes) -> None:
            self._count(len(url))
            super().on_url(url)

        def on_header(self, name: bytes, value: bytes) -> None:
            self._count(len(name) + len(value))
            super().on_header(name, value)

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            if self.cycle is not None and not isinstance(self.cycle.transport, Joining):
                self.cycle.transport = Joining(self.cycle.transport, self.loop)  # type: ignore[assignment, unused-ignore]

        def on_message_complete(self) -> None:
            self._header_bytes = 0
            self._due = math.inf
            super().on_message_complete()

        def _count(self, size: int) -> None:
            self._header_bytes += size
            if self._header_bytes > MOST_HEADER_BYTES:
                self.transport.abort()

        def _expect(self) -> None:
            self._due = self.loop.time() + arrive_s
            if self._timer is None:
                self._timer = self.loop.call_at(self._due, self._look)

        def _look(self) -> None:
            self._timer = None
            if self._due <= self.loop.time():
                self.transport.abort()
            elif self._due < math.inf:
                self._timer = self.loop.call_at(self._due, self._look)

    return Guarded
