"""Where the check runs: a GPU, or a processor that stands in for it in a rehearsal."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """`device`: as onnxpress and PyTorch both name it, "cuda:0" or "cpu"."""

    device: str
    rehearses: bool

    def wait(self) -> None:
        """Return when the device has done what it was told."""
        if not self.rehearses:
            import torch

            torch.cuda.synchronize(self.device)

    def used_bytes(self) -> int:
        """Bytes in use on the device, by all libraries of all processes; of a processor, this process's."""
        gc.collect()
        if self.rehearses:
            import psutil

            return int(psutil.Process().memory_info().rss)
        import torch

        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(self.device)
        return int(total - free)

    def compiled(self, model: Any) -> Any:
        """A model compiled by PyTorch for fixed shapes; a rehearsal traces it and compiles nothing."""
        import torch

        return torch.compile(model, dynamic=False, backend="eager" if self.rehearses else "inductor")

    def describe(self) -> dict[str, Any]:
        """The device's name, memory and software, for the record."""
        if self.rehearses:
            return {"device": self.device, "name": "a processor that stands in for a GPU"}
        import torch

        properties = torch.cuda.get_device_properties(self.device)
        return {
            "device": self.device,
            "name": properties.name,
            "memory_bytes": int(properties.total_memory),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
