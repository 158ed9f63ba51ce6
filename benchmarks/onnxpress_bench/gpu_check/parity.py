"""A task's answers on the device beside the processor's fp32 variant and beside PyTorch, by the gate of exports.

Raw outputs alone and in batches, then the answers of the task's own pipeline, or what a model writes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onnxpress.engine.session import Session
from onnxpress.errors import OnnxpressError
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress.text.opening import open_tokenizer, required_tokenizer
from onnxpress_bench.gpu_check.place import Place
from onnxpress_bench.gpu_check.placement import placement_of
from onnxpress_bench.gpu_check.rows import ParityRow
from onnxpress_exporter.from_checkpoint import traceable
from onnxpress_exporter.gate.answers import AnswersGate
from onnxpress_exporter.gate.base import Gate
from onnxpress_exporter.gate.writing import WritingGate, ends_of
from onnxpress_exporter.inputs import read_inputs
from onnxpress_exporter.quantize.thresholds import thresholds_of
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.reference import GraphReference, TorchReference, TorchWriter
from onnxpress_exporter.source.checkpoint import open_checkpoint
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.loading import load_model
from onnxpress_exporter.write.generation import GENERATION_CONFIG

CPU_ANSWERS, PYTORCH_ANSWERS = "the processor's fp32", "PyTorch fp32"


def check_parity(
    row: ParityRow, folder: Path, checkpoint: Path, refused: Mapping[str, str], place: Place
) -> list[dict[str, Any]]:
    """One entry for each precision: where its nodes are, and what the gate says of its answers."""
    artifact = Artifact.open(folder)
    plain = Session(artifact.graphs(REFERENCE))
    with closing(plain):
        gates: dict[str, Gate | str] = {
            CPU_ANSWERS: _asked(lambda: _gate(artifact, plain, None)),
            PYTORCH_ANSWERS: _asked(lambda: _gate(artifact, plain, checkpoint)),
        }
        return [
            _entry(row, artifact, precision, gates, place)
            if precision in artifact.manifest.variants
            else {"row": row.name, "precision": precision, "refused": refused.get(precision, "not prepared")}
            for precision in row.precisions
        ]


def _entry(
    row: ParityRow, artifact: Artifact, precision: str, gates: Mapping[str, Gate | str], place: Place
) -> dict[str, Any]:
    variant, paths = artifact.manifest.variants[precision], artifact.graphs(precision)
    # What suits processors alone may leave nodes to them: that is why it does not suit a GPU.
    suits = precision == REFERENCE or "cuda" in variant.targets
    entry: dict[str, Any] = {"row": row.name, "task": row.task, "precision": precision, "suits_gpus": suits}
    failures = []
    placements = {name: placement_of(path, place.device) for name, path in paths.items()}
    entry["placement"] = {name: asdict(placement) for name, placement in placements.items()}
    if suits:
        failures = [
            f"{name}: on the processor: {', '.join(placement.host_operators)}"
            for name, placement in placements.items()
            if not placement.whole
        ]
    roles = {graph.role: name for name, graph in artifact.manifest.graphs.items()}
    with closing(Session(paths, device=place.device, roles=roles)) as session:
        for name, gate in gates.items():
            judged = {"failed": gate} if isinstance(gate, str) else _judged(gate, precision, session)
            entry[f"beside {name}"] = judged
            failures += [f"beside {name}: {why}" for why in judged.get("missed", ())]
            failures += [f"beside {name}: {judged['failed']}"] if "failed" in judged else []
    return {**entry, "failures": failures}


def _judged(gate: Gate, precision: str, session: Session) -> dict[str, Any]:
    """The gate's figures, and what they miss; or why it has none."""
    try:
        quality = gate.verify(precision, session)
        verdict = gate.judge(session, thresholds_of(precision))
    except OnnxpressError as error:
        return {"failed": f"{type(error).__name__}: {error}"}
    return {
        "inputs": quality.inputs,
        "max_error": quality.max_error,
        "max_error_limit": quality.max_error_limit,
        "batch_error": quality.batch_error,
        "batch_error_limit": quality.batch_error_limit,
        "figures": dict(verdict.figures),
        "missed": list(verdict.missed),
    }


def _asked(make: Callable[[], Gate]) -> Gate | str:
    """A gate that has asked its reference; or why it could not, such as a checkpoint that cannot be loaded there."""
    try:
        with quiet():
            gate = make()
            gate.prepare()
    except Exception as error:  # whatever another version of transformers raises belongs into the record
        return f"{type(error).__name__}: {error}"
    return gate


def _gate(artifact: Artifact, plain: Session, checkpoint: Path | None) -> Gate:
    """The gate of an artifact's task. `checkpoint`: what PyTorch answers with; None: the fp32 variant answers."""
    manifest = artifact.manifest
    row = TASKS[manifest.task]
    opened = None if checkpoint is None else open_checkpoint(checkpoint)
    model = None if opened is None else load_model(opened, manifest.task)
    if row.writes:
        defaults = json.loads(artifact.file(GENERATION_CONFIG).read_text(encoding="utf-8"))
        writer = None if model is None else TorchWriter(model)
        return WritingGate(artifact, required_tokenizer(artifact), plain, ends_of(defaults), writer, forgets=False)
    tokenizer = open_tokenizer(artifact)
    if opened is None:
        return AnswersGate(artifact, tokenizer, GraphReference(plain))
    inputs = read_inputs(row, opened, row.load_arguments(opened))
    parts = traceable(row, opened, model, inputs, allow_pickled_weights=False)
    modules = {part.spec.name: (part.module, [tensor.name for tensor in part.spec.outputs]) for part in parts}
    return AnswersGate(artifact, tokenizer, TorchReference(modules))
