"""The benchmark's branch of the error tree.

OnnxpressError
└── BenchError           nothing could be measured; the message says why
    └── WorkerFailed     one process of one backend failed; the rest of the run goes on
"""

from __future__ import annotations

from onnxpress.errors import OnnxpressError


class BenchError(OnnxpressError):
    """Nothing could be measured."""


class WorkerFailed(BenchError):  # noqa: N818 - named as the rest of the tree
    """A worker process ended without an answer; the message is the last thing it said."""
