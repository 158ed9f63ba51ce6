"""Renders manifests as text for people. Pure: takes values and returns text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import wrap

from onnxpress.engine.choice import choose
from onnxpress.engine.forms import choose_form, place_of
from onnxpress.errors import UnsupportedFormat, printable
from onnxpress.format.fidelity import answers_of
from onnxpress.format.manifest import FormTime, GraphInfo, Manifest, TensorInfo, Tuning, Variant
from onnxpress.format.model import Adopted, trust_of
from onnxpress.format.precisions import REFERENCE
from onnxpress.format.variants import CACHE, DEFAULT_FORM
from onnxpress.pipelines.figures import quality_and_batch, size, unverified, variant_row
from onnxpress.pipelines.measuring import remembered_times
from onnxpress.pipelines.table import served_tasks

#: Characters of a line, as on a terminal that nobody made wider.
WIDTH = 80

_SUMMARY = ("variant", "size", "of fp32", "for", "answers", "over fp32", "over PyTorch")
_FILES = ("file", "size", "SHA-256")

_LEGEND = (
    "answers: same as the original's, or only close; fp32's by definition. Figures are those of the answers against "
    "PyTorch's, or the largest error as a fraction of the output's range; the task's metric on labelled data stands "
    "beside the reference's. In a batch: how much an answer depends on what stands beside it. Over fp32, over PyTorch: "
    "the other's time over this variant's, when exported on a quiet machine that suits it; `onnxpress bench` measures "
    "here and now. `inspect --json` has every figure and hash in full; `onnxpress check` compares the hashes."
)


def describe(manifest: Manifest, width: int = WIDTH, adopted: Adopted | None = None) -> str:
    """The whole manifest, readable at a glance, in lines of `width` characters where that is possible.

    Args:
        adopted: how another tool's files were understood, where there is no manifest on disk.
    """
    fields = {
        "task": manifest.task,
        "serves": ", ".join(served_tasks(manifest)),
        "model": f"{manifest.architecture} ({manifest.model_type})",
        "format": f"{manifest.format}, version {manifest.format_version}" if adopted is None else _layout(adopted),
        "adopted": _adopted(manifest),
        "source": _source(manifest),
        "weights": manifest.provenance.weights_sha256,
        "exported": manifest.provenance.created,
        "command": manifest.provenance.command,
        "versions": ", ".join(f"{name} {version}" for name, version in manifest.provenance.versions.items()),
        "labels": _labels(manifest.postprocessing.labels),
        "max length": _max_length(manifest),
        "generation": _generation(manifest),
        "embedding": _embedding(manifest),
        "padding": "" if manifest.padding else "never: only texts of equal length share a batch",
    }
    plain = manifest.variants.get(REFERENCE)
    understood = adopted or manifest.provenance.adopted
    sections = [
        _fields(fields, width),
        "\n\n".join(_graph(name, graph, width) for name, graph in manifest.graphs.items()),
        "\n".join(_wrapped(f"  {fact}", width, indent=" " * 4) for fact in (understood.facts if understood else ())),
        table(_SUMMARY, [_summary(name, variant, plain, understood) for name, variant in manifest.variants.items()]),
        "\n".join(_wrapped(line, width) for line in _figures(manifest)) if adopted is None else "",
        "\n".join(_wrapped(line, width) for line in _unquantized(manifest)),
        "\n".join(_wrapped(line, width) for line in _forms(manifest)),
        table(_FILES, [(name, size(info.bytes), _digest(info.sha256)) for name, info in manifest.files.items()]),
        _wrapped(f"On this machine: {_chosen(manifest)}", width),
        _wrapped(_LEGEND, width, indent=""),
    ]
    return printable("\n\n".join(section for section in sections if section))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, with a rule below the header."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _layout(adopted: Adopted) -> str:
    return f"{adopted.layout}'s layout, no manifest: nothing was compared with the original, and no file has a hash"


def _adopted(manifest: Manifest) -> str:
    """Whose files an artifact was made of, and what its answers are worth; "" where the exporter made its graphs."""
    adopted = manifest.provenance.adopted
    if adopted is None:
        return ""
    compared = "" if trust_of(manifest) == "verified" else ": its answers were never compared with the original's"
    return f"from {adopted.layout}'s files{compared}"


def _digest(sha256: str) -> str:
    return f"{sha256[:16]}..." if sha256 else "not known"


def _fields(values: Mapping[str, str], width: int) -> str:
    shown = {name: value for name, value in values.items() if value}
    column = max(map(len, shown)) + 2
    return "\n".join(
        _wrapped(f"{name.ljust(column)}{value}", width, indent=" " * column) for name, value in shown.items()
    )


def _wrapped(text: str, width: int, indent: str = "  ") -> str:
    """A paragraph in lines of `width` characters, those after the first indented; long words stay whole."""
    return "\n".join(
        wrap(
            text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        )
    )


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
    "fused": "growing cache, fused attention",
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
    parts = [f"{settings.dimensions} dimensions", f"{'+'.join(settings.pooling) or 'graph'} pooling"]
    parts += ["normalized"] if settings.normalize else []
    parts += [f"prompts: {', '.join(settings.prompts)}"] if settings.prompts else []
    return ", ".join(parts)


def _graph(name: str, graph: GraphInfo, width: int) -> str:
    """A graph's inputs and outputs, one a line."""
    lines = [f"graph {name}, the {graph.role}"]
    lines += [f"  in   {tensor}" for tensor in _tensors(graph.inputs)]
    lines += [f"  out  {tensor}" for tensor in _tensors(graph.outputs)]
    return "\n".join(_wrapped(line, width, indent=" " * 9) if len(line) > width else line for line in lines)


