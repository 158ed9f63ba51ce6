"""The model card of an artifact: README.md with the Hub's front matter, and the same figures as the manifest's.

Values in, text out; nothing is measured here.
"""

from __future__ import annotations

from pathlib import Path

from onnxpress.cli.inspection import size, unverified, variant_rows
from onnxpress.format.fidelity import answers_of
from onnxpress.format.files import write_file
from onnxpress.format.manifest import Manifest, Variant
from onnxpress.format.model import trust_of
from onnxpress.format.precisions import REFERENCE
from onnxpress_exporter.judging.metrics import OF_REFERENCE

CARD = "README.md"

#: Treatments of more products than this are counted instead of listed.
_LISTED = 12


#: The class of a variant's answers, in words.
_ANSWERS = {
    "same": "Its answers are the original's: without `precision=` it runs where it is the fastest.",
    "close": "Its answers are close to the original's: it runs where it is asked for.",
}


def write_card(manifest: Manifest, path: Path) -> None:
    """Write the card of a manifest whose variants are all there."""
    write_file(path, card(manifest).encode())


def card(manifest: Manifest) -> str:
    """The card as Markdown. YAML values are quoted as JSON strings, which YAML reads."""
    source = manifest.provenance.source
    header, rows = variant_rows(manifest)
    lines = [
        "---",
        "library_name: onnxpress",
        f"pipeline_tag: {manifest.task}",
        *([f"base_model: {source}"] if manifest.provenance.commit is not None else []),
        "tags:",
        "- onnx",
        "- onnxpress",
        *[f"- {name}" for name in manifest.variants if name != REFERENCE],
        "---",
        "",
        f"# {Path(source).name} for ONNX Runtime",
        "",
        f"{manifest.architecture} ({manifest.model_type}) for {manifest.task}, {_origin(manifest)}.",
        "",
        "```python",
        "import onnxpress",
        "",
        f'pipe = onnxpress.pipeline("{manifest.task}", "THIS_FOLDER_OR_HUB_ID")',
        "```",
        "",
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows],
        "",
        f"Quality is measured against {_reference(manifest)} in fp32 on texts that took no part in quantization; speed",
        "is fp32's, or PyTorch's, time over the variant's on the exporting machine, where the variant suits it.",
        *_facts(manifest),
    ]
    for name, variant in manifest.variants.items():
        lines += _details(name, variant)
    return "\n".join(lines) + "\n"


def _origin(manifest: Manifest) -> str:
    adopted = manifest.provenance.adopted
    if adopted is None:
        return "exported and verified by onnxpress"
    verified = "verified" if trust_of(manifest) == "verified" else "not compared with the original"
    return f"adopted by onnxpress from {adopted.layout}'s files, {verified}"


def _reference(manifest: Manifest) -> str:
    return "PyTorch" if trust_of(manifest) == "verified" else "the graph as it was found"


def _facts(manifest: Manifest) -> list[str]:
    """What was inferred of another tool's files."""
    adopted = manifest.provenance.adopted
    return [] if adopted is None else ["", "## What was inferred", "", *[f"- {fact}" for fact in adopted.facts]]


def _details(name: str, variant: Variant) -> list[str]:
    quality = variant.quality
    if quality is None or name == REFERENCE:
        return []
    lines = ["", f"## {name}", "", f"{size(variant.bytes)}; suits {', '.join(variant.targets)}.", ""]
    lines += [_ANSWERS[answers_of(name, variant)], ""]
    lines += [f"{line[0].upper()}{line[1:]}\n" for line in unverified(variant)]
    lines += [f"Compared with {quality.reference}:", ""]
    for figure, value in quality.measures.items():
        limit, other = quality.measure_limits.get(figure), quality.measures.get(f"{figure}{OF_REFERENCE}")
        beside = "" if limit is None else f" (limit {limit:g})"
        beside = beside if other is None else f" (reference {other:.6g})"
        if not figure.endswith(OF_REFERENCE):
            lines.append(f"- {figure}: {value:.6g}{beside}")
    if variant.treatments:
        lines += ["", "Not quantized as the rest:", ""]
        listed = list(variant.treatments.items())
        lines += [f"- `{product}`: {how}" for product, how in listed[:_LISTED]]
        lines += [f"- and {len(listed) - _LISTED} more"] if len(listed) > _LISTED else []
    if variant.repair:
        lines += ["", "What it took:", "", *[f"{number}. {line}" for number, line in enumerate(variant.repair, 1)]]
    return lines
