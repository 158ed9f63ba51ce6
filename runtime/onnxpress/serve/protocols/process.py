"""How the server is: alive, ready, measured, described; and the page."""

from __future__ import annotations

import onnxpress
from onnxpress.serve import metrics
from onnxpress.serve.http import Response, json_response
from onnxpress.serve.page import page, policy
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import OBJECT
from onnxpress.serve.served import State
from onnxpress.serve.service import Exchange


async def health(exchange: Exchange) -> Response:
    """Answers whatever else the process does."""
    return json_response({"status": "ok"})


async def ready(exchange: Exchange) -> Response:
    """200 when everything that was asked for is open and the server is not going down; 503 with what is missing."""
    service = exchange.service
    models = service.registry.models.values()
    is_ready = service.registry.ready and not service.draining
    content = {
        "ready": is_ready,
        "draining": service.draining,
        "waiting_for": [model.name for model in models if not model.asked.lazy and model.state is not State.READY],
        "models": {model.name: model.status() for model in models},
    }
    return json_response(content, 200 if is_ready else 503, {} if is_ready else {"retry-after": "1"})


async def status(exchange: Exchange) -> Response:
    """What the page shows: the models, their queues, and the server's limits."""
    service = exchange.service
    models = {}
    for model in service.registry.models.values():
        entry = model.status()
        if model.version is not None:
            (seconds, rows), costs = model.queued, model.version.lane.waiting.costs
            entry |= {
                "queue_seconds": round(seconds, 4),
                "queue_rows": rows,
                "batch_ms": round(costs.base_s * 1e3, 3),
                "token_us": round(costs.unit_s * 1e6, 3),
            }
        models[model.name] = entry
    settings = service.settings
    content = {
        "version": onnxpress.__version__,
        "ready": service.registry.ready,
        "draining": service.draining,
        "busy_seconds": round(service.thread.busy_s, 3),
        "models": models,
        "limits": {
            "batch_ms": settings.budget_ms,
            "waiting_s": settings.waiting_s,
            "rows": settings.most_rows,
            "body_bytes": settings.body_bytes,
            "request_timeout_s": settings.request_timeout_s,
        },
    }
    return json_response(content)


async def show_metrics(exchange: Exchange) -> Response:
    """For Prometheus."""
    exchange.service.gauge()
    return Response(exchange.service.metrics.text(), media_type=metrics.CONTENT_TYPE)


async def describe(exchange: Exchange) -> Response:
    """The OpenAPI document."""
    from onnxpress.serve.openapi import document
    from onnxpress.serve.protocols import ROUTES

    return json_response(document(ROUTES, list(exchange.settings.models), keys=bool(exchange.settings.api_keys)))


async def show_page(exchange: Exchange) -> Response:
    """The page."""
    headers = {"content-security-policy": policy(exchange.settings.framed_by)}
    return Response(page(), media_type="text/html; charset=utf-8", headers=headers)


ROUTES = (
    Route("GET", "/health", health, "Whether the process answers.", reply=OBJECT, keyless=True),
    Route("GET", "/ready", ready, "Whether every model is open; what is still loading.", reply=OBJECT),
    Route("GET", "/status", status, "Models, queues and limits, as the page shows them.", reply=OBJECT),
    Route("GET", "/metrics", show_metrics, "Metrics for Prometheus.", reply_type="text/plain"),
    Route("GET", "/openapi.json", describe, "This description.", reply=OBJECT),
    Route("GET", "/", show_page, "A page to try every model.", reply_type="text/html"),
)
