"""The HTTP protocol of a connection, with deadlines: a request that does not arrive in time costs a connection no more.

uvicorn has none for a request that drips in. A silent connection is closed when the time of a request's header is up.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Bytes of a request's line and headers.
MOST_HEADER_BYTES = 32 * 2**10


def guarded(arrive_s: float) -> type[asyncio.Protocol]:
    """The protocol with so many seconds for a request to arrive, its body included."""

    class Guarded(HttpToolsProtocol):  # type: ignore[misc, unused-ignore]  # uvicorn need not be installed
        """`_timer` runs while a request is on its way."""

        _timer: asyncio.TimerHandle | None = None
        _header_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._expect()

        def connection_lost(self, exc: Exception | None) -> None:
            self._arrived()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._timer is None and (self.cycle is None or self.cycle.response_complete):
                self._expect()
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

        def on_message_complete(self) -> None:
            self._arrived()
            super().on_message_complete()

        def _count(self, size: int) -> None:
            self._header_bytes += size
            if self._header_bytes > MOST_HEADER_BYTES:
                self.transport.abort()

        def _expect(self) -> None:
            self._arrived()
            self._timer = self.loop.call_later(arrive_s, self._late)

        def _arrived(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _late(self) -> None:
            self._timer = None
            self.transport.abort()

    return Guarded
