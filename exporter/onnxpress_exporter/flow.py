"""The whole flow: checkpoint -> spec -> trace -> passes -> verify -> artifact.

Everything happens in a temporary folder beside the target, which is renamed at the end: a failed verification, an
error or a kill leaves no artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx_ir

from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.files import check_target, staged_folder
from onnxpress.format.manifest import (
    FORMAT,
    FORMAT_VERSION,
    GraphFiles,
    Manifest,
    Variant,
)
from onnxpress.format.precisions import REFERENCE
from onnxpress.format.processors import Processors
from onnxpress.layouts.artifact import Artifact
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter.add_variants import (
    Outcome,
    Verifier,
    add_variants,
    finish,
    precisions,
    refusal,
    settled,
)
from onnxpress_exporter.compare import Comparison
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.generation.flow import build_writing
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.graphs.trace import trace
from onnxpress_exporter.judging.data import Table, read
from onnxpress_exporter.passes import apply_passes
from onnxpress_exporter.precisions import PRECISIONS, QUANTIZED
from onnxpress_exporter.quantize.flow import Settings
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.source.checkpoint import Checkpoint, load_tokenizer, open_checkpoint
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.evaluation import evaluation_of
from onnxpress_exporter.tasks.heads import normalize_task
from onnxpress_exporter.tasks.loading import infer_task, load_model
from onnxpress_exporter.tasks.text_graph import example_inputs, text_encoder_spec
from onnxpress_exporter.write import describe
from onnxpress_exporter.write.save import save
from onnxpress_exporter.write.tokenizers import tokenizer_settings, write_tokenizer

STAGES = ("open", "load", "trace", "save", "reference", "verify", "write")

Progress = Callable[[str], None]


def export(
    model: str | Path,
    out: str | Path,
    task: str | None = None,
    precision: Sequence[str] = (REFERENCE,),
    *,
    revision: str | None = None,
    force: bool = False,
    allow_pickled_weights: bool = False,
    trust_remote_code: bool = False,
    adapter: str | Path | None = None,
    quantization: Settings | None = None,
    command: str | None = None,
    log_file: Path | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Export a checkpoint as a verified artifact.

    Args:
        model: a Hub id or a folder.
        out: the artifact's folder; it must not exist unless `force` is given.
        task: the Hub's name or a synonym; None: found from the checkpoint.
        precision: the variants to write: fp32, and any of `precisions.QUANTIZED`. All are made from fp32.
        revision: branch, tag or commit on the Hub.
        allow_pickled_weights: load a checkpoint that has no safetensors file.
        trust_remote_code: let the checkpoint's own Python code run.
        adapter: a PEFT adapter, a folder or a Hub id, to merge into the model.
        quantization: thresholds of the variants, how long each may be repaired, and labelled rows to judge them by.
        command: what the manifest records as the command; None: this call.
        log_file: where dependencies' logs, warnings and output go; None: nowhere.
        progress: called with each of STAGES as it begins, and with what is done for a variant: "int8: judging".

    Raises:
        VariantRefused: a variant misses its thresholds. The others were written, if there are any.
        ExportError: no artifact was written; the subclass says why.
        HubError: the Hub refused or cannot be reached.
        InputError: the target exists, or an argument is wrong.
    """
    target, say = Path(out).expanduser(), progress or (lambda stage: None)
    wanted_precisions = precisions(precision, (REFERENCE, *QUANTIZED))
    settings = quantization or Settings()
    check_target(target, force=force)
    if settings.evaluation is not None and wanted_precisions == (REFERENCE,):
        raise InputError(f"--eval-data judges quantized variants. Name some with --precision: {', '.join(QUANTIZED)}.")
    wanted = None if task is None else normalize_task(task)
    with quiet(log_file):
        say("open")
        # Before anything that takes long.
        table = None if settings.evaluation is None else read(settings.evaluation)
        checkpoint = open_checkpoint(
            model,
            revision=revision,
            allow_pickled_weights=allow_pickled_weights,
            trust_remote_code=trust_remote_code,
            adapter=adapter,
        )
        name = wanted or infer_task(checkpoint)
        if table is not None and TASKS[name].writes:
            raise InputError(
                f"There is no metric of {name} for --eval-data yet. Leave it out: texts are judged anyway."
            )
        with staged_folder(target, force=force) as folder:
            recorded = (
                command or f"onnxpress_exporter.export({str(model)!r}, {str(out)!r}, {name!r}, {wanted_precisions!r})"
            )
            if TASKS[name].writes:
                manifest, outcome = build_writing(checkpoint, name, wanted_precisions, folder, recorded, settings, say)
            else:
                manifest, outcome = _build(
                    checkpoint, name, wanted_precisions, folder, recorded, allow_pickled_weights, settings, table, say
                )
            finish(manifest, folder)
        say("done")
    artifact = Artifact.open(target)
    if outcome.refused:
        raise VariantRefused(refusal(outcome.refused, artifact), artifact)
    return artifact


