"""A server's parts, and one exchange with a client: what every route has in its hands."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from onnxpress.errors import InputError
from onnxpress.serve.answering import Answerer, Figures
from onnxpress.serve.compute import ComputeThread
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import HttpRequest
from onnxpress.serve.jobs import Terms
from onnxpress.serve.metrics import Metrics
from onnxpress.serve.pulse import Pulse
from onnxpress.serve.registry import Registry
from onnxpress.serve.served import ServedModel
from onnxpress.serve.settings import ServerSettings
from onnxpress.serve.versions import Version

_LOG = logging.getLogger("onnxpress.serve")

Value = TypeVar("Value")

#: Threads for what would hold up the event loop: encoding long texts, opening pictures.
_POOL_THREADS = 2

#: Arguments of calls that are the server's to say, not a request's: limits, files and objects of this process.
_NOT_FOR_REQUESTS = frozenset(
    ("batch_size", "budget_tokens", "read_ahead", "on_error", "timeout", "cancel", "progress", "num_workers",
     "streamer", "tokenizer", "allow_urls", "max_pixels", "chat_template", "return_tensors", "framework", "device",
     "language_model")
)  # fmt: skip

#: Arguments that a caller of a pipeline may pass as the path of a file.
_NO_FILES = frozenset(("words",))


class Service:
    """Everything that one server has. Made inside the event loop.

    Args:
        alone: whether no more than one request is being answered.
    """

    def __init__(self, settings: ServerSettings, alone: Callable[[], bool] = lambda: False) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.thread, self.aside = ComputeThread(), ComputeThread("onnxpress-aside", niceness=19)
        self.registry = Registry(settings, self.thread, self.aside, self.metrics)
        self.pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="onnxpress-prepare")
        self.answerer = Answerer(self.pool, alone)
        self.pulse = Pulse()
        self._watching = asyncio.ensure_future(self.pulse.watch())
        self.started = time.time()
        #: Whether the server is going down: it answers, and says to /ready that it should be asked no more.
        self.draining = False

    def full_s(self, client: str, arriving: int) -> float:
        """When a client may ask again, if no model lets its work wait now; otherwise 0. `arriving`: requests that are
        let in and have not begun."""
        least_s = float("inf")
        for model in self.registry.models.values():
            version = model.version
            if version is None or len(version.lanes) > 1:  # its other work waits elsewhere
                return 0.0
            if not (excess_s := version.lane.waiting.excess_s(client, bulk=False, arriving=arriving)):
                return 0.0
            least_s = min(least_s, excess_s)
        return least_s if self.registry.models else 0.0

    def gauge(self) -> None:
        """Bring the gauges up to date."""
        self.metrics.busy.set(self.thread.busy_s + self.aside.busy_s)
        self.metrics.behind.set(self.pulse.behind_s)
        for model in self.registry.models.values():
            seconds, rows = model.queued
            self.metrics.model_bytes.labels(model.name).set(model.taken_bytes)
            if (texts := model.texts) is not None:
                self.metrics.writing(model.name, texts)
            self.metrics.queue_seconds.labels(model.name).set(seconds)
            self.metrics.queue_rows.labels(model.name).set(rows)

    async def close(self) -> None:
        """Let go of models and threads."""
        self._watching.cancel()
        await self.registry.close()
        for thread in (self.thread, self.aside):
            await asyncio.get_running_loop().run_in_executor(None, thread.close)
        self.pool.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True)
class Exchange:
    """One request and what is known of it. `params`: the parts of its address that a route names."""

    service: Service
    request: HttpRequest
    params: Mapping[str, str]
    figures: Figures = field(default_factory=Figures)
    warnings: list[str] = field(default_factory=list)

    @property
    def settings(self) -> ServerSettings:
        """The server's."""
        return self.service.settings

    def model(self, tasks: Sequence[str], name: Any = None) -> ServedModel:
        """The model that is meant: by the address, or else by `name`; or the first for one of these tasks.

        Raises:
            UnknownModel: there is none.
            RequestError: the name is no text.
        """
        chosen = self.params.get("model", name)
        if chosen is not None and not isinstance(chosen, str):
            raise RequestError(f"model is {chosen!r:.60}; it must be the name of a model.")
        return self.service.registry.serving(tasks, chosen)

    def terms(self, timeout_s: float | None = None, priority: str | None = None) -> Terms:
        """On what terms it is answered.

        Raises:
            RequestError: as of `HttpRequest.terms`.
        """
        return self.request.terms(self.settings.request_timeout_s, timeout_s, priority)

    async def answer(
        self,
        version: Version,
        task: str,
        inputs: Sequence[Any],
        options: Mapping[str, Any],
        *,
        truncate: bool = False,
        terms: Terms | None = None,
    ) -> list[Any]:
        """A result for each input.

        Raises:
            OnnxpressError: as of `Answerer.answer`; InputError: an option that is not a request's to say.
        """
        return await self.service.answerer.answer(
            *(version, task, inputs, options, terms or self.terms(), self.request.left, self.figures),
            truncate=truncate,
        )

    async def in_pool(self, work: Callable[[], Value]) -> Value:
        """Do what would hold up the event loop in another thread."""
        return await asyncio.get_running_loop().run_in_executor(self.service.pool, work)


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse arguments of calls that are not a request's to say.

    Raises:
        InputError: which.
    """
    for name, value in options.items():
        if name in _NOT_FOR_REQUESTS or (name in _NO_FILES and isinstance(value, str)):
            raise InputError(f"{name!r} is not for a request to say; the server decides it.")
        if isinstance(value, Mapping) and name.endswith("kwargs"):
            check_options(value)


def task_of(version: Version, tasks: Sequence[str]) -> str:
    """The first of these tasks that a version serves.

    Raises:
        RequestError: it serves none of them.
    """
    for task in tasks:
        if version.serves(task):
            return task
    raise RequestError(
        f"{version.name} is for {', '.join(version.pipelines)}, not for {' or '.join(tasks)}: name another model.",
        code="wrong_task",
    )
