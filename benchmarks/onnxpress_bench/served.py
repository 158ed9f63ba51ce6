"""A server in a process of its own: started, waited for, watched, and stopped by a signal. Knows no server's options.

Standard library only: it also runs in peers' environments.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: Seconds until a server must answer.
PATIENCE_S = 180.0

#: Between two looks at a server that is starting.
_LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers. `url`: without a path. `ready_s`: from the start of its process to its first answer."""

    url: str
    ready_s: float
    process: subprocess.Popen[bytes]

    def memory_bytes(self, kind: str = "VmRSS") -> int:
        """What is resident of it and of the processes that it started (Linux); `kind`: "RssAnon" for what is of no
        file."""
        kilobytes = 0
        for process in (self.process.pid, *_children(self.process.pid)):
            status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
            kilobytes += next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{kind}:"))
        return kilobytes * 1024


@contextmanager
def served(
    command: Callable[[int], Sequence[str]], ready: str, environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    """A server for as long as the context lasts.

    Args:
        command: from a free port, its command line behind that of this Python.
        ready: the path that answers 200 as soon as it can be asked.
        environment: variables beside those of this process.

    Raises:
        RuntimeError: it ended, or did not answer in time; what it said stands on standard error.
    """
    port = _free_port()
    url, start = f"http://127.0.0.1:{port}", time.perf_counter()
    arguments = [sys.executable, *command(port)]
    with subprocess.Popen(arguments, stdout=sys.stderr, env={**os.environ, **(environment or {})}) as process:
        try:
            while not _answers(url + ready):
                if process.poll() is not None or time.perf_counter() - start > PATIENCE_S:
                    raise RuntimeError(f"{' '.join(arguments[:4])} ... did not start")
                time.sleep(_LOOK_S)
            yield Served(url, time.perf_counter() - start, process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - an address of this machine
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _children(process: int) -> Iterator[int]:
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in map(int, (task / "children").read_text(encoding="ascii").split()):
            yield child
            yield from _children(child)
