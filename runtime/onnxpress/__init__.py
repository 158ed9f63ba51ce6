"""onnxpress: run verified ONNX artifacts of Hugging Face models, without PyTorch.

>>> pipe = onnxpress.pipeline(model="folder-or-hub-id")  # doctest: +SKIP
>>> pipe("What a day!")  # doctest: +SKIP
"""

from onnxpress.engine.session import Session
from onnxpress.errors import (
    ArtifactError,
    Cancelled,
    CorruptFile,
    DeviceUnavailable,
    EngineError,
    HubError,
    InputError,
    InvalidManifest,
    MissingDependency,
    MissingFile,
    OnnxpressError,
    OutOfMemory,
    SessionClosed,
    TimeoutExceeded,
    UnknownTask,
    UnsupportedFormat,
)
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines import pipeline

__version__ = "0.1.0"

__all__ = [
    "Artifact",
    "ArtifactError",
    "Cancelled",
    "CorruptFile",
    "DeviceUnavailable",
    "EngineError",
    "HubError",
    "InputError",
    "InvalidManifest",
    "MissingDependency",
    "MissingFile",
    "OnnxpressError",
    "OutOfMemory",
    "Session",
    "SessionClosed",
    "TimeoutExceeded",
    "UnknownTask",
    "UnsupportedFormat",
    "__version__",
    "pipeline",
]
