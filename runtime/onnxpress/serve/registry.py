"""The models of a server by name: what each is doing, opened when it is asked for, closed when room is needed.

Everything here runs on the event loop; models are opened and closed in a thread of their own, one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from onnxpress.errors import OnnxpressError, OutOfMemory
from onnxpress.pipelines.text_generation import TextGeneration
from onnxpress.serve.compute import ComputeThread
from onnxpress.serve.errors import NotReady, UnknownModel
from onnxpress.serve.metrics import Metrics
from onnxpress.serve.settings import ModelSettings, ServerSettings
from onnxpress.serve.versions import Version, open_version
from onnxpress.suggestions import did_you_mean

_LOG = logging.getLogger("onnxpress.serve")

#: How often artifacts are looked at for changes, and models for idleness, seconds.
WATCH_S = 2.0

#: What a model takes beside its files before anything is known of it.
_FILES_TO_MEMORY = 1.3

#: Names that clients send who have none to send.
_NAMELESS = ("", "dummy", "tei", "default")

#: How long a request waits for a model that is being opened, seconds.
_PATIENCE_S = 30.0


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
    #: What it took when it was open last.
    bytes: int = 0

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
                "bytes": self.version.bytes,
                "opened_s": round(self.version.opened_s, 3),
            }
        if self.version is not None and isinstance(self.version.main, TextGeneration):
            status["chat"] = bool(self.version.main.chat.templates)
        if self.version is not None and self.version.writing is not None:
            texts = self.version.writing.state
            status |= {
                "texts": texts.texts,
                "texts_waiting": texts.waiting,
                "held_tokens": texts.held_tokens,
                "kept_tokens": texts.kept_tokens,
            }
        if self.problem is not None:
            status["problem"] = type(self.problem).__name__
        return status


class Registry:
    """The models of a server."""

    def __init__(self, settings: ServerSettings, thread: ComputeThread, aside: ComputeThread, metrics: Metrics) -> None:
        self.models: Mapping[str, ServedModel] = {
            name: ServedModel(name, asked) for name, asked in settings.models.items()
        }
        self._settings = settings
        self._thread, self._aside = thread, aside
        self._metrics = metrics
        self._opener = ThreadPoolExecutor(max_workers=1, thread_name_prefix="onnxpress-open")
        self._background: set[asyncio.Task[object]] = set()
        self._closing = False

    def start(self) -> None:
        """Begin to open what is not lazy, and to watch."""
        for model in self.models.values():
            model.stamp = _stamp(model.asked)
            if not model.asked.lazy:
                self._spawn(self._opened_quietly(model))
        self._spawn(self._watch())

    @property
    def ready(self) -> bool:
        """Whether every model that is not lazy is open."""
        return all(model.asked.lazy or model.state is State.READY for model in self.models.values())

    def named(self, name: str) -> ServedModel:
        """A model by its name.

        Raises:
            UnknownModel: there is none.
        """
        if (model := self.models.get(name)) is None:
            hint = did_you_mean(name, self.models) or f" There are: {', '.join(self.models)}."
            raise UnknownModel(f"There is no model {name!r:.80}.{hint}")
        return model

    def serving(self, tasks: Iterable[str], name: str | None = None) -> ServedModel:
        """The model that a request means: the one it names; of one that names none, the first that serves a task.

        A name that means nothing ("dummy", "tei") is none, where only one model could be meant.

        Raises:
            UnknownModel: there is none.
        """
        wanted = tuple(tasks)
        if name is not None and name in self.models:
            return self.models[name]
        able = [model for model in self.models.values() if self._may_serve(model, wanted)]
        if name in (None, *_NAMELESS) and able:
            return able[0]
        if name is not None and name not in _NAMELESS:
            return self.named(name)
        raise UnknownModel(f"No model here is for {' or '.join(wanted)}; there are: {', '.join(self.models)}.")

    @contextlib.asynccontextmanager
    async def use(self, model: ServedModel) -> AsyncIterator[Version]:
        """The version that answers a request which begins now; it stays open until the request ends.

        Raises:
            NotReady: it is being opened, or cannot be.
        """
        version = model.version if model.state is State.READY else None
        if version is None:
            version = await self._awaited(model)
        version.uses += 1
        model.used = time.monotonic()
        try:
            yield version
        finally:
            version.uses -= 1
            model.used = time.monotonic()
            if version.retired and not version.uses:
                self._spawn(self._closed(version))

    async def open(self, model: ServedModel) -> Version:
        """Open a model unless it is open.

        Raises:
            OnnxpressError: it cannot be opened.
        """
        if model.version is not None and model.state is State.READY:
            return model.version
        if model.opening is None:
            model.opening = asyncio.ensure_future(self._open(model))
        return await asyncio.shield(model.opening)

    def unload(self, model: ServedModel) -> None:
        """Close a model when its requests have ended; the next request for it opens it again."""
        if model.version is not None:
            self._retire(model.version)
        model.version, model.state, model.problem = None, State.CLOSED, None
        self._metrics.loaded.labels(model.name).set(0)

    async def reload(self, model: ServedModel) -> None:
        """Open an artifact anew, and then let go of the old version; if it cannot be opened, the old one stays."""
        old, stamp = model.version, _stamp(model.asked)
        if old is None:
            return
        try:
            new = await self._in_opener(model)
        except OnnxpressError as error:
            model.problem, model.stamp = error, stamp
            _LOG.error("artifact changed and cannot be opened", extra={"model": model.name, "why": str(error)})
            return
        if model.version is not old:  # it was unloaded meanwhile
            self._retire(new)
            return
        model.version, model.problem, model.stamp, model.bytes = new, None, stamp, new.bytes
        self._retire(old)
        _LOG.info("artifact reloaded", extra={"model": model.name})

    async def close(self) -> None:
        """Close everything; nothing is answered any more."""
        self._closing = True
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for model in self.models.values():
            if model.version is not None:
                self._forget(model.version)
                await asyncio.get_running_loop().run_in_executor(self._opener, model.version.close)
        self._opener.shutdown(wait=False, cancel_futures=True)

    def _may_serve(self, model: ServedModel, tasks: tuple[str, ...]) -> bool:
        if model.version is not None:
            return any(model.version.serves(task) for task in tasks)
        return model.asked.task in (None, *tasks)

    async def _awaited(self, model: ServedModel) -> Version:
        try:
            return await asyncio.wait_for(self.open(model), _PATIENCE_S)
        except TimeoutError:
            raise NotReady(f"{model.name} is still being opened: ask again.", retry_after_s=2.0) from None
        except OutOfMemory as error:
            raise NotReady(str(error), retry_after_s=5.0) from error
        except OnnxpressError as error:
            raise NotReady(
                f"{model.name} cannot be opened ({type(error).__name__}); the server's log says why.",
                retry_after_s=30.0,
            ) from error

    async def _open(self, model: ServedModel) -> Version:
        model.state, model.stamp = State.LOADING, _stamp(model.asked)
        try:
            self._make_room(model)
            version = await self._in_opener(model)
        except OnnxpressError as error:
            model.state, model.problem = State.FAILED, error
            _LOG.error("model cannot be opened", extra={"model": model.name, "why": str(error)})
            raise
        except BaseException:
            model.state = State.FAILED
            raise
        finally:
            model.opening = None
        model.version, model.state, model.problem, model.bytes = version, State.READY, None, version.bytes
        model.used = time.monotonic()
        self._metrics.loaded.labels(model.name).set(1)
        self._metrics.model_bytes.labels(model.name).set(version.bytes)
        return version

    async def _in_opener(self, model: ServedModel) -> Version:
        def opened() -> Version:
            threads = self._thread, self._aside
            return open_version(model.name, model.asked, *threads, self._settings, self._metrics)

        return await asyncio.get_running_loop().run_in_executor(self._opener, opened)

    def _make_room(self, model: ServedModel) -> None:
        """Close models that nobody uses, the longest unused first, until another fits under the ceiling.

        Raises:
            OutOfMemory: it does not fit.
        """
        ceiling = self._settings.memory_bytes
        if ceiling is None:
            return
        needed = model.bytes or int(_file_bytes(model.asked) * _FILES_TO_MEMORY)
        open_now = [other for other in self.models.values() if other.version is not None]
        taken = sum(other.bytes for other in open_now)
        for other in sorted(open_now, key=lambda other: other.used):
            if taken + needed <= ceiling:
                break
            if other.version is not None and not other.version.uses:
                _LOG.info("model closed for another", extra={"model": other.name, "other": model.name})
                taken -= other.bytes
                self.unload(other)
        if taken + needed > ceiling:
            raise OutOfMemory(
                f"{model.name} takes about {needed / 1e6:.0f} MB; others that are in use take {taken / 1e6:.0f} of the "
                f"{ceiling / 1e6:.0f} MB that models may have. Ask again, or start the server with a higher --memory."
            )

    def _retire(self, version: Version) -> None:
        version.retired = True
        if not version.uses:
            self._spawn(self._closed(version))

    def _forget(self, version: Version) -> None:
        for lane in version.lanes:
            self._thread.remove(lane)
        self._aside.remove(version.aside)

    async def _closed(self, version: Version) -> None:
        self._forget(version)
        await asyncio.get_running_loop().run_in_executor(self._opener, version.close)

    async def _opened_quietly(self, model: ServedModel) -> None:
        with contextlib.suppress(OnnxpressError):  # `problem` tells
            await self.open(model)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            now = time.monotonic()
            for model in self.models.values():
                version, idle_s = model.version, model.asked.unload_after_s
                if version is not None and idle_s is not None and not version.uses and now - model.used > idle_s:
                    _LOG.info("model closed, unused", extra={"model": model.name})
                    self.unload(model)
                elif self._settings.reload and version is not None and _stamp(model.asked) not in (None, model.stamp):
                    await self.reload(model)

    def _spawn(self, work: Coroutine[Any, Any, object]) -> None:
        if self._closing:
            work.close()
            return
        task: asyncio.Task[object] = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _stamp(asked: ModelSettings) -> tuple[int, int] | None:
    """What changes when an artifact's manifest is written anew; None: it is no folder here, or is being replaced."""
    try:
        manifest = (Path(asked.artifact).expanduser() / "onnxpress.json").stat()
    except OSError:
        return None
    return manifest.st_mtime_ns, manifest.st_ino


def _file_bytes(asked: ModelSettings) -> int:
    """The bytes of an artifact's largest graph; 0 where it is no folder here."""
    folder = Path(asked.artifact).expanduser() / "onnx"
    return max((path.stat().st_size for path in folder.glob("*.onnx*")), default=0)
