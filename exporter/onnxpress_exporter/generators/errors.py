"""The builders' own error: not an export's failure, because what cannot be built is traced instead."""

from __future__ import annotations


class NotBuildable(Exception):  # noqa: N818
    """No reader knows this model, or something about it; the message says what."""
