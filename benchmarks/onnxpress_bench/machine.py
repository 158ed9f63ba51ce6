"""What the figures were measured on: the machine, how busy it was, and the versions of everything that ran.

Knows nothing of models.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from onnxpress.engine.machine import features, processor_name, usable_cores

PACKAGES = ("onnxpress", "onnxruntime", "tokenizers", "numpy", "torch", "transformers")

#: Other processes may use this share of the usable cores before the report calls the machine busy.
BUSY_SHARE = 0.15

_CPU = Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class Machine:
    """`load_average` is of the last minute, `busy_share` of the second before the run: 1 means all usable cores.

    `affinity`: the cores that the process may run on. `features`: those of the processor that decide how fast products
    are, as `onnxpress.engine.machine` names them; none in records from before they were kept. The power state, as far
    as the system tells: the `governor` of the clock, whether it may `boost` above its nominal rate, whether the machine
    runs `on_battery`.
    """

    processor: str
    cores: int
    usable_cores: int
    memory_bytes: int
    system: str
    load_average: float
    busy_share: float
    affinity: tuple[int, ...] = ()
    threads_per_core: int | None = None
    frequency_mhz: float | None = None
    governor: str | None = None
    boost: bool | None = None
    on_battery: bool | None = None
    virtual: bool | None = None
    gpu: str | None = None
    features: tuple[str, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether other processes were at work when the run began."""
        return self.busy_share > BUSY_SHARE or self.load_average > 2 * BUSY_SHARE * self.usable_cores


def describe_machine() -> Machine:
    """This machine, now. Takes a second, to see what else runs."""
    import psutil

    cores = os.cpu_count() or 1
    usable = usable_cores()
    busy_cores = psutil.cpu_percent(interval=1.0) / 100 * cores
    physical = psutil.cpu_count(logical=False)
    clock = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    boost = _read(_CPU / "cpufreq" / "boost")
    no_turbo = _read(_CPU / "intel_pstate" / "no_turbo")
    return Machine(
        processor=processor_name(),
        cores=cores,
        usable_cores=usable,
        memory_bytes=int(psutil.virtual_memory().total),
        system=f"{platform.system()} {platform.machine()}",
        load_average=round(float(psutil.getloadavg()[0]), 2),
        busy_share=round(min(1.0, busy_cores / usable), 2),
        affinity=tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else (),
        threads_per_core=cores // physical if physical else None,
        frequency_mhz=round(float(clock.current)) if clock else None,
        governor=_read(_CPU / "cpu0" / "cpufreq" / "scaling_governor"),
        boost=boost == "1" if boost else (no_turbo == "0" if no_turbo else None),
        on_battery=None if battery is None else not battery.power_plugged,
        virtual=_virtual(),
        gpu=_gpu(),
        features=tuple(sorted(features())),
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _virtual() -> bool | None:
    """Whether a hypervisor is below, which hides heat and neighbours."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return None
    return "hypervisor" in flags.split() if "flags" in flags else None


def _gpu() -> str | None:
    """The first GPU that NVIDIA's driver knows."""
    files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = files[0].read_text(encoding="utf-8").splitlines() if files else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("Model:")), None)


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions, without importing anything."""
    installed = {"python": platform.python_version()}
    for package in packages:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
