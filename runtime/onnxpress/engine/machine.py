"""Describes the processor, and counts the cores that this process may really use.

A container often sees all cores of its host and may use the time of two. Starting a thread for each visible core
then makes every matrix product slower. The count here is the smallest of the affinity mask and the cgroup quotas.
This module knows nothing of models.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC_CGROUP = Path("/proc/self/cgroup")
CPUINFO = Path("/proc/cpuinfo")


def usable_cores(root: Path = CGROUP_ROOT, membership: Path = PROC_CGROUP) -> int:
    """Cores this process may use: the affinity mask, capped by the CPU quota of its cgroup and of all parents.

    A quota of 1.5 cores gives 2 threads: one thread could not use what was paid for. Never less than 1.
    """
    quotas = [math.ceil(quota) for quota in _quotas(root, membership)]
    return max(1, min([allowed_cores(), *quotas]))


def allowed_cores() -> int:
    """Cores in the affinity mask of this process, whatever its quota."""
    # macOS and Windows have no affinity mask.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name() -> str:
    """The processor's name, as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


#: Name here -> the names that systems give it. What decides how fast products of matrices are, whatever the
#: processor's name: two with the same features run the same kernels.
FEATURES: Mapping[str, tuple[str, ...]] = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "avx512_vnni": ("avx512_vnni",),
    "avx_vnni": ("avx_vnni",),
    "amx": ("amx_int8", "amx_tile"),
    "neon": ("asimd", "neon"),
    "dotprod": ("asimddp",),
    "i8mm": ("i8mm",),
    "sve": ("sve",),
}

#: What all but the oldest processors have, where the system does not say.
_USUAL = {
    **dict.fromkeys(("x86_64", "amd64"), frozenset({"avx2"})),
    **dict.fromkeys(("arm64", "aarch64"), frozenset({"neon", "dotprod"})),
}


def features(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Which of FEATURES the processor has."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    listed = next((line.partition(":")[2] for line in lines if line.lower().startswith(("flags", "features"))), "")
    if listed:
        flags = set(listed.split())
        return frozenset(name for name, names in FEATURES.items() if flags.intersection(names))
    return _USUAL.get(platform.machine().lower(), frozenset())


def _quotas(root: Path, membership: Path) -> Iterator[float]:
    """Every CPU quota above this process, in cores. Source: the kernel's cgroup-v2.rst and sched-bwc.rst."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        version_2 = controllers == ""
        if not version_2 and "cpu" not in controllers.split(","):
            continue
        base = root if version_2 else root / "cpu"
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            folder = base.joinpath(*parts[:depth])
            quota = _quota_v2(folder) if version_2 else _quota_v1(folder)
            if quota is not None:
                yield quota


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        period = int((folder / "cpu.cfs_period_us").read_text())
        return None if quota <= 0 else quota / period
    except (OSError, ValueError, ZeroDivisionError):
        return None
