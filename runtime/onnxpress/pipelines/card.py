"""The model card of an artifact: README.md with the Hub's front matter, and the same figures as the manifest's.

Values in, text out; nothing is measured here. What the card of the checkpoint says of licence, languages and origin is
carried over, as its author wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onnxpress.format.fidelity import answers_of
from onnxpress.format.files import write_file
from onnxpress.format.front_matter import Card, list_field, read_card
from onnxpress.format.manifest import Manifest, Variant
from onnxpress.format.model import trust_of
from onnxpress.format.precisions import REFERENCE
from onnxpress.pipelines.figures import size, unverified, variant_rows

#: What follows a figure's name where it is the reference's.
_OF_REFERENCE = " of the reference"

#: What stands for the artifact's place until it has one.
_PLACE = "THIS_FOLDER_OR_HUB_ID"

_LIBRARY = "onnxpress"

#: Treatments of more products than this are counted instead of listed.
_LISTED = 12


#: The class of a variant's answers, in words.
_ANSWERS = {
    "same": "Its answers are the original's: without `precision=` it runs where it is the fastest.",
    "close": "Its answers are close to the original's: it runs where it is asked for.",
}


def write_card(manifest: Manifest, path: Path) -> None:
    """Write the card of a manifest whose variants are all there, with what a card that is there carries over."""
    there = read_card(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else Card({}, "")
    write_file(path, card(manifest, there).encode())


def card(manifest: Manifest, there: Card) -> str:
    """A new card as Markdown. `there`: the one whose licence, languages and origin are carried over."""
    source = manifest.provenance.source
    fields = {**_usual(manifest), **there.carried(), **_origin(manifest), "tags": list_field("tags", _tags(manifest))}
    header, rows = variant_rows(manifest)
    lines = [
        f"# {Path(source).name} for ONNX Runtime",
        "",
        f"{manifest.architecture} ({manifest.model_type}) for {manifest.task}, {_maker(manifest)}.",
        "",
        "```python",
        "import onnxpress",
        "",
        f'pipe = onnxpress.pipeline("{manifest.task}", "{_PLACE}")',
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
    return str(Card(fields, "\n".join(lines)))


def published_card(manifest: Manifest, text: str | None, repo_id: str) -> str:
    """The card for a repository: the artifact's own, as it may have been edited, with what the Hub needs to know.

    Args:
        text: README.md of the artifact; None: it has none.
    """
    there = read_card(text if text is not None else card(manifest, Card({}, "")))
    if not there.body.strip():
        there = Card(there.fields, read_card(card(manifest, there)).body)
    tags = dict.fromkeys((*there.values("tags"), *_tags(manifest)))
    missing = {
        name: lines for name, lines in {**_usual(manifest), **_origin(manifest)}.items() if name not in there.fields
    }
    published = there.with_fields({**missing, "tags": list_field("tags", tags)})
    return str(Card(published.fields, published.body.replace(_PLACE, repo_id)))


def is_verified(manifest: Manifest) -> bool:
    """Whether every variant was compared with the original."""
    return all(variant.quality is not None for variant in manifest.variants.values())


def _usual(manifest: Manifest) -> Mapping[str, tuple[str, ...]]:
    return {
        "library_name": (f"library_name: {_LIBRARY}",),
        "pipeline_tag": (f"pipeline_tag: {manifest.task}",),
    }


def _origin(manifest: Manifest) -> Mapping[str, tuple[str, ...]]:
    """The model that it was made from, where that is on the Hub."""
    provenance = manifest.provenance
    return {} if provenance.commit is None else {"base_model": (f"base_model: {provenance.source}",)}


def _tags(manifest: Manifest) -> list[str]:
    return ["onnx", _LIBRARY, *(name for name in manifest.variants if name != REFERENCE)]


def _maker(manifest: Manifest) -> str:
    adopted = manifest.provenance.adopted
    if adopted is None:
        return "exported and verified by onnxpress" if is_verified(manifest) else "not compared with the original"
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
        limit, other = quality.measure_limits.get(figure), quality.measures.get(f"{figure}{_OF_REFERENCE}")
        beside = "" if limit is None else f" (limit {limit:g})"
        beside = beside if other is None else f" (reference {other:.6g})"
        if not figure.endswith(_OF_REFERENCE):
            lines.append(f"- {figure}: {value:.6g}{beside}")
    if variant.treatments:
        lines += ["", "Not quantized as the rest:", ""]
        listed = list(variant.treatments.items())
        lines += [f"- `{product}`: {how}" for product, how in listed[:_LISTED]]
        lines += [f"- and {len(listed) - _LISTED} more"] if len(listed) > _LISTED else []
    if variant.repair:
        lines += ["", "What it took:", "", *[f"{number}. {line}" for number, line in enumerate(variant.repair, 1)]]
    return lines
