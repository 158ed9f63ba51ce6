"""How many threads a run has, and whether they spin: wait for more work with a core that they keep from others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum

from onnxpress.engine.machine import allowed_cores, usable_cores
from onnxpress.errors import InputError

#: What says how many threads a run has, unless the call that opens a model does. Ours first.
THREADS, OPENMP_THREADS = "ONNXPRESS_THREADS", "OMP_NUM_THREADS"

#: The most that may be asked for: what a process cannot start ends it, or ends in a message about memory.
MOST_THREADS = 4096

#: What says whether threads spin: 1 or 0. Unset: where it pays.
SPINNING = "ONNXPRESS_SPINNING"


class Spinning(Enum):
    """Whether threads spin, as entries of ONNX Runtime's configuration of a session."""

    ALWAYS = ()
    WITHIN_RUNS = (("session.force_spinning_stop", "1"),)
    NEVER = (("session.intra_op.allow_spinning", "0"),)


def default_threads(environ: Mapping[str, str] = os.environ) -> int:
    """Threads of a run: what the environment says, or else the cores that this process may use.

    Raises:
        InputError: ONNXPRESS_THREADS is no positive integer. Of OMP_NUM_THREADS, which is OpenMP's and may be a list,
            the first number counts; what is none is left to others.
    """
    ours = environ.get(THREADS, "").strip()
    if ours:
        if not ours.isdecimal() or not 1 <= int(ours) <= MOST_THREADS:
            raise InputError(f"{THREADS} is {ours!r}; it must be a positive integer, at most {MOST_THREADS}.")
        return int(ours)
    first = environ.get(OPENMP_THREADS, "").partition(",")[0].strip()
    if first.isdecimal() and int(first) > 0:
        return int(first)
    return usable_cores()


def spinning_of(threads: int, *, alternates: bool, crowded: bool, environ: Mapping[str, str] = os.environ) -> Spinning:
    """Whether the threads of a graph spin (docs/decisions/0015-threads.md, 0034-one-process-many-pipelines.md).

    Args:
        alternates: its runs alternate with those of other graphs.
        crowded: other pipelines of this process, or other processes like it, want the cores, too.

    Raises:
        InputError: ONNXPRESS_SPINNING is neither 0 nor 1.
    """
    said = environ.get(SPINNING, "").strip()
    if said not in ("", "0", "1"):
        raise InputError(f"{SPINNING} is {said!r}; it must be 0 or 1.")
    # A quota counts the time of threads that spin: what they waste stops the whole process for the rest of a period.
    if said == "0" or (not said and (crowded or usable_cores() < min(threads, allowed_cores()))):
        return Spinning.NEVER
    return Spinning.WITHIN_RUNS if alternates else Spinning.ALWAYS
