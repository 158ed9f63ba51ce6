"""What is counted, for Prometheus. One registry for each server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class LaneState:
    """The texts of a model now. `waiting`: requests without a place; `waiting_s`: how long it may take until the last
    of them has one. `held_tokens` are of texts that are read or written, `kept_tokens` of earlier ones."""

    texts: int
    waiting: int
    waiting_s: float
    held_tokens: int
    kept_tokens: int
    given_up: int

    def __add__(self, other: LaneState) -> LaneState:
        return LaneState(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


class Metrics:
    """The counters of a server; those of a model have its name as `model`."""

    def __init__(self) -> None:
        self._children: dict[tuple[object, ...], Any] = {}
        #: Requests that are being answered.
        self.answering = 0
        #: Requests that were refused unread, since they were last added to `refused`.
        self.unread = 0
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "onnxpress_requests", "Requests answered, by route and status.", ("route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "onnxpress_request_seconds", "From a request's headers to the end of its answer.", ("route",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge("onnxpress_requests_in_flight", "Requests that are being answered.", registry=registry)
        self.refused = Counter(
            "onnxpress_refused", "Requests that were not computed: overloaded, expired, left, and others.", ("reason",),
            registry=registry,
        )  # fmt: skip
        self.waited = Histogram(
            "onnxpress_wait_seconds", "From a request's place in the queue to its first batch.", ("model",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "onnxpress_batch_seconds", "What a batch took.", ("model",), buckets=_SECONDS, registry=registry
        )
        self.batch_rows = Histogram(
            "onnxpress_batch_rows", "Rows of a batch.", ("model",), buckets=_ROWS, registry=registry
        )
        self.units = Counter(
            "onnxpress_computed_tokens", "Tokens computed, or what costs as much; without padding.", ("model",),
            registry=registry,
        )  # fmt: skip
        self.padded_units = Counter(
            "onnxpress_padded_tokens", "Tokens computed, padding included.", ("model",), registry=registry
        )
        self.dropped_rows = Counter(
            "onnxpress_dropped_rows", "Rows that left the queue because nobody waited for them.", ("model",),
            registry=registry,
        )  # fmt: skip
        self.queue_seconds = Gauge(
            "onnxpress_queue_seconds", "Work that waits, as estimated: scale on this.", ("model",), registry=registry
        )
        self.queue_rows = Gauge("onnxpress_queue_rows", "Rows that wait.", ("model",), registry=registry)
        self.first_token = Histogram(
            "onnxpress_first_token_seconds", "From a text's request to its first token.", ("model",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.between_tokens = Histogram(
            "onnxpress_between_tokens_seconds", "From one token of a text to the next.", ("model",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.prompt_tokens = Counter(
            "onnxpress_prompt_tokens", "Tokens of the prompts of texts that began.", ("model",), registry=registry
        )
        self.found_tokens = Counter(
            "onnxpress_found_tokens", "Those of them that were not read, because an earlier text had.", ("model",),
            registry=registry,
        )  # fmt: skip
        self.written_tokens = Counter("onnxpress_written_tokens", "Tokens written.", ("model",), registry=registry)
        self.begun_texts = Counter(
            "onnxpress_begun_texts", "Texts asked for, by the variant that writes them.", ("model", "variant"),
            registry=registry,
        )  # fmt: skip
        self.texts = Gauge("onnxpress_texts", "Texts being read or written.", ("model",), registry=registry)
        self.held_tokens = Gauge(
            "onnxpress_held_tokens", "Tokens whose keys and values they hold.", ("model",), registry=registry
        )
        self.kept_tokens = Gauge(
            "onnxpress_kept_tokens", "Tokens kept of earlier texts.", ("model",), registry=registry
        )
        self.given_up = Gauge(
            "onnxpress_given_up_texts", "How often a text gave its memory up, to be read again.", ("model",),
            registry=registry,
        )  # fmt: skip
        self.busy = Gauge(
            "onnxpress_busy_seconds", "Seconds that the computing thread has computed; its rate is the utilization.",
            registry=registry,
        )  # fmt: skip
        self.behind = Gauge(
            "onnxpress_loop_behind_seconds", "How late the event loop comes to what is due.", registry=registry
        )
        self.loaded = Gauge("onnxpress_model_ready", "1: the model is open.", ("model",), registry=registry)
        self.model_bytes = Gauge("onnxpress_model_bytes", "Memory that a model takes.", ("model",), registry=registry)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._child(self.requests, route, str(status)).inc()
        self._child(self.seconds, route).observe(seconds)

    def batch(self, model: str, rows: int, units: int, padded: int, seconds: float) -> None:
        """Count a batch that was computed."""
        self._child(self.batch_seconds, model).observe(seconds)
        self._child(self.batch_rows, model).observe(rows)
        self._child(self.units, model).inc(units)
        self._child(self.padded_units, model).inc(padded)

    def wait(self, model: str, seconds: float) -> None:
        """Count a request whose first row was computed after so long."""
        self._child(self.waited, model).observe(seconds)

    def writing(self, model: str, state: LaneState) -> None:
        """Bring the gauges of the texts that a model writes up to date."""
        self.texts.labels(model).set(state.texts)
        self.held_tokens.labels(model).set(state.held_tokens)
        self.kept_tokens.labels(model).set(state.kept_tokens)
        self.given_up.labels(model).set(state.given_up)

    def _child(self, metric: Any, *labels: str) -> Any:
        """A metric with its labels, which are looked up once: labels come from tables of routes and models alone."""
        key = (id(metric), *labels)
        if (child := self._children.get(key)) is None:
            child = self._children[key] = metric.labels(*labels)
        return child

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        self.in_flight.set(self.answering)
        unread, self.unread = self.unread, 0
        self._child(self.refused, "overloaded").inc(unread)
        content: bytes = generate_latest(self.registry)
        return content
