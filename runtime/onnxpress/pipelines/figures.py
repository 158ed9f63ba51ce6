"""Sizes, qualities and speeds of variants in words, for people: in a terminal, and on a model's card. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.engine.providers import PROVIDERS, provider_of
from onnxpress.format.manifest import Manifest, Quality, Timing, Variant, families_of
from onnxpress.format.precisions import REFERENCE

#: What follows a metric's name where it is the reference's, and where it is the difference (docs/artifact.md).
_OF_REFERENCE, _LOSS = " of the reference", " loss"

_UNITS = ("B", "KB", "MB", "GB", "TB")


def size(count: float) -> str:
    """Bytes with a decimal unit: 90.4 MB."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def variant_rows(manifest: Manifest) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The table of variants: its header, and a row for each."""
    header = ("variant", "size", "of fp32", "for", "quality", "in a batch", "speed over fp32", "speed over PyTorch")
    plain = manifest.variants.get(REFERENCE)
    return header, [variant_row(name, variant, plain) for name, variant in manifest.variants.items()]


def variant_row(name: str, variant: Variant, plain: Variant | None) -> tuple[str, ...]:
    """A row of the table of variants; `plain`: the fp32 variant."""
    share = "-" if plain is None or not plain.bytes else f"{variant.bytes / plain.bytes:.2f}"
    timings = variant.speed.timings if variant.speed else ()
    over_fp32 = [(t, t.fp32_milliseconds / t.milliseconds) for t in timings if t.fp32_milliseconds]
    over_pytorch = [(t, t.pytorch_milliseconds / t.milliseconds) for t in timings if t.pytorch_milliseconds]
    quality, batch = quality_and_batch(variant.quality)
    places = ", ".join(families_of(variant.targets))
    return (name, size(variant.bytes), share, places, quality, batch, _ratios(over_fp32), _ratios(over_pytorch))


def unverified(variant: Variant) -> list[str]:
    """Where a variant's answers were never compared, as a line; none where they were wherever it suits."""
    if not variant.unverified_on:
        return []
    places = [provider_of(family).words if family in PROVIDERS else family for family in variant.unverified_on]
    return [f"unverified on {' and '.join(places)}: its answers were compared on a processor, it was never run there."]


def figure(name: str, value: float, measures: Mapping[str, float]) -> str:
    """A figure with its value, and beside it the reference's, where the figure is one that the reference has, too."""
    other = measures.get(f"{name}{_OF_REFERENCE}")
    return f"{name} {value:.4f}" + ("" if other is None else f" (reference {other:.4f})")


def quality_and_batch(quality: Quality | None) -> tuple[str, str]:
    """The figures of the answers, and how much they depend on the batch."""
    if quality is None:
        return "-", "-"
    batch = [value for name, value in quality.measures.items() if name.startswith("batch ")]
    rest = [
        figure(name, value, quality.measures) for name, value in quality.measures.items() if _is_shown(name, quality)
    ]
    return "; ".join(rest) or f"error {quality.max_error:.1e}", f"{max(batch, default=quality.batch_error):.1e}"


def _ratios(ratios: Sequence[tuple[Timing, float]]) -> str:
    return ", ".join(f"{ratio:.1f}x at {t.batch}x{t.sequence}" for t, ratio in ratios) or "not measured"


def _is_shown(name: str, quality: Quality) -> bool:
    """Whether a figure has a line here: not one with a column of its own, one shown beside another, or a difference."""
    beside = name.endswith(_OF_REFERENCE) or f"{name.removesuffix(_LOSS)}{_OF_REFERENCE}" in quality.measures
    return not name.startswith("batch ") and (not beside or f"{name}{_OF_REFERENCE}" in quality.measures)
