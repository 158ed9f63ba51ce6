"""Renders manifests and results as text for people. Pure: takes values and returns text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.engine.choice import choose
from onnxpress.errors import UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, Manifest, Quality, TensorInfo, Timing, Variant
from onnxpress.format.precisions import REFERENCE

#: What follows a metric's name where it is the reference's, and where it is the difference (docs/artifact.md).
_OF_REFERENCE, _LOSS = " of the reference", " loss"

_UNITS = ("B", "KB", "MB", "GB", "TB")


def describe(manifest: Manifest) -> str:
    """The whole manifest, readable at a glance."""
    sections = [
        _fields(
            {
                "task": manifest.task,
                "model": f"{manifest.architecture} ({manifest.model_type})",
                "source": _source(manifest),
                "exported": f"{manifest.provenance.created} by `{manifest.provenance.command}`",
                "versions": ", ".join(f"{name} {version}" for name, version in manifest.provenance.versions.items()),
                "labels": _labels(manifest.postprocessing.labels),
                "max length": _max_length(manifest),
                "generation": _generation(manifest),
                "embedding": _embedding(manifest),
                "padding": "" if manifest.padding else "never: only texts of equal length share a batch",
            }
        ),
        "\n".join(_graph(name, graph) for name, graph in manifest.graphs.items()),
        table(*variant_rows(manifest)),
        _unquantized(manifest),
        f"On this machine: {_chosen(manifest)}",
        "quality: the answers' figures against PyTorch, or the largest error as a fraction of the output's range; the\n"
        "task's metric on labelled data stands beside the reference's.\n"
        "in a batch: how much an answer depends on what stands beside it. speed: the other's time over this\n"
        "variant's, when exported on a quiet machine that suits it; `onnxpress bench` measures here and now.",
    ]
    return "\n\n".join(section for section in sections if section)


def present(asked: Any, result: Any) -> str:
    """One input and its result."""
    title = asked if isinstance(asked, str) else str(asked)
    title = title if len(title) <= 100 else title[:97] + "..."
    return f"{title}\n{_indent(_result(result))}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, with a rule below the header."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def size(count: float) -> str:
    """Bytes with a decimal unit: 90.4 MB."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:.1f} {_UNITS[unit]}"


def _fields(values: Mapping[str, str]) -> str:
    shown = {name: value for name, value in values.items() if value}
    width = max(map(len, shown))
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in shown.items())


def _source(manifest: Manifest) -> str:
    provenance = manifest.provenance
    revision = f" at {provenance.revision}" if provenance.revision else ""
    commit = f" (commit {provenance.commit})" if provenance.commit else ""
    adapter = f" with the adapter {provenance.adapter}" if provenance.adapter else ""
    return provenance.source + revision + commit + adapter


def _labels(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:12])
    return f"{shown}, ... ({len(labels)})" if len(labels) > 12 else shown


def _max_length(manifest: Manifest) -> str:
    if manifest.tokenizer is None:
        return ""
    length = manifest.tokenizer.max_length
    return "unlimited" if length is None else f"{length} tokens"


_CACHES = {
    "shared": "fused attention, shared cache",
    "growing": "growing cache",
    "state": "a state beside keys and values, one token at a time",
    "none": "no cache, slow: every token reads the whole text again",
}


def _generation(manifest: Manifest) -> str:
    settings = manifest.generation
    if settings is None:
        return ""
    how = _CACHES[settings.cache]
    how = how if settings.traced is None else f"traced: {settings.traced} ({how})"
    return f"{how}; {'any number of' if settings.max_length is None else f'at most {settings.max_length}'} tokens"


def _embedding(manifest: Manifest) -> str:
    settings = manifest.postprocessing.embedding
    if settings is None:
        return ""
    parts = [f"{settings.dimensions} dimensions", f"{'+'.join(settings.pooling)} pooling"]
    parts += ["normalized"] if settings.normalize else []
    parts += [f"prompts: {', '.join(settings.prompts)}"] if settings.prompts else []
    return ", ".join(parts)


def _graph(name: str, graph: GraphInfo) -> str:
    return f"graph {name}: {_tensors(graph.inputs)} -> {_tensors(graph.outputs)}"


