"""The ASGI application: one layer around every route, with ids, keys, limits, errors, metrics and the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from onnxpress.errors import Cancelled, OnnxpressError, TimeoutExceeded
from onnxpress.serve import shapes
from onnxpress.serve.answering import Figures
from onnxpress.serve.errors import NotReady, Overloaded
from onnxpress.serve.http import REQUEST_ID, HttpRequest, Message, Receive, Response, Send, new_id
from onnxpress.serve.keys import check_host, check_origin, client_of
from onnxpress.serve.protocols import ROUTES
from onnxpress.serve.routes import Route, Router
from onnxpress.serve.service import Exchange, Service
from onnxpress.serve.settings import ServerSettings
from onnxpress.serve.tracing import Tracer, tracer

_LOG = logging.getLogger("onnxpress.serve")

#: An id that a client may choose for its request.
_ID = re.compile(REQUEST_ID, re.ASCII)

_SECURE = {"x-content-type-options": "nosniff"}


class App:
    """The application of one server. `service` is there from its start to its end."""

    def __init__(self, settings: ServerSettings, routes: Sequence[Route] = ROUTES) -> None:
        self.settings = settings
        self.router = Router(routes)
        #: Whether the server is going down: it answers, and says to /ready that it should be asked no more.
        self.draining = False
        #: How many requests are in hand, those included that have not begun; the HTTP server knows.
        self.in_hand: Callable[[], int] = lambda: 0
        self._service: Service | None = None
        self._tracer: Tracer = tracer()

    @property
    def service(self) -> Service:
        """The server's parts.

        Raises:
            NotReady: the server has not started, or is down.
        """
        if self._service is None:
            raise NotReady("The server is not running.", retry_after_s=1.0)
        return self._service

    def excess_s(self, address: str) -> float:
        """When a client may ask again that would be refused now, whatever it asks for; 0: it is to be read."""
        if self._service is None:
            return 0.0
        late_s = self._service.pulse.excess_s(self.settings.waiting_s)
        if late_s or self.settings.api_keys:  # a key says whose share it is
            return late_s
        return self._service.full_s(address, self.in_hand() - self._service.metrics.answering)

    def refused_unread(self) -> None:
        """Count a request that was refused before anybody read it."""
        if self._service is not None:
            self._service.metrics.unread += 1

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._exchange(HttpRequest(scope, receive, self.settings.body_bytes), send)

    async def start(self) -> None:
        """Make the server's parts and begin to open models."""
        self._service = Service(self.settings, lambda: self.in_hand() == 1)
        self._service.registry.start()

    async def stop(self) -> None:
        """Let go of everything."""
        if self._service is not None:
            service, self._service = self._service, None
            await service.close()
        await asyncio.get_running_loop().run_in_executor(None, self._tracer.close)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _exchange(self, request: HttpRequest, send: Send) -> None:
        asked = request.headers.get("x-request-id", "")
        request.id = asked if asked and _ID.fullmatch(asked) else new_id()
        route: Route | None = None
        figures = Figures()
        sent = Sent(send, request.method == "HEAD")
        service = self.service
        service.draining = self.draining
        service.metrics.answering += 1
        try:
            check_host(request.headers, on_loopback=self.settings.on_loopback and not self.settings.no_auth)
            if request.method != "GET":
                check_origin(request.headers)
            route, params = self._routed(request)
            if route.method == "POST":
                service.pulse.check(self.settings.waiting_s)
            with self._tracer.span(f"{route.method} {route.path}", request.headers) as span:
                response = await route.handler(Exchange(service, request, params, figures))
                span.note(figures)
        except Exception as error:
            response = self._failed(error, shapes.openai if route is None else route.shape, request)
        response.headers = {**_SECURE, **_measured(figures), **response.headers, "x-request-id": request.id}
        try:
            await response.send(sent)
        except (OSError, asyncio.CancelledError):
            sent.status = sent.status or 499
            raise
        finally:
            service.metrics.answering -= 1
            self._note(request, route, figures, sent.status or response.status)

    def _routed(self, request: HttpRequest) -> tuple[Route, Any]:
        """The route, unless the client may not use it: nobody without a key learns which there are."""
        try:
            route, params = self.router.find(request.method, request.path)
        except OnnxpressError:
            client_of(request.headers, self.settings.api_keys, request.address)
            raise
        if route.keyless:
            request.client = request.address
        else:
            request.client = client_of(request.headers, self.settings.api_keys, request.address)
        return route, params

    def _failed(self, error: Exception, shape: shapes.Shape, request: HttpRequest) -> Response:
        reason = "error"
        if isinstance(error, Overloaded):
            reason = "overloaded"
        elif isinstance(error, TimeoutExceeded):
            reason = "expired"
        elif isinstance(error, Cancelled):
            reason = "left"
        elif isinstance(error, OnnxpressError) and error.status < 500:
            reason = "invalid"
        self.service.metrics.refused.labels(reason).inc()
        if reason == "error":
            _LOG.error("request failed", extra={"request_id": request.id}, exc_info=error)
        return shapes.error_response(error, shape, request.id)

    def _note(self, request: HttpRequest, route: Route | None, figures: Figures, status: int) -> None:
        seconds, name = time.monotonic() - request.arrived, "unknown" if route is None else route.path
        metrics = self.service.metrics
        metrics.request(name, status, seconds)
        if not _LOG.isEnabledFor(logging.INFO):
            return
        line: dict[str, Any] = {
            "request_id": request.id, "method": request.method, "route": name, "status": status,
            "ms": round(seconds * 1e3, 3), "client": request.client,
        }  # fmt: skip
        if figures.model:
            line |= {
                "model": figures.model, "task": figures.task, "variant": figures.variant, "tokens": figures.tokens,
                "rows": figures.rows, "batch_rows": figures.batch_rows, "queue_ms": round(figures.queue_s * 1e3, 3),
                "compute_ms": round(figures.compute_s * 1e3, 3), "prepare_ms": round(figures.prepare_s * 1e3, 3),
            }  # fmt: skip
        # Not `_LOG.info`, which looks for the line of code that calls it: half of what the entry costs.
        _LOG.handle(_LOG.makeRecord(_LOG.name, logging.INFO, __file__, 0, "request", (), None, extra=line))


class Sent:
    """Notes the status that is sent, and leaves out the body of an answer to HEAD."""

    def __init__(self, send: Send, headers_only: bool) -> None:
        self.status = 0
        self._send = send
        self._headers_only = headers_only

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif self._headers_only:
            message = {**message, "body": b""}
        await self._send(message)


def _measured(figures: Figures) -> dict[str, str]:
    """Where the time went, as browsers show it; what ran; what was cut."""
    if not figures.model:
        return {}
    headers = {
        "server-timing": f"prepare;dur={figures.prepare_s * 1e3:.3f}, queue;dur={figures.queue_s * 1e3:.3f}, "
        f"compute;dur={figures.compute_s * 1e3:.3f}",
        "x-model": figures.model,
        "x-variant": figures.variant,
        "x-tokens": str(figures.tokens),
        "x-batch-rows": str(figures.batch_rows),
    }
    if figures.cut:
        headers["x-truncated"] = ", ".join(
            f"{cut.input}.{cut.part}:{cut.tokens}>{cut.left}" for cut in figures.cut[:32]
        )
    return headers
