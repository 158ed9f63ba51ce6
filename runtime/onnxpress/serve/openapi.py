"""The OpenAPI document, made of the table of routes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import onnxpress
from onnxpress.pipelines.table import TASKS
from onnxpress.serve.routes import Route

#: What every route may answer beside its own.
_ERRORS = {
    "400": "The request is none of this route.",
    "401": "No API key, or one that is not known.",
    "404": "No such model.",
    "413": "More bytes, texts or tokens than are taken at once.",
    "415": "A body of another kind.",
    "421": "Another host's name.",
    "422": "An input that the model cannot take.",
    "429": "Enough work waits; Retry-After and retry-after-ms say for how long.",
    "500": "The server failed.",
    "503": "The model is being opened, or the server is going down.",
    "504": "The request's time was up.",
}


def document(routes: Sequence[Route], models: Sequence[str], *, keys: bool) -> Mapping[str, Any]:
    """OpenAPI 3.1, of a server with these models."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, models)
    content: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "onnxpress serve", "version": onnxpress.__version__},
        "paths": paths,
    }
    if keys:
        content["components"] = {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}
        content["security"] = [{"key": []}]
    return content


def _with_models(body: Mapping[str, Any], models: Sequence[str]) -> Mapping[str, Any]:
    """The schema of a body, with the names that its field "model" may have."""
    properties = body.get("properties", {})
    if "model" not in properties:
        return dict(body)
    return {**body, "properties": {**properties, "model": {"type": "string", "enum": list(models)}}}


def _operation(route: Route, models: Sequence[str]) -> Mapping[str, Any]:
    failed = {status: {"description": text} for status, text in _ERRORS.items()}
    kinds = {route.reply_type: {"schema": dict(route.reply)}} | {kind: {} for kind in route.other_replies}
    answered = {"description": "The answer.", "content": kinds}
    operation: dict[str, Any] = {"summary": route.about, "responses": {"200": answered, **failed}}
    if route.keyless:
        operation["security"] = []
    named = {"model": list(models), "task": sorted(TASKS)}
    parameters = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string"} | ({"enum": named[name]} if name in named else {}),
        }
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        content: dict[str, Any] = {route.body_type: {"schema": _with_models(route.body, models)}}
        content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in route.media_types}
        operation["requestBody"] = {"required": True, "content": content}
    return operation
