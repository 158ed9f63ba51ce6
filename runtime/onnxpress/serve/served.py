"""A model of a server: its name, what is opened under it, and how that is going."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from functools import reduce
from operator import add

from onnxpress.errors import OnnxpressError
from onnxpress.pipelines.text_generation import TextGeneration
from onnxpress.serve.by_load import ByLoad
from onnxpress.serve.metrics import LaneState
from onnxpress.serve.settings import ModelSettings
from onnxpress.serve.versions import Version


class State(Enum):
    """What a model is doing."""

    CLOSED = "closed"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


@dataclass(eq=False, slots=True)
class ServedModel:
    """A name, what is opened under it, and how that is going. `problem`: why the last opening failed."""

    name: str
    asked: ModelSettings
    state: State = State.CLOSED
    version: Version | None = None
    problem: OnnxpressError | None = None
    used: float = 0.0
    opening: asyncio.Task[Version] | None = None
    stamp: tuple[int, int] | None = None
    #: What it took when it was open last; without the second variant.
    bytes: int = 0
    #: The second variant of a model that writes, where there is one that may be faster with many texts.
    by_load: ByLoad | None = None

    @property
    def versions(self) -> list[Version]:
        """What is open, and answers what is asked from now on."""
        if self.by_load is not None:
            return self.by_load.versions
        return [] if self.version is None else [self.version]

    @property
    def taken_bytes(self) -> int:
        """What it takes now."""
        second = None if self.by_load is None else self.by_load.version
        first = 0 if self.version is None else self.bytes
        return first + (0 if second is None else second.bytes) + sum(version.apart.bytes for version in self.versions)

    @property
    def texts(self) -> LaneState | None:
        """The texts that it writes; None: it writes none."""
        states = [version.writing.state for version in self.versions if version.writing is not None]
        return reduce(add, states) if states else None

    @property
    def queued(self) -> tuple[float, int]:
        """The seconds that what waits is expected to take, and how many rows that is."""
        queues = [queue for version in self.versions for queue in version.queues]
        texts = self.texts
        seconds, rows = (0.0, 0) if texts is None else (texts.waiting_s, texts.waiting)
        return seconds + sum(queue.seconds for queue in queues), rows + sum(len(queue) for queue in queues)

    def status(self) -> dict[str, object]:
        """For /ready and /info; without paths of this machine."""
        status: dict[str, object] = {"state": self.state.value}
        if self.version is not None:
            main = self.version.main
            status |= {
                "task": main.task,
                "tasks": list(self.version.pipelines),
                "variant": main.precision,
                "why": main.choice.reason,
                "device": main.device,
                "threads": getattr(main.session, "used_threads", None),
                "bytes": self.taken_bytes,
                "opened_s": round(self.version.opened_s, 3),
            }
        if self.version is not None and isinstance(self.version.main, TextGeneration):
            status["chat"] = bool(self.version.main.chat.templates)
        if (texts := self.texts) is not None:
            status |= {
                "texts": texts.texts,
                "texts_waiting": texts.waiting,
                "held_tokens": texts.held_tokens,
                "kept_tokens": texts.kept_tokens,
            }
        if self.by_load is not None:
            status["by_load"] = self.by_load.status()
        if self.problem is not None:
            status["problem"] = type(self.problem).__name__
        return status


class VersionUse(AbstractAsyncContextManager[Version]):
    """`async with` it: the version of a model that answers a request, for as long as the context lasts.

    A class, for a generator as the context of every request costs as much as finding its route.
    """

    __slots__ = ("_begin", "_end", "_model", "_version")

    def __init__(
        self,
        model: ServedModel,
        begin: Callable[[ServedModel], Awaitable[Version]],
        end: Callable[[ServedModel, Version], None],
    ) -> None:
        self._model, self._begin, self._end = model, begin, end

    async def __aenter__(self) -> Version:
        self._version = await self._begin(self._model)
        return self._version

    async def __aexit__(self, *raised: object) -> None:
        self._end(self._model, self._version)
