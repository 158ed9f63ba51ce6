"""Finishes an artifact: keeps the variants that passed, and writes its card and its manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from onnxpress.format.contents import variant_bytes
from onnxpress.format.files import write_file
from onnxpress.format.front_matter import CARD
from onnxpress.format.manifest import FILE_NAME, Manifest, Variant, dump
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.card import write_card
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.write import describe


@dataclass(frozen=True, slots=True)
class Outcome:
    """The variants that passed, and for each refused precision why."""

    variants: Mapping[str, Variant] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


def refusal(refused: Mapping[str, str], artifact: Artifact | None) -> str:
    """Explain why variants were refused."""
    reasons = "\n".join(f"  {precision}: {reason}" for precision, reason in refused.items())
    rest = f"The other variants are in {artifact.folder}." if artifact else "Nothing was written."
    return (
        f"Refused:\n{reasons}\n{rest} If you can accept answers that are less like the original's, set thresholds "
        "(--threshold)."
    )


def settled(manifest: Manifest, outcome: Outcome, wanted: Sequence[str], folder: Path, *, added: bool) -> Manifest:
    """The manifest with the variants that passed, in their usual order, and without fp32 where that is not wanted.

    Args:
        added: whether there has to be a new variant.

    Raises:
        VariantRefused: none would be left, or none is new.
    """
    variants = {**manifest.variants, **outcome.variants}
    if not outcome.variants and (added or not any(name in variants for name in wanted)):
        raise VariantRefused(refusal(outcome.refused, None), refused=outcome.refused)
    if REFERENCE in variants and REFERENCE not in wanted:
        variants = _without_fp32(variants, folder)
    return replace(manifest, variants={name: variants[name] for name in PRECISIONS if name in variants})


def _without_fp32(variants: Mapping[str, Variant], folder: Path) -> dict[str, Variant]:
    """Take out the variant that the others were made from, with the files that only it has."""
    remove_variant(variants, REFERENCE, folder)
    return {name: variant for name, variant in variants.items() if name != REFERENCE}


def remove_variant(variants: Mapping[str, Variant], name: str, folder: Path) -> None:
    """Delete the files that only this variant has."""
    others = [variant.files for other, variant in variants.items() if other != name]
    for file in variants[name].files.difference(*others):
        (folder / file).unlink(missing_ok=True)


def finish(manifest: Manifest, folder: Path) -> None:
    """Write the card and the manifest of a folder that has everything else."""
    draft = replace(manifest, files=describe.file_table(folder))
    variants = {name: replace(variant, bytes=variant_bytes(draft, variant)) for name, variant in draft.variants.items()}
    draft = replace(draft, variants=variants)
    write_card(draft, folder / CARD)
    write_file(folder / FILE_NAME, dump(replace(draft, files=describe.file_table(folder))).encode())
