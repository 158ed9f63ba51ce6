"""Server-sent events: each a line of JSON. What goes wrong after the first is told in an event of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson

from onnxpress.errors import Cancelled, OnnxpressError
from onnxpress.serve import shapes
from onnxpress.serve.http import Response
from onnxpress.serve.service import Exchange
from onnxpress.serve.versions import Version

MEDIA_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"


def event(content: Any) -> bytes:
    """One event."""
    data: bytes = orjson.dumps(content)  # whose types are not there where it is not installed
    return b"data: " + data + b"\n\n"


async def streamed(
    exchange: Exchange,
    using: AbstractAsyncContextManager[Version],
    begin: Callable[[Version], Awaitable[AsyncIterator[Any]]],
    shape: shapes.Shape,
    last: bytes = b"",
) -> Response:
    """A response of events; the model stays open until the last one is sent.

    Args:
        begin: what is known to be wrong before the first event is raised by it, and has a status of its own.
        last: what is sent behind the last event.

    Raises:
        OnnxpressError: as of `begin`.
    """
    version = await using.__aenter__()
    try:
        contents = await begin(version)
    except BaseException:
        await using.__aexit__(None, None, None)
        raise

    async def body() -> AsyncIterator[bytes]:
        try:
            async for content in contents:
                yield event(content)
            if last:
                yield last
        except Cancelled:
            return
        except OnnxpressError as error:
            yield event(shape(shapes.problem_of(error, exchange.request.id)))
        finally:
            await using.__aexit__(None, None, None)

    return Response(body(), media_type=MEDIA_TYPE, headers={"cache-control": "no-cache"})