def _build(
    checkpoint: Checkpoint,
    task: str,
    wanted: Sequence[str],
    folder: Path,
    command: str,
    allow_pickled_weights: bool,
    quantization: Settings,
    table: Table | None,
    say: Progress,
) -> tuple[Manifest, Outcome]:
    say("load")
    model, tokenizer = load_model(checkpoint, task), load_tokenizer(checkpoint)
    row = TASKS[task]
    spec = text_encoder_spec(row, model, tokenizer)
    parts = [
        Traceable(spec, row.by_rows(model), example_inputs(spec, tokenizer)),
        *row.graphs_after(checkpoint, model, allow_pickled_weights),
    ]
    write_tokenizer(tokenizer, folder)
    settings = tokenizer_settings(tokenizer, model.config)
    say("trace")
    traced = {part.spec.name: trace(part.module, part.spec, part.inputs) for part in parts}
    say("save")
    saved = _save(traced, folder)
    describe.copy_settings(checkpoint, folder)
    say("reference")
    runtime_tokenizer = Tokenizer(folder / settings.file, settings)
    comparison = Comparison(task, [(part.spec, part.module) for part in parts], tokenizer, runtime_tokenizer)
    say("verify")
    session = Session({name: folder / entry.file for name, (entry, _) in saved.items()})
    quality, speed = comparison.verify(REFERENCE, session), comparison.speed(session)
    session.close()
    graphs = {name: entry for name, (entry, _) in saved.items()}
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        task=task,
        model_type=checkpoint.model_type,
        architecture=type(model).__name__,
        padding=comparison.padding,
        graphs={part.spec.name: part.spec.info for part in parts},
        variants={REFERENCE: Variant(graphs, 0, quality=quality, speed=speed)},
        processors=Processors(text=settings),
        postprocessing=row.postprocessing(checkpoint, model),
        provenance=describe.provenance(checkpoint, command),
        files={},
    )
    evaluation = None
    if table is not None and quantization.evaluation is not None:
        evaluation = evaluation_of(table, manifest, quantization.evaluation.columns)
    outcome = Outcome()
    if tuple(wanted) != (REFERENCE,):
        outcome = add_variants(
            Artifact(folder, manifest),
            folder,
            {name: graph for name, (_, graph) in saved.items()},
            comparison.session(),
            Verifier(comparison.verify, comparison.speed),
            [name for name in wanted if name != REFERENCE],
            quantization,
            say,
            evaluation,
        )
    say("write")
    return settled(manifest, outcome, wanted, folder), outcome


def _save(traced: Mapping[str, onnx_ir.Model], folder: Path) -> dict[str, tuple[GraphFiles, onnx_ir.Model]]:
    """Apply the fp32 recipe to each graph and write it, named as transformers.js names it."""
    (folder / "onnx").mkdir(exist_ok=True)
    saved = {}
    for name, graph in traced.items():
        apply_passes(graph, PRECISIONS[REFERENCE].passes)
        path = folder / "onnx" / f"{name}{PRECISIONS[REFERENCE].suffix}.onnx"
        saved[name] = (describe.graph_files(graph, save(graph, path), folder), graph)
    return saved
