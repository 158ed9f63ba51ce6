"""Traces, if OpenTelemetry is installed and OTEL_EXPORTER_OTLP_ENDPOINT, its own variable, says where to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from onnxpress.errors import MissingDependency
from onnxpress.serve.answering import Figures


class TraceSpan(Protocol):
    """What a trace has of one request."""

    def note(self, figures: Figures) -> None:
        """Add what the answer took."""


class Tracer(Protocol):
    """Opens a span for a request."""

    def span(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[TraceSpan]:
        """A span, a child of the one that the headers name."""

    def close(self) -> None:
        """Send what was not sent yet. Takes a while where nobody listens."""


class Untraced(AbstractContextManager[TraceSpan]):
    """Nothing is traced: the tracer, its span, and what opens it."""

    def span(self, name: str, headers: Mapping[str, str]) -> AbstractContextManager[TraceSpan]:
        return self

    def __enter__(self) -> TraceSpan:
        return self

    def __exit__(self, *raised: object) -> None:
        return None

    def note(self, figures: Figures) -> None:
        return None

    def close(self) -> None:
        return None


class Traced:
    """Spans of OpenTelemetry, with its own exporter and settings."""

    def __init__(self) -> None:
        try:
            from opentelemetry import propagate, trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise MissingDependency(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, and traces need OpenTelemetry: `pip install 'onnxpress[otel]'`."
            ) from error
        provider = TracerProvider(resource=Resource.create({"service.name": "onnxpress"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._provider: Any = provider
        self._propagate: Any = propagate
        self._kind: Any = trace.SpanKind.SERVER
        self._tracer: Any = provider.get_tracer("onnxpress.serve")

    @contextmanager
    def span(self, name: str, headers: Mapping[str, str]) -> Iterator[TraceSpan]:
        context = self._propagate.extract(dict(headers))
        with self._tracer.start_as_current_span(name, context=context, kind=self._kind) as span:
            yield _OpenSpan(span)

    def close(self) -> None:
        self._provider.shutdown()


class _OpenSpan:
    def __init__(self, span: Any) -> None:
        self._span = span

    def note(self, figures: Figures) -> None:
        for name in ("model", "task", "variant", "tokens", "rows", "batch_rows", "queue_s", "compute_s", "prepare_s"):
            self._span.set_attribute(f"onnxpress.{name}", getattr(figures, name))


def tracer() -> Tracer:
    """Where spans go: nowhere, unless the environment says where.

    Raises:
        MissingDependency: it says so, and OpenTelemetry is not installed.
    """
    wanted = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    return Traced() if any(os.environ.get(name) for name in wanted) else Untraced()
