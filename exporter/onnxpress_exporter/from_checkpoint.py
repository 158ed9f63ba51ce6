"""Plans the export of a checkpoint: traces or builds its graphs and saves them; PyTorch is the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx_ir

from onnxpress.engine.session import Session
from onnxpress.format.front_matter import CARD
from onnxpress.format.manifest import (
    FORMAT,
    FORMAT_VERSION,
    GenerationSettings,
    GraphFiles,
    GraphInfo,
    Manifest,
    Variant,
)
from onnxpress.format.precisions import REFERENCE
from onnxpress.format.processors import TokenizerSettings
from onnxpress.layouts.artifact import Artifact
from onnxpress.text.opening import open_tokenizer, required_tokenizer
from onnxpress.text.tokenizer import Tokenizer, Truncation
from onnxpress_exporter.gate.answers import AnswersGate
from onnxpress_exporter.gate.finished import check_opens
from onnxpress_exporter.gate.lengths import LONGEST_TOKENS
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.gate.sizes import runs_at_any_size
from onnxpress_exporter.gate.writing import WritingGate, ends_of
from onnxpress_exporter.graphs.generating import Built, graph_info
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.graphs.trace import check_runs, trace
from onnxpress_exporter.inputs import read_inputs
from onnxpress_exporter.inputs.base import Inputs
from onnxpress_exporter.judging.data import Table
from onnxpress_exporter.judging.samples import SINGLES
from onnxpress_exporter.layouts import USUAL, WrittenLayout
from onnxpress_exporter.passes import apply_passes, with_long_inputs
from onnxpress_exporter.plan import KEPT_WHOLE, Part, Plan
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.quantize.settings import Say, Settings
from onnxpress_exporter.reference import TorchReference, TorchWriter
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.tasks.evaluation import evaluation_of
from onnxpress_exporter.tasks.loading import load_model, suited_row
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.write import describe
from onnxpress_exporter.write.generation import write_generation_config
from onnxpress_exporter.write.save import save


@dataclass(frozen=True, slots=True)
class _Graphs:
    """What a model became. `modules`: what traced graphs were traced from; `generation`: of a model that writes."""

    models: Mapping[str, onnx_ir.Model]
    info: Mapping[str, GraphInfo]
    modules: Mapping[str, tuple[Any, list[str]]]
    generation: GenerationSettings | None = None


def plan_from_checkpoint(
    checkpoint: Checkpoint,
    task: str,
    folder: Path,
    command: str,
    settings: Settings,
    table: Table | None,
    say: Say,
    *,
    allow_pickled_weights: bool,
    layout: WrittenLayout = USUAL,
) -> Plan:
    """Write a checkpoint's fp32 graphs, tokenizer and settings into `folder`, and ask PyTorch for its answers.

    Args:
        table: labelled rows.
        layout: how files and graphs are laid out.

    Raises:
        VerificationFailed: the runtime's tokens are not transformers'.
        ExportError: the checkpoint cannot be exported; the subclass says why.
    """
    say("load")
    row = suited_row(task, checkpoint)
    arguments = row.load_arguments(checkpoint)
    model = load_model(checkpoint, task)
    row = row.of(model)
    inputs = read_inputs(row, checkpoint, arguments)
    parts_to_trace = (
        [] if row.writes else traceable(row, checkpoint, model, inputs, allow_pickled_weights=allow_pickled_weights)
    )
    processors = inputs.write(row, checkpoint, folder, model)
    say("trace")
    graphs = _built(inputs.built(model), layout) if row.writes else _traced(parts_to_trace, processors.text)
    say("save")
    files = _save(graphs.models, folder, folder / layout.folder)
    named = {} if row.writes else describe.named_for_all(model, checkpoint.config)
    describe.copy_card(checkpoint.folder / CARD, folder)
    describe.copy_settings(checkpoint, folder, {**named, **arguments.config})
    row.files_of_library(checkpoint, model, folder, allow_pickled_weights)
    if graphs.generation is not None:
        write_generation_config(model, folder)
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        task=task,
        model_type=checkpoint.model_type,
        architecture=type(model).__name__,
        padding=True,
        graphs=graphs.info,
        variants={REFERENCE: Variant(files, 0)},
        processors=processors,
        postprocessing=row.postprocessing(checkpoint, model),
        provenance=describe.provenance(checkpoint, command),
        files={},
        generation=graphs.generation,
    )
    manifest = replace(manifest, files=describe.file_table(folder, graphs=False))
    rows = None
    if table is not None and settings.evaluation is not None:
        rows = evaluation_of(table, manifest, settings.evaluation.columns)
    say("reference")
    artifact = Artifact(folder, manifest)
    tokenizer = open_tokenizer(artifact)
    plain = Session({name: folder / entry.file for name, entry in files.items()}, alternates=True)
    check_opens(artifact, plain, tokenizer)
    with runs_at_any_size(manifest.architecture):
        compared = row.compare_whole(checkpoint, artifact, plain, tokenizer)
    # From the files: weights are mapped into memory and are not there twice.
    parts = tuple(
        Part(name, info, onnx_ir.load(folder / files[name].file), info.role not in KEPT_WHOLE)
        for name, info in graphs.info.items()
    )
    if graphs.generation is None:
        answers = AnswersGate(artifact, tokenizer, TorchReference(graphs.modules, compared), rows, inputs.check)
        manifest = replace(manifest, padding=answers.padding)
        return Plan(manifest, folder, parts, plain, answers, settings, beside=layout.finish)
    writer = required_tokenizer(artifact)
    check_texts(writer, inputs.check)
    with runs_at_any_size(manifest.architecture):
        writing = WritingGate(artifact, writer, plain, ends_of_model(model), TorchWriter(model), rows=rows)
    return Plan(manifest, folder, parts, plain, writing, settings, beside=layout.finish)


def traceable(
    row: ExportTask, checkpoint: Checkpoint, model: Any, inputs: Inputs, *, allow_pickled_weights: bool
) -> list[Traceable]:
    """Prepare a model that reads for tracing, with the graphs that follow it."""
    return [*inputs.traceable(row, model), *row.graphs_after(checkpoint, model, allow_pickled_weights)]


def _traced(traceable: Sequence[Traceable], text: TokenizerSettings | None) -> _Graphs:
    for part in traceable:
        check_runs(part)
    models = {part.spec.name: trace(part.module, part.spec, part.inputs) for part in traceable}
    passes = with_long_inputs(PRECISIONS[REFERENCE].passes, None if text is None else text.max_length)
    for graph in models.values():
        apply_passes(graph, passes)
    return _Graphs(
        models,
        {part.spec.name: part.spec.info for part in traceable},
        {part.spec.name: (part.module, [tensor.name for tensor in part.spec.outputs]) for part in traceable},
    )


def _built(built: Built, layout: WrittenLayout) -> _Graphs:
    """The graphs of a model that writes, as a layout has them."""
    for name in built.seeing:
        apply_passes(built.graphs[name], PRECISIONS[REFERENCE].passes)
    adapted = layout.adapt(built.graphs, built.settings)
    info = {name: graph_info(name, graph) for name, graph in adapted.graphs.items()}
    return _Graphs(adapted.graphs, info, {}, adapted.generation)


def _save(models: Mapping[str, onnx_ir.Model], folder: Path, place: Path) -> dict[str, GraphFiles]:
    """Write graphs to a place in the artifact's folder, named as transformers.js names them."""
    place.mkdir(exist_ok=True)
    files = {}
    for name, graph in models.items():
        path = place / f"{name}{PRECISIONS[REFERENCE].suffix}.onnx"
        files[name] = describe.graph_files(graph, save(graph, path), folder)
    return files


def check_texts(runtime: Tokenizer, check: Check | None) -> None:
    """Compare the tokens of the usual texts with transformers'."""
    limit = min(runtime.settings.max_length or LONGEST_TOKENS, LONGEST_TOKENS)
    if check is None:
        return
    for sample in SINGLES:
        check(sample, runtime.encode(sample.text, truncation=Truncation(limit)), limit)


def ends_of_model(model: Any) -> Any:
    """Find the ends as `generate` does: the model's config may have a first token that the generation config lacks."""
    defaults = model.generation_config.to_dict()
    if defaults.get("decoder_start_token_id") is None:
        defaults["decoder_start_token_id"] = getattr(model.config, "decoder_start_token_id", None)
    return ends_of(defaults)
