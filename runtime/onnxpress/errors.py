"""Every error that onnxpress raises on purpose. A message says what, where, and what to do next.

    OnnxpressError
    ├── ArtifactError          the artifact cannot be used as it is
    │   ├── InvalidManifest    onnxpress.json does not follow the schema
    │   ├── UnsupportedFormat  written by a newer version, or asks for something this runtime lacks
    │   ├── MissingFile        a file that the manifest names is not there
    │   └── CorruptFile        a file is not what the manifest says, or reaches outside the artifact
    ├── HubError               the Hub refused, lacks the repository, or cannot be reached
    ├── InputError             an argument of a call is of the wrong kind or out of range
    ├── UnknownTask            no such task, or one that the artifact was not exported for
    ├── MissingDependency      an optional package is absent; the message names the `pip install`
    ├── DeviceUnavailable      the requested device is not here; never a silent fall to the CPU
    ├── OutputError            what was to be written cannot be: no space, a quota, a disk that fails
    └── EngineError            the inputs are right, and the engine failed all the same
        └── OutOfMemory        there is not enough memory, on the host or on a device

A server answers InputError and UnknownTask with a status of the 400s, all others with one of the 500s.

The exporter adds its own branch, `onnxpress_exporter.errors`. This module knows nothing else of onnxpress.
"""

from __future__ import annotations


class OnnxpressError(Exception):
    """Base of all errors that onnxpress raises on purpose."""


class BatchDependenceWarning(UserWarning):
    """A graph whose answer for a text depends on what else is in the batch. Nothing that onnxpress exports is one."""


class ArtifactError(OnnxpressError):
    """The artifact cannot be used as it is."""


class InvalidManifest(ArtifactError):  # noqa: N818 - the names are part of the public surface
    """`onnxpress.json` does not follow the schema."""


class UnsupportedFormat(ArtifactError):  # noqa: N818
    """The artifact was written by a newer version, or asks for something this runtime lacks."""


class MissingFile(ArtifactError):  # noqa: N818
    """A file that the manifest names is not there."""


class CorruptFile(ArtifactError):  # noqa: N818
    """A file is not what the manifest says, or reaches outside the artifact."""


class HubError(OnnxpressError):
    """The Hub refused, lacks the repository or revision, or cannot be reached."""


class InputError(OnnxpressError, ValueError):
    """An argument of a call is of the wrong kind or out of range."""


class UnknownTask(OnnxpressError):  # noqa: N818
    """There is no such task, or the artifact was not exported for it."""


class MissingDependency(OnnxpressError):  # noqa: N818
    """An optional package is absent; the message names the `pip install` that brings it."""


class DeviceUnavailable(OnnxpressError):  # noqa: N818
    """The requested device is not on this machine."""


class OutputError(OnnxpressError):
    """A file cannot be written: there is no space, a quota is used up, or the disk fails."""


class EngineError(OnnxpressError):
    """A graph failed on inputs that it can take: the fault is the engine's or the machine's, not a caller's."""


class OutOfMemory(EngineError, MemoryError):  # noqa: N818
    """There is not enough memory, on the host or on a device."""
