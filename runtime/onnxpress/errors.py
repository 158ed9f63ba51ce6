"""Every error that onnxpress raises on purpose. A message says what, where, and what to do next.

    OnnxpressError
    ├── ArtifactError          the artifact cannot be used as it is
    │   ├── InvalidManifest    onnxpress.json does not follow the schema
    │   ├── UnsupportedFormat  written by a newer version, or asks for something this runtime lacks
    │   ├── MissingFile        a file that the manifest names is not there
    │   ├── CorruptFile        a file is not what the manifest says, or reaches outside the artifact
    │   └── LockMismatch       files or the commit are not those that a lock was written for
    ├── HubError               the Hub refused, lacks the repository, or cannot be reached
    ├── InputError             an argument of a call is of the wrong kind or out of range
    ├── UnknownTask            no such task, or one that the artifact was not exported for
    ├── MissingDependency      an optional package is absent; the message names the `pip install`
    ├── DeviceUnavailable      the requested device is not here; never a silent fall to the CPU
    ├── OutputError            what was to be written cannot be: no space, a quota, a disk that fails
    ├── SessionClosed          the pipeline or session was closed before the call, or during it
    ├── Cancelled              the caller ended the call
    ├── TimeoutExceeded        the call took longer than the caller allows
    └── EngineError            the inputs are right, and the engine failed all the same
        └── OutOfMemory        there is not enough memory, on the host or on a device

`status` is what a server answers with: of the 400s where the caller is at fault, of the 500s where the service is.

    InputError 422, UnknownTask 404, Cancelled 499, SessionClosed 503, OutOfMemory 503, TimeoutExceeded 504, others 500

The exporter adds its own branch, `onnxpress_exporter.errors`. This module knows nothing else of onnxpress.
"""

from __future__ import annotations

import re
from typing import ClassVar

#: Characters that drive a terminal, or turn the direction of what is around them; not line feeds and tabs.
_DRIVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """A text that may hold names of a stranger's files, with such characters as their escapes: `\\x1b`, `\\u202e`."""
    return _DRIVING.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class OnnxpressError(Exception):
    """Base of all errors that onnxpress raises on purpose.

    Attributes:
        status: the status of HTTP that says so.
        of_input: whether it may be about one input of several, whose neighbours can be answered all the same.
        index: the place of that input among those of the call, counted from 0; None: it is not about one of several.
    """

    status: ClassVar[int] = 500
    of_input: ClassVar[bool] = False
    index: int | None = None

    def __str__(self) -> str:
        message = printable(super().__str__())
        return message if self.index is None else f"inputs[{self.index}]: {message}"


class BatchDependenceWarning(UserWarning):
    """A graph whose answer for a text depends on what else is in the batch. Nothing that onnxpress exports is one."""


class AdoptionWarning(UserWarning):
    """Another tool's files do not say something that answers depend on, so that it was assumed."""


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


class LockMismatch(ArtifactError):  # noqa: N818
    """Files, or the commit on the Hub, are not those that a lock was written for."""


class HubError(OnnxpressError):
    """The Hub refused, lacks the repository or revision, or cannot be reached."""


class InputError(OnnxpressError, ValueError):
    """An argument of a call is of the wrong kind or out of range."""

    status = 422
    of_input = True


class UnknownTask(OnnxpressError):  # noqa: N818
    """There is no such task, or the artifact was not exported for it."""

    status = 404


class MissingDependency(OnnxpressError):  # noqa: N818
    """An optional package is absent; the message names the `pip install` that brings it."""


class DeviceUnavailable(OnnxpressError):  # noqa: N818
    """The requested device is not on this machine."""


class OutputError(OnnxpressError):
    """A file cannot be written: there is no space, a quota is used up, or the disk fails."""


class SessionClosed(OnnxpressError):  # noqa: N818
    """The pipeline or session was closed, before the call or during it."""

    status = 503


class Cancelled(OnnxpressError):  # noqa: N818
    """The caller ended the call."""

    status = 499


class TimeoutExceeded(OnnxpressError, TimeoutError):  # noqa: N818
    """The call took longer than the caller allows."""

    status = 504


class EngineError(OnnxpressError):
    """A graph failed on inputs that it can take: the fault is the engine's or the machine's, not a caller's."""

    of_input = True


class OutOfMemory(EngineError, MemoryError):  # noqa: N818
    """There is not enough memory, on the host or on a device."""

    status = 503