def _tensors(tensors: Sequence[TensorInfo]) -> list[str]:
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
    return shown


def _summary(name: str, variant: Variant, plain: Variant | None, adopted: Adopted | None) -> tuple[str, ...]:
    """The narrow row of a variant."""
    _, volume, share, places, *_ = variant_row(name, variant, plain)
    over_fp32, over_pytorch = (f"{min(r):.1f}x to {max(r):.1f}x" if r else "-" for r in _over(variant))
    known = adopted is None or variant.quality is not None
    answers = answers_of(name, variant) if known else "not known"
    return name, volume, share, places, answers, over_fp32, over_pytorch


def _over(variant: Variant) -> tuple[list[float], list[float]]:
    """fp32's and PyTorch's times over the variant's."""
    timings = variant.speed.timings if variant.speed else ()
    return (
        [t.fp32_milliseconds / t.milliseconds for t in timings if t.fp32_milliseconds],
        [t.pytorch_milliseconds / t.milliseconds for t in timings if t.pytorch_milliseconds],
    )


def _figures(manifest: Manifest) -> list[str]:
    """What was measured of each variant's answers."""
    lines = []
    for name, variant in manifest.variants.items():
        quality, batch = quality_and_batch(variant.quality)
        lines.append(f"{name}: " + ("nothing measured" if quality == "-" else f"{quality}; in a batch {batch}"))
        lines += [f"{name}, {line}" for line in unverified(variant)]
    return lines


def _unquantized(manifest: Manifest) -> list[str]:
    """Count, by reason, the products that were not quantized as the rest of their variant; and its keys and values."""
    lines = []
    for name, variant in manifest.variants.items():
        reasons: dict[str, int] = {}
        for product, reason in variant.treatments.items():
            if product == CACHE:
                lines.append(f"{name}, {CACHE}: {reason}")
            else:
                reasons[reason] = reasons.get(reason, 0) + 1
        lines += [
            f"{name}, unlike the rest: {reason} ({count} product{'s' * (count > 1)})"
            for reason, count in reasons.items()
        ]
    return lines


def _forms(manifest: Manifest) -> list[str]:
    """Which form of each variant runs here, why, and what was measured where; of those that were ever tuned."""
    lines = []
    for name, variant in manifest.variants.items():
        if not (variant.forms or variant.tunings):
            continue
        here = choose_form(variant)
        lines.append(f"{name}, form here: {here.form} ({here.reason})")
        lines += [f"{name}, {line}" for tuning in variant.tunings for line in _tuning(tuning)]
    return lines


def _tuning(tuning: Tuning) -> list[str]:
    """What was measured on one machine: each form's times over the default form's, and what was refused."""
    where = f"tuned on {place_of(tuning)}, {', '.join(tuning.features) or 'no known features'}"
    lines = [f"{where}: {tuning.form}"]
    for form, times in tuning.times.items():
        if form != DEFAULT_FORM:
            shares = ", ".join(f"{t.over_default:.2f} ({_spread(t)}) at {t.batch}x{t.sequence}" for t in times)
            lines.append(f"{form} there takes of the default form's time {shares}")
    return lines + [f"{form} there: {reason}" for form, reason in tuning.refused.items()]


def _spread(time: FormTime) -> str:
    if time.low is None or time.high is None:
        return "too few rounds to be sure"
    return f"{time.low:.2f} to {time.high:.2f}"


def _chosen(manifest: Manifest) -> str:
    try:
        choice = choose(manifest, measured=remembered_times(manifest))
    except UnsupportedFormat as error:
        return str(error)
    return f"{choice.precision}, {choice.reason}"
