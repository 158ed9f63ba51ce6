"""onnxpress: run verified ONNX artifacts of Hugging Face models, without PyTorch.

>>> pipe = onnxpress.pipeline(model="folder-or-hub-id")  # doctest: +SKIP
>>> pipe("What a day!")  # doctest: +SKIP

A name is imported when it is first used: a command line's `--help` and a program that only catches errors need little
of the rest.
"""

from typing import TYPE_CHECKING

from onnxpress.later import later

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

#: Where the public names are that are no errors.
_PLACES: dict[str, tuple[str, ...]] = {
    "onnxpress.engine.session": ("Session",),
    "onnxpress.engine.stopping": ("Cancel",),
    "onnxpress.layouts.artifact": ("Artifact",),
    "onnxpress.pipelines": ("export", "load", "pipeline"),
    "onnxpress.pipelines.pulling": ("pull",),
    "onnxpress.pipelines.pushing": ("push",),
}
_OTHERS = {"__version__", *(name for names in _PLACES.values() for name in names)}

__getattr__ = later(__name__, {**_PLACES, "onnxpress.errors": tuple(name for name in __all__ if name not in _OTHERS)})


def __dir__() -> list[str]:
    return sorted(__all__)
