"""What the figures were measured on: the machine, how busy it was, and the versions of everything that ran.

Knows nothing of models.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from onnxpress.machine import processor_name, usable_cores

PACKAGES = ("onnxpress", "onnxruntime", "tokenizers", "numpy", "torch", "transformers")

#: Other processes may use this share of the usable cores before the report calls the machine busy.
BUSY_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Machine:
    """`load_average` is of the last minute, `busy_share` of the second before the run: 1 means all usable cores."""

    processor: str
    cores: int
    usable_cores: int
    memory_bytes: int
    system: str
    load_average: float
    busy_share: float

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
    return Machine(
        processor=processor_name(),
        cores=cores,
        usable_cores=usable,
        memory_bytes=int(psutil.virtual_memory().total),
        system=f"{platform.system()} {platform.machine()}",
        load_average=round(float(psutil.getloadavg()[0]), 2),
        busy_share=round(min(1.0, busy_cores / usable), 2),
    )


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Installed versions, without importing anything."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
