"""What a machine lacks for the check. Imports PyTorch and ONNX Runtime only when asked."""

from __future__ import annotations

from importlib.util import find_spec

PACKAGES = ("torch", "transformers", "onnxruntime")


def missing() -> list[str]:
    """What is not here, each with what to do about it; empty where the check can run."""
    absent = [name for name in PACKAGES if find_spec(name) is None]
    if absent:
        return [f"{name} is not installed: pip install '.[gpu,bench]' torch transformers" for name in absent]
    import onnxruntime
    import torch

    reasons = []
    if not torch.cuda.is_available():
        reasons.append("PyTorch sees no CUDA device: this machine has no NVIDIA GPU, or no driver for it")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        reasons.append(
            f"ONNX Runtime {onnxruntime.__version__} was built without CUDA: uninstall onnxruntime and install "
            "onnxruntime-gpu (the two provide the same module)"
        )
    return reasons


def prepare() -> None:
    """Make ONNX Runtime find the CUDA libraries that PyTorch's wheels bring."""
    import onnxruntime

    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        preload()
