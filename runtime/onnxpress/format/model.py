"""The model that a layout's reader finds in a folder. Knows neither layouts nor files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from onnxpress.format.adopted import Adapter, Adopted, Answers, Fact
from onnxpress.format.manifest import Manifest

__all__ = ["Adapter", "Adopted", "Answers", "Fact", "Model", "Trust", "trust_of"]

#: "verified": compared with PyTorch, and each file has the hash that was written down then; "hashed": the hashes are
#: there, a comparison is not; "unverified": somebody's files as they are.
Trust = Literal["verified", "hashed", "unverified"]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as its manifest describes it: graphs by role, processors, variants. `trust`: how far to believe it.

    `adopted`: how it was understood, where there was no manifest; the manifest's task is "" then, until one is chosen.
    """

    manifest: Manifest
    trust: Trust
    adopted: Adopted | None = None


def trust_of(manifest: Manifest) -> Trust:
    """How far to believe an artifact of ours. What was adopted from another tool has hashes; whether it was compared
    with PyTorch, too, its figures tell."""
    compared = all(variant.quality is not None for variant in manifest.variants.values())
    return "verified" if manifest.provenance.adopted is None or compared else "hashed"
