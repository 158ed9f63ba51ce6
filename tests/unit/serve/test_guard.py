"""What is refused unread: whole requests alone, with an answer that every client can read."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("httptools")

from uvicorn import Config
from uvicorn.server import ServerState

from onnxpress.serve.guard import Joining, guarded, refusal_of

BODY = b'{"input": "a"}'
HEAD = b"POST %s HTTP/1.1\r\nhost: localhost\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("path", [b"/v1/embeddings", b"/models/m/v1/chat/completions", b"/embed"])
def test_a_whole_request_is_told_when_to_ask_again(path: bytes) -> None:
    answer = refusal_of(HEAD % (path, len(BODY)) + BODY, 2.5)
    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 429 ") and b"retry-after: 2\r\nretry-after-ms: 2500" in head
    assert b"content-length: %d\r\n" % len(body) in head
    error = json.loads(body)["error"]
    assert (error["code"] if b"/v1/" in path else error[:4]) in ("rate_limit_exceeded", "More")


def test_its_id_is_the_clients_or_a_new_one() -> None:
    def told(header: bytes) -> bytes:
        data = HEAD % (b"/embed", len(BODY)) + BODY
        answer = refusal_of(data.replace(b"\r\nhost", b"\r\n" + header + b"\r\nhost", 1), 1.0)
        assert answer is not None
        return answer.partition(b"x-request-id: ")[2].partition(b"\r\n")[0]

    assert told(b"X-Request-Id: mine-1:a/b") == b"mine-1:a/b"
    for none_of_the_clients in (b"accept: x", b"x-request-id: a b", b"x-request-id: " + b"a" * 200):
        assert len(told(none_of_the_clients)) == 32


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST /embed HTT",
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n",
        HEAD % (b"/embed", len(BODY) + 1) + BODY,
        HEAD % (b"/embed", len(BODY) - 1) + BODY,
        b"POST /embed HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_anything_else_is_read(data: bytes) -> None:
    assert refusal_of(data, 1.0) is None


class Wire:
    """A transport that notes what is sent together."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.extra = "info"

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.sent.append(b"closed")


def sent(act: Callable[[Joining], None], then: Callable[[Joining], None] = lambda _: None) -> list[bytes]:
    """What goes over the wire when these things are done, and when the loop has turned between them."""

    async def turn() -> list[bytes]:
        wire = Wire()
        joining = Joining(wire, asyncio.get_running_loop())  # type: ignore[arg-type]
        act(joining)
        await asyncio.sleep(0)
        then(joining)
        await asyncio.sleep(0)
        return wire.sent

    return asyncio.run(turn())


def test_a_head_goes_with_the_body_that_follows_at_once() -> None:
    def answer(wire: Joining) -> None:
        for part in (b"head", b"body", b"more"):
            wire.write(part)

    assert sent(answer) == [b"headbody", b"more"]


def test_a_head_does_not_wait_for_what_comes_later() -> None:
    assert sent(lambda wire: wire.write(b"head"), lambda wire: wire.write(b"event")) == [b"head", b"event"]


def test_a_head_is_sent_before_the_connection_is_closed() -> None:
    def answer(wire: Joining) -> None:
        wire.write(b"head")
        wire.close()
        assert wire.extra == "info"

    assert sent(answer) == [b"head", b"closed"]


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The least of applications."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_requests_in_time_are_answered_for_ever_and_one_that_drips_in_is_not() -> None:
    """Several requests within the time of one, a pause that is longer than it, and then one that does not end."""

    async def talk() -> float:
        loop, state = asyncio.get_running_loop(), ServerState()
        config = Config(hello, http=guarded(0.2), lifespan="off", log_config=None)  # type: ignore[arg-type]
        config.load()
        protocol: Any = config.http_protocol_class
        server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for pause_s in (0.0, 0.15, 0.15, 0.4, 0.0):
            await asyncio.sleep(pause_s)
            writer.write(HEAD % (b"/embed", len(BODY)) + BODY)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.1)  # the timer of the request before looks while this one is on its way
        writer.write(b"POST /embed HTTP/1.1\r\nhost: ")
        began, ended = loop.time(), asyncio.ensure_future(reader.read())
        while not ended.done() and loop.time() < began + 5.0:
            await asyncio.sleep(0.02)
            writer.write(b"a")
        took_s = loop.time() - began
        assert ended.done() and (ended.exception() is not None or ended.result() == b"")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return took_s

    assert 0.1 < asyncio.run(talk()) < 2.0