def _tensors(tensors: Sequence[TensorInfo]) -> str:
    """List tensors with their axes. Those alike in every layer appear once, as `past_key_values.0..23.key`."""
    layers: dict[tuple[str, str, tuple[str | int, ...]], list[str]] = {}
    for tensor in tensors:
        pattern = ".".join("*" if part.isdecimal() else part for part in tensor.name.split("."))
        layers.setdefault((pattern, tensor.dtype, tensor.axes), []).append(tensor.name)
    shown = []
    for (pattern, dtype, axes), names in layers.items():
        first, last = (next((p for p in name.split(".") if p.isdecimal()), "") for name in (names[0], names[-1]))
        name = names[0] if len(names) == 1 else pattern.replace("*", f"{first}..{last}", 1)
        shown.append(f"{name} {dtype} ({', '.join(map(str, axes))})")
    return ", ".join(shown)


def variant_rows(manifest: Manifest) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The table of variants: its header, and a row for each."""
    header = ("variant", "size", "of fp32", "for", "quality", "in a batch", "speed over fp32", "speed over PyTorch")
    plain = manifest.variants.get(REFERENCE)
    return header, [_variant(name, variant, plain) for name, variant in manifest.variants.items()]


def _variant(name: str, variant: Variant, plain: Variant | None) -> tuple[str, ...]:
    share = "-" if plain is None or not plain.bytes else f"{variant.bytes / plain.bytes:.2f}"
    timings = variant.speed.timings if variant.speed else ()
    over_fp32 = [(t, t.fp32_milliseconds / t.milliseconds) for t in timings if t.fp32_milliseconds]
    over_pytorch = [(t, t.pytorch_milliseconds / t.milliseconds) for t in timings if t.pytorch_milliseconds]
    quality, batch = _quality(variant.quality)
    places = ", ".join(dict.fromkeys(target.partition(":")[0] for target in variant.targets))
    return (name, size(variant.bytes), share, places, quality, batch, _ratios(over_fp32), _ratios(over_pytorch))


def _ratios(ratios: Sequence[tuple[Timing, float]]) -> str:
    return ", ".join(f"{ratio:.1f}x at {t.batch}x{t.sequence}" for t, ratio in ratios) or "not measured"


def _quality(quality: Quality | None) -> tuple[str, str]:
    """The figures of the answers, and how much they depend on the batch."""
    if quality is None:
        return "-", "-"
    batch = [value for name, value in quality.measures.items() if name.startswith("batch ")]
    rest = [
        figure(name, value, quality.measures) for name, value in quality.measures.items() if _is_shown(name, quality)
    ]
    return "; ".join(rest) or f"error {quality.max_error:.1e}", f"{max(batch, default=quality.batch_error):.1e}"


def figure(name: str, value: float, measures: Mapping[str, float]) -> str:
    """A figure with its value, and beside it the reference's, where the figure is one that the reference has, too."""
    other = measures.get(f"{name}{_OF_REFERENCE}")
    return f"{name} {value:.4f}" + ("" if other is None else f" (reference {other:.4f})")


def _is_shown(name: str, quality: Quality) -> bool:
    """Whether a figure has a line here: not one with a column of its own, one shown beside another, or a difference."""
    beside = name.endswith(_OF_REFERENCE) or f"{name.removesuffix(_LOSS)}{_OF_REFERENCE}" in quality.measures
    return not name.startswith("batch ") and (not beside or f"{name}{_OF_REFERENCE}" in quality.measures)


def _unquantized(manifest: Manifest) -> str:
    """Count, by reason, the products that were not quantized as the rest of their variant."""
    lines = []
    for name, variant in manifest.variants.items():
        reasons: dict[str, int] = {}
        for reason in variant.treatments.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        lines += [
            f"{name}, unlike the rest: {reason} ({count} product{'s' * (count > 1)})"
            for reason, count in reasons.items()
        ]
    return "\n".join(lines)


def _chosen(manifest: Manifest) -> str:
    try:
        choice = choose(manifest)
    except UnsupportedFormat as error:
        return str(error)
    return f"{choice.precision}, {choice.reason}"


def _result(result: Any) -> str:
    if hasattr(result, "shape"):
        values = result.reshape(-1)
        shown = ", ".join(f"{value:.4f}" for value in values[:6])
        return f"{result.dtype} {tuple(result.shape)}: {shown}{', ...' if values.size > 6 else ''}"
    if isinstance(result, Mapping):
        return "  ".join(f"{name}: {_scalar(value)}" for name, value in result.items())
    if isinstance(result, (list, tuple)):
        if result and isinstance(result[0], (Mapping, list, tuple)):
            return "\n".join(_result(item) for item in result)
        return f"[{', '.join(_scalar(item) for item in result[:6])}{', ...' if len(result) > 6 else ''}]"
    return _scalar(result)


def _scalar(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_scalar(item) for item in value)}]"
    return str(value)


def _indent(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines()) if text else "  -"
