"""Errors in the shape that a protocol's clients read. One row for each protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxpress.errors import ArtifactError, HubError, OnnxpressError
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import Response, json_response

#: What OpenAI's clients and TEI's call a status.
_TYPES = {
    401: ("authentication_error", "validation"),
    404: ("not_found_error", "validation"),
    413: ("invalid_request_error", "validation"),
    429: ("rate_limit_error", "overloaded"),
    499: ("cancelled", "incomplete_generation"),
    503: ("service_unavailable_error", "overloaded"),
    504: ("timeout_error", "backend"),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, as every shape needs it."""

    message: str
    status: int
    code: str | None = None

    @property
    def types(self) -> tuple[str, str]:
        """OpenAI's name and TEI's."""
        usual = ("invalid_request_error", "validation") if self.status < 500 else ("server_error", "backend")
        return _TYPES.get(self.status, usual)


Shape = Callable[[Problem], Mapping[str, Any]]


def openai(problem: Problem) -> Mapping[str, Any]:
    """{"error": {"message", "type", "param", "code"}}."""
    return {"error": {"message": problem.message, "type": problem.types[0], "param": None, "code": problem.code}}


def tei(problem: Problem) -> Mapping[str, Any]:
    """{"error", "error_type"}: of text-embeddings-inference and the Hub's clients."""
    return {"error": problem.message, "error_type": problem.types[1]}


def cohere(problem: Problem) -> Mapping[str, Any]:
    """{"message"}, and for Jina's and TEI's clients on the same address "detail" and "error"."""
    return {"message": problem.message, "detail": problem.message, "error": problem.message}


def plain(problem: Problem) -> Mapping[str, Any]:
    """{"error": text}: of the Open Inference Protocol."""
    return {"error": problem.message}


def problem_of(error: Exception, request_id: str) -> Problem:
    """What a client may know of an error: the text of our own, unless it names files of this machine."""
    if isinstance(error, OnnxpressError) and not isinstance(error, (ArtifactError, HubError)):
        return Problem(str(error), error.status, getattr(error, "code", None))
    return Problem(f"The server failed. Its log has the reason, under the request id {request_id}.", 500)


def error_response(error: Exception, shape: Shape, request_id: str) -> Response:
    """An error as a response; with when to ask again, and whether at all: some clients try everything three times."""
    problem = problem_of(error, request_id)
    headers = {}
    seconds = error.retry_after_s if isinstance(error, RequestError) else None
    if seconds is not None:
        headers = {"retry-after": str(max(1, round(seconds))), "retry-after-ms": str(max(1, round(seconds * 1e3)))}
    elif problem.status >= 500:
        headers = {"x-should-retry": "false"}
    if problem.status == 401:
        headers["www-authenticate"] = 'Bearer realm="onnxpress", Basic realm="onnxpress"'
    return json_response(shape(problem), problem.status, headers)
