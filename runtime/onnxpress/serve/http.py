"""Requests and responses: the little of HTTP that lies between ASGI and the routes.

A body is read with a limit, JSON with a depth; who asks, until when and how urgently is in the headers.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs

import orjson

from onnxpress.serve.errors import RequestError, TooLarge, WrongMediaType
from onnxpress.serve.jobs import Priority, Terms
from onnxpress.serve.multipart import SentForm, parse_form

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

#: How deep the JSON of a body may be nested.
MOST_DEPTH = 64

JSON = "application/json"

#: What an id may be that a client chooses for its request.
REQUEST_ID = r"[\w.:/+=-]{1,128}"

#: Of ids that the server gives: what the process drew when it began, and a number. To draw each anew takes longer than
#: to find its route.
_BEGIN, _NUMBERS = secrets.token_hex(8), itertools.count()

#: Headers with which a client says how long it waits, and how many of them make a second.
_TIMEOUTS = {"x-request-timeout-ms": 1e3, "x-request-timeout": 1.0, "x-stainless-read-timeout": 1.0}


def new_id() -> str:
    """An id for a request that has none."""
    return f"{_BEGIN}{next(_NUMBERS):016x}"


@dataclass(slots=True)
class Response:
    """What is sent: bytes, or chunks of them one after the other."""

    body: bytes | AsyncIterator[bytes] = b""
    status: int = 200
    media_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, send: Send) -> None:
        """Send it."""
        whole = self.body if isinstance(self.body, bytes) else None
        headers = {"content-type": self.media_type, **self.headers}
        if whole is not None:
            headers["content-length"] = str(len(whole))
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": raw})
        if not isinstance(self.body, bytes):
            async for chunk in self.body:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": whole or b""})


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Anything that results are made of as JSON; arrays of numbers in the shortest form that reads back the same."""
    body: bytes = orjson.dumps(content, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
    return Response(body, status, headers=dict(headers or {}))


class HttpRequest:
    """One request. `client`: whose share it uses. `id`: in the log and the answer."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, body_bytes: int) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[str, str] = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.query_string: bytes = scope.get("query_string", b"")
        self.address = str((scope.get("client") or ("local",))[0])
        self.arrived = time.monotonic()
        self.client = ""
        self.id = ""
        self._receive = receive
        self._body_bytes = body_bytes
        self._body: bytes | None = None

    @cached_property
    def query(self) -> dict[str, str]:
        """The last value of each parameter behind "?"."""
        parsed: dict[str, list[str]] = parse_qs(self.query_string.decode("latin-1"))
        return {name: values[-1] for name, values in parsed.items()}

    @property
    def media_type(self) -> str:
        """Of the body, without its parameters."""
        kind: str = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind

    async def body(self, most_bytes: int | None = None) -> bytes:
        """The body.

        Args:
            most_bytes: how many are read; None: as many as of any request.

        Raises:
            TooLarge: it has more bytes than are read.
            WrongMediaType: it is compressed.
        """
        if self._body is None:
            most = self._body_bytes if most_bytes is None else most_bytes
            if self.headers.get("content-encoding", "identity").lower() != "identity":
                raise WrongMediaType("A compressed body is not read here: send it as it is.")
            if int(self.headers.get("content-length") or 0) > most:
                raise _too_large(self.headers["content-length"], most)
            chunks, size = [], 0
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise RequestError("The client left before it had sent its request.")
                chunks.append(message.get("body", b""))
                size += len(chunks[-1])
                if size > most:
                    raise _too_large(str(size), most)
                if not message.get("more_body"):
                    break
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        """The body as JSON.

        Raises:
            RequestError: it is none, or is nested too deep.
            WrongMediaType: it is said to be something else.
        """
        if self.media_type not in ("", JSON) and not self.media_type.endswith("+json"):
            raise WrongMediaType(f"The body's content-type is {self.media_type!r}; it must be {JSON}.")
        return parse_json(await self.body())

    async def fields(self) -> dict[str, Any]:
        """The body as an object of JSON.

        Raises:
            RequestError: it is none.
        """
        content = await self.json()
        if not isinstance(content, dict):
            raise RequestError(f"The body must be an object of JSON, not {type(content).__name__}.")
        return content

    async def form(self, most_bytes: int) -> SentForm:
        """The body as a form that carries files.

        Raises:
            WrongMediaType, RequestError, TooLarge: as of `parse_form`, and of `body`.
        """
        return parse_form(self.headers.get("content-type", ""), await self.body(most_bytes))

    async def left(self) -> None:
        """Wait until the client is gone. After the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            await asyncio.sleep(0)

    def terms(self, most_s: float, timeout_s: float | None = None, priority: str | None = None) -> Terms:
        """On what terms it is answered: what its headers say, under the server's own limit.

        Raises:
            RequestError: a header is not what it should be.
        """
        seconds = [most_s, *([] if timeout_s is None else [timeout_s])]
        for name, of_a_second in _TIMEOUTS.items():
            if name in self.headers:
                try:
                    value = float(self.headers[name]) / of_a_second
                except ValueError:
                    value = -1.0
                if value > 0:
                    seconds.append(value)
                elif not name.startswith("x-stainless"):
                    raise RequestError(f"{name} is {self.headers[name][:40]!r}; it must be a positive number.")
        wanted = priority or self.headers.get("x-priority", "normal")
        chosen = Priority.named(wanted)
        if chosen is None:
            names = ", ".join(name.lower() for name in Priority.__members__)
            raise RequestError(f"The priority is {wanted[:40]!r}; it must be one of {names}.")
        return Terms(self.client, self.arrived + min(seconds), chosen)


def _too_large(size: str, most: int) -> TooLarge:
    return TooLarge(f"The body has {size[:20]} bytes, and {most} are read: send several requests.")


def parse_json(body: bytes) -> Any:
    """JSON, nested no deeper than `MOST_DEPTH`.

    Raises:
        RequestError: it is none.
    """
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"The body is no JSON ({str(error)[:120]}).") from None
    if body.count(b"[") + body.count(b"{") > MOST_DEPTH:
        _check_depth(content)
    return content


def _check_depth(content: Any) -> None:
    level, depth = [content], 0
    while level:
        depth += 1
        if depth > MOST_DEPTH:
            raise RequestError(f"The JSON of the body is nested deeper than {MOST_DEPTH} levels.")
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(part for part in value.values() if isinstance(part, (dict, list)))
            elif isinstance(value, list):
                inner.extend(part for part in value if isinstance(part, (dict, list)))
        level = inner


def _plain(value: Any) -> Any:
    """What orjson does not know: arrays in an order of their own, numpy's numbers, tuples' relatives, pictures."""
    if hasattr(value, "save") and hasattr(value, "size"):
        from onnxpress.serve.media import png_base64

        return png_base64(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
