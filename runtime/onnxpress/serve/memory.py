"""How much memory this process has, models take and the machine has left."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

from onnxpress.pipelines.base import Pipeline

#: What a model takes beside its files before anything is known of it.
FILES_TO_MEMORY = 1.3

#: The most that a group of processes may have, and what it has; Linux.
_GROUP = Path("/sys/fs/cgroup")


def resident_bytes() -> int:
    """The memory of this process; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def free_bytes() -> int | None:
    """What this process could take without anything having to go; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        return None
    try:
        most, taken = (int((_GROUP / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no group, or "max"
        return free
    return min(free, most - taken)


def variant_bytes(pipe: Pipeline[Any, Any]) -> int:
    """The bytes of the files of the variant that runs: what a model takes at least."""
    graphs = [path for path in pipe.session.graphs.values() if isinstance(path, Path)]
    beside = {path for graph in graphs for path in graph.parent.glob(f"{graph.name}_data*")}
    return sum(path.stat().st_size for path in {*graphs, *beside} if path.is_file())


def expected_bytes(artifact: str) -> int:
    """What an artifact may take that was never open, by its largest graph; 0 where it is no folder here."""
    folder = Path(artifact).expanduser() / "onnx"
    largest = max((path.stat().st_size for path in folder.glob("*.onnx*")), default=0)
    return int(largest * FILES_TO_MEMORY)


def settle() -> None:
    """Let the garbage collector look through what lives as long as models do for the last time.

    Otherwise it waits until a quarter of that much was made anew, some megabytes, and then looks through all of it,
    while nobody is answered.
    """
    gc.freeze()


def settle_again() -> None:
    """The same after a model was closed: what it left is freed."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
