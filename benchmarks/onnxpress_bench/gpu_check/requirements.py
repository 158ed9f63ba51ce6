"""What a machine lacks for the check. Imports PyTorch and ONNX Runtime only when it is asked."""

from __future__ import annotations

from importlib.util import find_spec

#: The exit code of a machine that cannot run the check.
CANNOT = 3

_OURS = "pip install 'onnxpress[gpu,bench]'"
#: Module -> how it is installed.
MODULES = {
    **dict.fromkeys(("click", "numpy", "tokenizers", "huggingface_hub", "onnxruntime"), _OURS),
    "torch": "pip install torch",
    "transformers": "pip install transformers",
    "onnx_ir": "pip install onnx-ir",
}


def missing_module() -> str | None:
    """Which module is not installed and how it is, in one sentence; None: all are."""
    missing = [module for module in MODULES if find_spec(module) is None]
    if not missing:
        return None
    return f"gpu-check needs {missing[0]}, which is not installed: {MODULES[missing[0]]}."


def lacking(*, rehearses: bool) -> str | None:
    """Why the check cannot run here and what to do, in one sentence; None: it can."""
    missing = missing_module()
    if missing is not None or rehearses:
        return missing
    import onnxruntime
    import torch

    if not torch.cuda.is_available():
        return (
            f"gpu-check needs an NVIDIA GPU, and PyTorch {torch.__version__} sees none: run it on a machine with a "
            "GPU, its driver and a CUDA build of PyTorch (pip install torch), or rehearse it here with --rehearse."
        )
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return (
            f"gpu-check needs ONNX Runtime for CUDA, and {onnxruntime.__version__} here is a build without it: "
            "pip uninstall onnxruntime, then pip install 'onnxpress[gpu]' (the two exclude each other)."
        )
    return None


def find_libraries() -> None:
    """Let ONNX Runtime find the CUDA libraries that PyTorch's wheels bring."""
    import onnxruntime

    preload = getattr(onnxruntime, "preload_dlls", None)
    if preload is not None:
        preload()
