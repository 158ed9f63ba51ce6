"""Keeps the output of huggingface_hub off stderr, except one progress bar. A part of `hub`, which alone uses it."""

from __future__ import annotations

import logging
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from onnxpress.errors import MissingDependency

_QUIET_S = 2.0


class _Silence:
    """While any call runs: no warnings, and nothing from the log handler that the library installs on stderr.

    Its log records still reach handlers that the application has set up. Both switches belong to the whole process,
    so calls in several threads share one setting, made by the first and undone by the last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._calls += 1
            if self._calls > 1:
                return
            self._undo.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            import huggingface_hub.utils.logging  # noqa: F401 - installs the handler

            for handler in logging.getLogger("huggingface_hub").handlers:
                if type(handler) is logging.StreamHandler:
                    handler.addFilter(_drop)
                    self._undo.callback(handler.removeFilter, _drop)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._calls -= 1
            if self._calls == 0:
                self._undo.close()


def _drop(record: logging.LogRecord) -> bool:
    return False


SILENCE = _Silence()


@contextmanager
def library() -> Iterator[None]:
    """Keep the library quiet in this block; MissingDependency where it is not installed."""
    try:
        import huggingface_hub  # noqa: F401 - imports nothing but its own version
    except ImportError as error:
        raise MissingDependency(
            "Models on the Hub need huggingface_hub: pip install huggingface_hub. Or give a local folder."
        ) from error
    with SILENCE:
        yield


@contextmanager
def bars_on_a_terminal() -> Iterator[None]:
    """Let the library draw its own bars in this block, but on a terminal alone."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if sys.stderr.isatty() or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def progress_bar(title: str) -> Iterator[Any]:
    """A stand-in for the tqdm class of `snapshot_download`, which makes three bars of it.

    Only the bar of the bytes on disk is shown, on a terminal, after two seconds; it is gone when the block ends.
    """
    from huggingface_hub.utils import are_progress_bars_disabled  # type: ignore[attr-defined]
    from tqdm import tqdm

    opened: list[tqdm[Any]] = []
    off = True if are_progress_bars_disabled() else None  # None: off unless stderr is a terminal

    class Bar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *_: object, **settings: Any) -> None:
            bytes_on_disk = settings.get("unit") == "B" and settings.get("desc") != "Downloading bytes"
            super().__init__(
                total=settings.get("total"),
                desc=title,
                unit="B",
                unit_scale=True,
                delay=_QUIET_S,
                leave=False,
                disable=off if bytes_on_disk else True,
            )
            opened.append(self)

        def refresh(self, *arguments: Any, **settings: Any) -> None:
            """Draw, but not before the delay is over: tqdm itself delays only `update`."""
            if not self.disable and time.time() >= self.start_t + _QUIET_S:
                super().refresh(*arguments, **settings)

        def set_description(self, *_: object, **__: object) -> None:
            """Keep the title, whatever the library would write there."""

        set_description_str = set_postfix_str = set_description

    Bar.set_lock(threading.RLock())  # the default one starts a process
    try:
        yield Bar
    finally:
        for bar in opened:
            bar.close()
