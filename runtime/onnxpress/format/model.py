"""The model that a layout's reader finds in a folder. Knows neither layouts nor files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxpress.format.manifest import Manifest

#: "verified": compared with PyTorch, and each file has the hash that was written down then; "hashed": the hashes are
#: there, a comparison is not; "unverified": somebody's files as they are.
Trust = Literal["verified", "hashed", "unverified"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as its manifest describes it: graphs by role, processors, variants. `trust`: how far to believe it."""

    manifest: Manifest
    trust: Trust
