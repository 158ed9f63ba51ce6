"""The parent's side of a worker: start it, hand it a job, read its answer or its last words.

Knows nothing of what the jobs are.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress_bench.errors import WorkerFailed

TIMEOUT_S = 1800.0

#: Libraries that start threads by themselves get the same number in every worker.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")

#: Files are local by now: no backend should lose time asking the Hub.
_QUIET = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TRANSFORMERS_VERBOSITY": "error"}


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python to run a worker with, and a folder that its packages are found in besides its own; None: ours."""

    executable: Path
    packages: Path | None = None


OURS = Interpreter(Path(sys.executable))


def ask(
    job: Mapping[str, Any],
    *,
    threads: int,
    offline: bool = True,
    timeout_s: float = TIMEOUT_S,
    interpreter: Interpreter = OURS,
) -> dict[str, Any]:
    """The answer of a fresh worker to `job`, which also learns when it was started (`spawned_at`, monotonic seconds).

    Raises:
        WorkerFailed: it ended without an answer, or took longer than `timeout_s`.
    """
    with Worker(job, threads=threads, offline=offline, interpreter=interpreter) as worker:
        return worker.answer(timeout_s)


class Worker:
    """A worker at work. Several may run at once; leaving the context ends one that has not answered."""

    def __init__(
        self, job: Mapping[str, Any], *, threads: int, offline: bool = True, interpreter: Interpreter = OURS
    ) -> None:
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads)), **(_QUIET if offline else {})}
        # Installers compile what they install. Our own source may lie in a working copy: its first worker compiles it.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if interpreter.packages is not None:
            environment |= {"PYTHONPATH": str(interpreter.packages), "PYTHONNOUSERSITE": "1"}
        # -P: nothing in the current folder may stand in for a library.
        command = [str(interpreter.executable), "-P", "-m", "onnxpress_bench.worker"]
        spawned_at = time.monotonic()
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
        self._given = json.dumps({**job, "spawned_at": spawned_at}).encode("ascii")

    def answer(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Wait for it.

        Raises:
            WorkerFailed: it ended without an answer, or took longer than `timeout_s`.
        """
        try:
            output, errors = self._process.communicate(self._given, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise WorkerFailed(f"no answer within {timeout_s:.0f} s") from None
        if self._process.returncode != 0:
            raise WorkerFailed(_last_words(self._process.returncode, errors))
        try:
            answer: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        except (ValueError, IndexError):
            raise WorkerFailed("it ended without an answer") from None
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        with self._process:  # closes the pipes and waits
            pass


def run_python(*arguments: str) -> None:
    """This Python with arguments: "-m", a module, and its own.

    Raises:
        RuntimeError: it failed; the message is the last line that it said.
    """
    done = subprocess.run([sys.executable, *arguments], capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(_last_words(done.returncode, done.stdout + b"\n" + done.stderr))


def _last_words(code: int, errors: bytes) -> str:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = ": perhaps out of memory" if name == "SIGKILL" else ""
        return f"killed by {name}{hint}"
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {code}"
