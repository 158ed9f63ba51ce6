"""onnxpress: run verified ONNX artifacts of Hugging Face models, without PyTorch.

>>> pipe = onnxpress.pipeline(model="folder-or-hub-id")  # doctest: +SKIP
>>> pipe("What a day!")  # doctest: +SKIP

A name is imported when it is first used: a command line's `--help` and a program that only catches errors need little
of the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxpress.engine.session import Session
    from onnxpress.engine.stopping import Cancel
    from onnxpress.errors import (
        ArtifactError,
        Cancelled,
        CorruptFile,
        DeviceUnavailable,
        EngineError,
        HubError,
        InputError,
        InvalidManifest,
        LockMismatch,
        MissingDependency,
        MissingFile,
        OnnxpressError,
        OutOfMemory,
        OutputError,
        SessionClosed,
        TimeoutExceeded,
        UnknownTask,
        UnsupportedFormat,
    )
    from onnxpress.layouts.artifact import Artifact
    from onnxpress.pipelines import export, load, pipeline
    from onnxpress.pipelines.pulling import pull
    from onnxpress.pipelines.pushing import push

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "ArtifactError",
    "Cancel",
    "Cancelled",
    "CorruptFile",
    "DeviceUnavailable",
    "EngineError",
    "HubError",
    "InputError",
    "InvalidManifest",
    "LockMismatch",
    "MissingDependency",
    "MissingFile",
    "OnnxpressError",
    "OutOfMemory",
    "OutputError",
    "Session",
    "SessionClosed",
    "TimeoutExceeded",
    "UnknownTask",
    "UnsupportedFormat",
    "__version__",
    "export",
    "load",
    "pipeline",
    "pull",
    "push",
]

#: Where the public names that are no errors are.
_MODULES = {
    "Artifact": "onnxpress.layouts.artifact",
    "Cancel": "onnxpress.engine.stopping",
    "Session": "onnxpress.engine.session",
    "export": "onnxpress.pipelines",
    "load": "onnxpress.pipelines",
    "pipeline": "onnxpress.pipelines",
    "pull": "onnxpress.pipelines.pulling",
    "push": "onnxpress.pipelines.pushing",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES.get(name, "onnxpress.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
