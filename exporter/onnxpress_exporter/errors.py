"""The exporter's branch of the error tree.

OnnxpressError
└── ExportError               no artifact was written
    ├── UnsupportedCheckpoint the checkpoint cannot be exported; the message says why and what can
    ├── NotBuildable          no reader knows the architecture, which has to be traced instead
    ├── ReaderError           a reader failed on an architecture that it knows: a fault of ours, nothing is traced
    ├── TraceError            PyTorch's graph could not be captured
    ├── PassError             a graph rewrite could not be applied
    ├── VerificationFailed    the graph's answers differ from PyTorch's; names input, expected, obtained
    └── VariantRefused        a quantized variant misses its thresholds; the artifact holds the others
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from onnxpress.errors import OnnxpressError

if TYPE_CHECKING:
    from onnxpress.layouts.artifact import Artifact


class ExportError(OnnxpressError):
    """No artifact was written."""


class UnsupportedCheckpoint(ExportError):  # noqa: N818
    """The checkpoint cannot be exported as asked."""


class NotBuildable(ExportError):  # noqa: N818
    """No reader knows the architecture, or something in its config; the message is the reason."""


class ReaderError(ExportError):
    """A reader failed on a model of transformers that it says it knows: a fault of onnxpress, to be reported.

    Not a `NotBuildable`: a slower graph would hide it.
    """


class TraceError(ExportError):
    """PyTorch's graph could not be captured."""


class PassError(ExportError):
    """A graph rewrite could not be applied."""


class VerificationFailed(ExportError):  # noqa: N818
    """The graph's answers differ from PyTorch's."""


class VariantRefused(ExportError):  # noqa: N818
    """A quantized variant misses its thresholds and cannot be repaired.

    `artifact` holds the variants that passed; None where there is none, and nothing was written. `refused`: for each
    precision that was not written why, with its figures.
    """

    def __init__(
        self, message: str, artifact: Artifact | None = None, refused: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(message)
        self.artifact = artifact
        self.refused = refused
