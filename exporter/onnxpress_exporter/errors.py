"""The exporter's branch of the error tree.

OnnxpressError
└── ExportError               no artifact was written
    ├── UnsupportedCheckpoint the checkpoint cannot be exported; the message says why and what can
    ├── TraceError            PyTorch's graph could not be captured
    ├── PassError             a graph rewrite could not be applied
    └── VerificationFailed    the graph's answers differ from PyTorch's; names input, expected, obtained
"""

from __future__ import annotations

from onnxpress.errors import OnnxpressError


class ExportError(OnnxpressError):
    """No artifact was written."""


class UnsupportedCheckpoint(ExportError):  # noqa: N818
    """The checkpoint cannot be exported as asked."""


class TraceError(ExportError):
    """PyTorch's graph could not be captured."""


class PassError(ExportError):
    """A graph rewrite could not be applied."""


class VerificationFailed(ExportError):  # noqa: N818
    """The graph's answers differ from PyTorch's."""
