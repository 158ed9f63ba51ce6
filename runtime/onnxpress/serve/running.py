"""Runs an application: sockets, TLS, signals, and a quiet end."""

from __future__ import annotations

import asyncio
import logging
import sys
from types import FrameType
from typing import Any

from onnxpress.errors import MissingDependency
from onnxpress.serve.settings import ServerSettings

_LOG = logging.getLogger("onnxpress.serve")

#: Connections that the system holds while the event loop is busy.
_BACKLOG = 2048


def run(settings: ServerSettings) -> None:
    """Serve until a signal says otherwise.

    Raises:
        InputError: as of `ServerSettings.check`.
        MissingDependency: what serving needs is not installed.
        OSError: the address cannot be had.
    """
    settings.check()
    check_installed()
    asyncio.run(serve(settings))


async def serve(settings: ServerSettings) -> None:
    """Serve in a running event loop, until a signal says otherwise."""
    server = make_server(settings)
    await server.serve()
    if not server.started:  # uvicorn has logged why
        sys.exit(1)


def check_installed() -> None:
    """Raises:
    MissingDependency: what serving needs is not installed.
    """
    try:
        import httptools  # noqa: F401
        import orjson  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingDependency(
            f"To serve, {error.name} is needed and not installed: `pip install 'onnxpress[serve]'`."
        ) from error


def make_server(settings: ServerSettings) -> Any:
    """uvicorn's server of our application."""
    import uvicorn

    from onnxpress.serve.app import App
    from onnxpress.serve.guard import guarded

    app = App(settings)

    class Draining(uvicorn.Server):  # type: ignore[misc, unused-ignore]  # uvicorn need not be installed
        """On the first signal /ready says no; the sockets close when load balancers have had time to see it."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            first = app.draining is False
            app.draining = True
            if first and settings.drain_delay_s > 0 and self.started:
                _LOG.info("draining", extra={"seconds": settings.drain_delay_s})
                asyncio.get_event_loop().call_later(settings.drain_delay_s, super().handle_exit, sig, frame)
                return
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,  # type: ignore[arg-type, unused-ignore]
        host=settings.host,
        port=settings.port,
        uds=settings.uds,
        http=guarded(settings.header_timeout_s, app.excess_s, app.refused_unread),  # type: ignore[arg-type, unused-ignore]
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    server = Draining(config)
    # Requests that came at the same moment are tasks before the first of them begins.
    app.in_hand = lambda: len(server.server_state.tasks)
    return server
