"""Plans more variants of an artifact: its fp32 variant, which was verified, is the reference. No PyTorch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx_ir

from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.front_matter import CARD
from onnxpress.format.manifest import FORMAT_VERSION
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress.text.opening import open_tokenizer, required_tokenizer
from onnxpress_exporter.gate.answers import AnswersGate
from onnxpress_exporter.gate.base import Gate
from onnxpress_exporter.gate.cases import Ends
from onnxpress_exporter.gate.writing import WritingGate, ends_of
from onnxpress_exporter.judging.data import read
from onnxpress_exporter.plan import KEPT_WHOLE, Part, Plan
from onnxpress_exporter.quantize.settings import Say, Settings
from onnxpress_exporter.reference import GraphReference
from onnxpress_exporter.tasks.evaluation import evaluation_of
from onnxpress_exporter.write.generation import GENERATION_CONFIG


def check_request(artifact: Artifact, names: Sequence[str], *, force: bool) -> None:
    """Refuse what cannot be added.

    Raises:
        InputError: there is no fp32 variant to start from, or the new ones are there already.
    """
    if REFERENCE not in artifact.manifest.variants:
        raise InputError(
            f"{artifact.folder} has no fp32 variant to start from. Export the checkpoint with --precision "
            f"fp32,{','.join(names)}."
        )
    there = [name for name in names if name in artifact.manifest.variants]
    if there and not force:
        raise InputError(f"{artifact.folder} has {', '.join(there)} already. Pass --force to make it anew.")


def plan_from_artifact(
    artifact: Artifact, wanted: Sequence[str], folder: Path, command: str, settings: Settings, say: Say
) -> Plan:
    """Copy an artifact's files into `folder`, without the variants that are made anew, and plan them.

    Raises:
        InputError: labelled rows are not what the task takes.
        ArtifactError: a file is missing or damaged.
    """
    # Opened before anything is copied: this checks every file's digest.
    graphs = artifact.graphs(REFERENCE)
    for name in artifact.manifest.files:
        artifact.file(name)
    manifest = replace(
        artifact.manifest,
        format_version=FORMAT_VERSION,
        provenance=replace(
            artifact.manifest.provenance, command=f"{artifact.manifest.provenance.command} && {command}"
        ),
    )
    rows = None
    if settings.evaluation is not None:
        say("reading the labelled rows")
        rows = evaluation_of(read(settings.evaluation), manifest, settings.evaluation.columns)
    _copy_files(artifact, folder, without=wanted)
    parts = tuple(
        Part(name, info, onnx_ir.load(graphs[name]), info.role not in KEPT_WHOLE)
        for name, info in manifest.graphs.items()
    )
    plain = Session(graphs, adapters=manifest.adapters, alternates=True)
    say("asking fp32")
    gate: Gate
    if manifest.generation is None:
        gate = AnswersGate(artifact, open_tokenizer(artifact), GraphReference(plain, artifact.trust), rows)
    else:
        gate = WritingGate(artifact, required_tokenizer(artifact), plain, ends_in(artifact), rows=rows)
    return Plan(manifest, folder, parts, plain, gate, settings, compared=False, adds=True)


def ends_in(artifact: Artifact) -> Ends:
    """The tokens that begin and end what an artifact writes."""
    defaults = {}
    if GENERATION_CONFIG in artifact.manifest.files:
        defaults = json.loads(artifact.file(GENERATION_CONFIG).read_text(encoding="utf-8"))
    return ends_of(defaults)


def _copy_files(artifact: Artifact, folder: Path, without: Sequence[str]) -> None:
    """Everything but the manifest, the card and the variants to be made."""
    variants = artifact.manifest.variants
    needed = [variant.files for name, variant in variants.items() if name not in without]
    replaced = frozenset().union(*(variants[name].files for name in without if name in variants)).difference(*needed)
    for name in artifact.manifest.files:
        if name in replaced or name == CARD:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Copied, not linked: onnx_ir does not read weights that have a second name.
        shutil.copyfile(artifact.file(name), target)
    if (artifact.folder / CARD).is_file():  # what it carries over stays; people edit it, so that it has any hash
        shutil.copyfile(artifact.folder / CARD, folder / CARD)
