"""Keep what dependencies print, warn and log off the terminal, in a file that can be read later.

Knows nothing of models. File descriptors 1 and 2 belong to the process: one thread at a time has them, and others
wait.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import IO, TextIO

from onnxpress.errors import InputError

#: Held by the thread whose output goes to a log.
_DESCRIPTORS = threading.RLock()


def _handlers_to_terminal() -> Iterator[logging.StreamHandler[TextIO]]:
    """Handlers of every logger that hold one of this process's standard streams.

    A handler that looks up `sys.stderr` each time (logging.lastResort, which `datasets` gives to its loggers) needs no
    redirection, and does not take one.
    """
    loggers = [logging.getLogger()]
    loggers += [entry for entry in logging.root.manager.loggerDict.values() if isinstance(entry, logging.Logger)]
    terminal = {sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__}
    for logger in loggers:
        for handler in logger.handlers:
            # One that keeps no stream, as logging's last resort and dill's, looks up sys.stderr at each record: it is
            # redirected with that, and cannot be set.
            if not isinstance(handler, logging.StreamHandler) or "stream" not in vars(handler):
                continue
            if handler.stream in terminal:
                yield handler


@contextmanager
def _descriptors_to(log: IO[str]) -> Iterator[int]:
    """Point file descriptors 1 and 2 at `log`; yield a descriptor of the real standard error."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    saved = (os.dup(1), os.dup(2))
    try:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        yield saved[1]
    finally:
        log.flush()
        os.dup2(saved[0], 1)
        os.dup2(saved[1], 2)
        os.close(saved[0])
        os.close(saved[1])


@contextmanager
def quiet(log_file: Path | None = None) -> Iterator[IO[str]]:
    """Send standard output, standard error, warnings and log records to `log_file` (appended; default: nowhere).

    Descriptors are redirected as well, so that C++ libraries are quiet too. Yields a text stream to
    the standard error as it was before, which is where a progress display may still write.

    Raises:
        InputError: `log_file` cannot be written.
    """
    target = Path(os.devnull) if log_file is None else log_file
    with _DESCRIPTORS, ExitStack() as stack:
        try:
            log = stack.enter_context(target.open("a", encoding="utf-8", errors="replace", buffering=1))
        except OSError as error:
            raise InputError(f"The log file {target} cannot be written ({error.strerror}). Choose another.") from None
        handlers = [(handler, handler.stream) for handler in _handlers_to_terminal()]
        terminal = stack.enter_context(_descriptors_to(log))
        display = stack.enter_context(os.fdopen(os.dup(terminal), "w", encoding="utf-8", errors="replace", buffering=1))
        stack.enter_context(redirect_stdout(log))
        stack.enter_context(redirect_stderr(log))
        # A dependency's warning is for the log, even where the caller made warnings errors.
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")

        def write_warning(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            log.write(warnings.formatwarning(message, category, filename, lineno, line))

        warnings.showwarning = write_warning
        for handler, _ in handlers:
            handler.setStream(log)
        try:
            yield display
        finally:
            for handler, stream in handlers:
                handler.setStream(stream)
