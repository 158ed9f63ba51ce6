"""The benchmark's branch of the error tree.

OnnxpressError
└── BenchError           nothing could be measured; the message says why
    ├── MissingPeer      a library to compare with has no environment; the message names the command that makes it
    └── WorkerFailed     one process of one backend failed; the rest of the run goes on
"""

from __future__ import annotations

from onnxpress.errors import OnnxpressError


class BenchError(OnnxpressError):
    """Nothing could be measured."""


class MissingPeer(BenchError):  # noqa: N818 - named as the rest of the tree
    """A peer's environment is not installed, or was made for other requirements than today's."""


class WorkerFailed(BenchError):  # noqa: N818 - named as the rest of the tree
    """A worker process ended without an answer; the message is the last thing it said."""
