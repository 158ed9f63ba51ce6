"""What a process used: memory, energy, and the time that others took from it. Standard library only.

Each reading is None where the system does not tell. Knows nothing of backends.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RAPL = Path("/sys/class/powercap")
_CGROUP = Path("/sys/fs/cgroup")


def peak_memory_bytes() -> int:
    """The most memory that this process has had resident.

    Linux's `ru_maxrss` will not do: it starts with the peak of the process that started this one. VmHWM starts anew.
    """
    peak = _status_bytes("VmHWM")
    if peak is not None:
        return peak
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def memory_bytes() -> int | None:
    """What is resident now."""
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))
    except (OSError, StopIteration):
        return None


def cgroup_peak_bytes(membership: Path = Path("/proc/self/cgroup"), root: Path = _CGROUP) -> int | None:
    """The most memory that this process's cgroup has had, page cache included, since the cgroup was made: that of the
    container, with all in it."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        candidates = {
            "": root / path.lstrip("/") / "memory.peak",
            "memory": root / "memory" / path.lstrip("/") / "memory.max_usage_in_bytes",
        }
        file = candidates.get(controllers)
        if file is not None and file.is_file():
            try:
                return int(file.read_text())
            except (OSError, ValueError):
                continue
    return None


def energy_j(root: Path = RAPL) -> float | None:
    """Joules that the processor's packages have used since some moment, by RAPL. It wraps round, within minutes at the
    soonest; a reading lower than the one before is to be dropped."""
    total, known = 0.0, False
    for zone in sorted(root.glob("intel-rapl:*")):
        if zone.name.count(":") > 1:
            continue  # a part of a package that is counted already
        try:
            total += int((zone / "energy_uj").read_text()) / 1e6
            known = True
        except (OSError, ValueError):
            continue
    return total if known else None


def gpu_energy_j() -> float | None:
    """Joules that the first GPU has used since the driver was loaded, by NVML (package nvidia-ml-py)."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0))) / 1000
    except Exception:  # no package, no driver, no GPU, no such counter: all of them mean "not told"
        return None


@dataclass(frozen=True, slots=True)
class Reading:
    """Of one moment: seconds of wall time, of this process and of all processes; involuntary switches; energy."""

    wall_s: float
    own_s: float
    all_s: float | None
    stolen_s: float | None
    switches: int | None
    energy_j: float | None


def read() -> Reading:
    """Now."""
    busy, stolen = _processor_seconds()
    switches = None
    if sys.platform != "win32":
        import resource

        switches = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    return Reading(time.monotonic(), time.process_time(), busy, stolen, switches, energy_j())


def between(first: Reading, last: Reading) -> dict[str, float]:
    """What happened: `others_cores` (cores that other processes kept busy on average), `stolen_cores` (that the
    hypervisor gave to others), `switches_per_s` (times that another process pushed this one aside), `energy_j`."""
    wall = max(last.wall_s - first.wall_s, 1e-9)
    happened: dict[str, float] = {"wall_s": wall}
    if first.all_s is not None and last.all_s is not None:
        happened["others_cores"] = max(0.0, (last.all_s - first.all_s) - (last.own_s - first.own_s)) / wall
    if first.stolen_s is not None and last.stolen_s is not None:
        happened["stolen_cores"] = max(0.0, last.stolen_s - first.stolen_s) / wall
    if first.switches is not None and last.switches is not None:
        happened["switches_per_s"] = (last.switches - first.switches) / wall
    if first.energy_j is not None and last.energy_j is not None and last.energy_j >= first.energy_j:
        happened["energy_j"] = last.energy_j - first.energy_j
    return happened


def _processor_seconds() -> tuple[float | None, float | None]:
    """Seconds that all processors were busy, and that were stolen: proc(5), the line "cpu" of /proc/stat."""
    try:
        fields = [int(count) for count in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]]
    except (OSError, ValueError):
        return None, None
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, _, _, irq, soft, steal = fields[:8]
    return (user + nice + system + irq + soft) / tick, steal / tick


def spin_ms(rounds: int = 3) -> float:
    """Milliseconds of a fixed piece of work on one core, the fastest of `rounds`: grows when the processor slows down,
    by heat or by a neighbour."""

    def once() -> Iterator[float]:
        for _ in range(rounds):
            start = time.perf_counter()
            total = 0
            for i in range(200_000):
                total += i * i
            yield (time.perf_counter() - start) * 1000

    return min(once())
