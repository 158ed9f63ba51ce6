"""What a layout's reader makes of a folder. Knows neither layouts nor files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxpress.format.manifest import Manifest

#: "verified": compared with PyTorch, and each file has the hash that was written down then; "hashed": the hashes are
#: there, a comparison is not; "unverified": somebody's files as they are.
Trust = Literal["verified", "hashed", "unverified"]


@dataclass(frozen=True, slots=True)
class Model:
    """Graphs by role, processors and variants, as the manifest says them, and how far to trust that."""

    manifest: Manifest
    trust: Trust
