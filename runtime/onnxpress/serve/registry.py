"""The models of a server by name: what each is doing, opened when it is asked for, closed when room is needed.

Everything here runs on the event loop; models are opened and closed in a thread of their own, one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxpress.engine.choice import for_many
from onnxpress.errors import OnnxpressError, OutOfMemory
from onnxpress.serve.by_load import IDLE_S, ByLoad
from onnxpress.serve.compute import ComputeThread
from onnxpress.serve.errors import NotReady, UnknownModel
from onnxpress.serve.memory import FILES_TO_MEMORY, expected_bytes, free_bytes, settle, settle_again
from onnxpress.serve.metrics import Metrics
from onnxpress.serve.served import ServedModel, State, VersionUse
from onnxpress.serve.settings import ModelSettings, ServerSettings
from onnxpress.serve.step_times import StepTimer, StepTimes
from onnxpress.serve.versions import Version, open_version
from onnxpress.suggestions import did_you_mean

_LOG = logging.getLogger("onnxpress.serve")

#: How often artifacts are looked at for changes, and models for idleness, seconds.
WATCH_S = 2.0

#: Names that clients send who have none to send.
_NAMELESS = ("", "dummy", "tei", "default")

#: How long a request waits for a model that is being opened, seconds.
_PATIENCE_S = 30.0


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

    def use(self, model: ServedModel) -> VersionUse:
        """The version that answers a request which begins now; it stays open until the request ends.

        Entering it raises NotReady: it is being opened, or cannot be.
        """
        return VersionUse(model, self._begin_use, self._end_use)

    async def _begin_use(self, model: ServedModel) -> Version:
        version = model.version if model.state is State.READY else None
        if version is None:
            version = await self._awaited(model)
        if model.by_load is not None:
            version = self._by_load(model, model.by_load)
        version.uses += 1
        model.used = time.monotonic()
        return version

    def _end_use(self, model: ServedModel, version: Version) -> None:
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
        for version in model.versions:
            self._retire(version)
        model.version, model.by_load, model.state, model.problem = None, None, State.CLOSED, None
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
        replaced = model.versions
        self._begin(model, new)
        model.stamp = stamp
        for version in replaced:
            self._retire(version)
        _LOG.info("artifact reloaded", extra={"model": model.name})

    async def close(self) -> None:
        """Close everything; nothing is answered any more."""
        self._closing = True
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        for version in [version for model in self.models.values() for version in model.versions]:
            self._forget(version)
            await asyncio.get_running_loop().run_in_executor(self._opener, version.close)
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
        model.state, model.used = State.READY, time.monotonic()
        self._begin(model, version)
        self._metrics.loaded.labels(model.name).set(1)
        return version

    async def _in_opener(self, model: ServedModel) -> Version:
        def opened() -> Version:
            version = self._version(model.name, model.asked)
            settle()
            return version

        return await asyncio.get_running_loop().run_in_executor(self._opener, opened)

    def _version(self, name: str, asked: ModelSettings) -> Version:
        threads = self._thread, self._aside
        return open_version(name, asked, *threads, self._settings, self._metrics, self._free_bytes)

    def _begin(self, model: ServedModel, version: Version) -> None:
        """Answer by a version from now on."""
        model.version, model.problem, model.bytes = version, None, version.bytes
        main, asked, second = version.main, model.asked, None
        if version.writing is not None and asked.lock is None and not self._settings.deterministic:
            second = for_many(main.manifest, main.precision, asked.precision, main.session.device)
        model.by_load = None if second is None else ByLoad(version, second, self._settings.streams)

    def _by_load(self, model: ServedModel, by_load: ByLoad) -> Version:
        """The variant for a request that begins now. The second one is opened if it is wanted."""
        now = time.monotonic()
        version = by_load.pick(now)
        if by_load.wanted(now):
            by_load.opening = True
            self._spawn(self._open_second(model, by_load))
        return version

    async def _open_second(self, model: ServedModel, by_load: ByLoad) -> None:
        """Open the second variant of a model, and time it unless that was done; keep it where it is of use."""
        names = {"model": model.name, "variant": by_load.second}
        try:
            self._check_fits(model, by_load)
            version, times = await asyncio.get_running_loop().run_in_executor(
                self._opener, lambda: self._second(model, by_load)
            )
        except OnnxpressError as error:
            by_load.failed(str(error), time.monotonic())
            _LOG.warning("variant for many texts cannot be opened", extra={**names, "why": str(error)})
            return
        finally:
            by_load.opening = False
        is_of_use = by_load.timed(*times) if times else True
        if model.by_load is not by_load or not is_of_use:  # or it was closed, or opened anew, meanwhile
            self._retire(version)
        else:
            by_load.version, by_load.used = version, time.monotonic()
        _LOG.info("variant for many texts tried", extra={**names, "why": by_load.why, "kept": is_of_use})

    def _second(self, model: ServedModel, by_load: ByLoad) -> tuple[Version, list[StepTimes]]:
        """The second variant, and the times of both unless they are known."""
        asked, first = replace(model.asked, precision=by_load.second), by_load.first
        version = self._version(model.name, asked)
        try:
            if by_load.crossover is not None:
                times = []
            else:
                times = StepTimer(self._thread, (first.main, version.main), by_load.most).measure()
            if first.writing is not None and version.writing is not None:
                first.writing.share(version.writing)
            settle()
        except BaseException:
            self._forget(version)
            version.close()
            raise
        return version, times

    def _check_fits(self, model: ServedModel, by_load: ByLoad) -> None:
        """Raises:
        OutOfMemory: there is no room for the second variant beside what is open; nothing is closed for it.
        """
        needed = int(by_load.first.main.manifest.variants[by_load.second].bytes * FILES_TO_MEMORY)
        free = self._free_bytes()
        if free is not None and needed > free:
            raise OutOfMemory(f"{by_load.second} takes about {needed / 1e6:.0f} MB, and {free / 1e6:.0f} are free")

    def _free_bytes(self) -> int | None:
        """What models may take beside those that are open; None where nobody knows. For any thread."""
        ceiling = self._settings.memory_bytes
        if ceiling is None:
            return free_bytes()
        return ceiling - sum(other.taken_bytes for other in self.models.values())

    def _close_second(self, model: ServedModel) -> int:
        """Close the second variant if nobody uses it; the bytes that it took."""
        by_load = model.by_load
        if by_load is None or by_load.version is None or by_load.version.uses:
            return 0
        version = by_load.version
        by_load.close()
        _LOG.info("variant for many texts closed", extra={"model": model.name, "variant": by_load.second})
        self._retire(version)
        return version.bytes + version.apart.bytes

    def _make_room(self, model: ServedModel) -> None:
        """Close models that nobody uses, the longest unused first, until another fits under the ceiling.

        Raises:
            OutOfMemory: it does not fit.
        """
        ceiling = self._settings.memory_bytes
        if ceiling is None:
            return
        needed = model.bytes or expected_bytes(model.asked.artifact)
        open_now = [other for other in self.models.values() if other.version is not None]
        taken = sum(other.taken_bytes for other in open_now)
        for other in open_now:
            if taken + needed > ceiling:
                taken -= self._close_second(other) + sum(
                    version.apart.let_go() for version in other.versions if not version.uses
                )
        self._aside.wake()
        for other in sorted(open_now, key=lambda other: other.used):
            if taken + needed <= ceiling:
                break
            if not any(version.uses for version in other.versions):
                _LOG.info("model closed for another", extra={"model": other.name, "other": model.name})
                taken -= other.taken_bytes
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
        for lane in (version.aside, version.apart):
            self._aside.remove(lane)

    async def _closed(self, version: Version) -> None:
        self._forget(version)
        await asyncio.get_running_loop().run_in_executor(self._opener, version.close)
        del version
        settle_again()

    async def _opened_quietly(self, model: ServedModel) -> None:
        with contextlib.suppress(OnnxpressError):  # `problem` tells
            await self.open(model)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            self._aside.wake()
            now = time.monotonic()
            for model in self.models.values():
                version, idle_s = model.version, model.asked.unload_after_s
                uses = sum(version.uses for version in model.versions)
                if model.by_load is not None and now - model.by_load.used > IDLE_S:
                    self._close_second(model)
                if version is not None and idle_s is not None and not uses and now - model.used > idle_s:
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
