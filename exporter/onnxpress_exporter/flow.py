"""The whole flow: checkpoint -> spec -> trace -> passes -> verify -> artifact.

Everything happens in a temporary folder beside the target, which is renamed at the end: a failed verification, an
error or a kill leaves no artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir

from onnxpress.artifact import Artifact, variant_bytes
from onnxpress.errors import InputError
from onnxpress.files import check_target, staged_folder, write_file
from onnxpress.manifest import (
    FILE_NAME,
    FORMAT,
    FORMAT_VERSION,
    PRECISION_SUFFIX,
    GraphFiles,
    Manifest,
    Variant,
    dump,
)
from onnxpress.session import Session
from onnxpress.tokenizer import Tokenizer
from onnxpress_exporter import describe, specs
from onnxpress_exporter.checkpoint import (
    Checkpoint,
    infer_task,
    load_model,
    load_tokenizer,
    normalize_task,
    open_checkpoint,
)
from onnxpress_exporter.compare import Comparison
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.recipes import RECIPES, apply_recipe
from onnxpress_exporter.save import save
from onnxpress_exporter.sentence import read_sentence_settings
from onnxpress_exporter.specs.text_encoder import hidden_size
from onnxpress_exporter.tokenizers import tokenizer_settings, write_tokenizer
from onnxpress_exporter.trace import trace

STAGES = ("open", "load", "trace", "save", "reference", "verify", "write")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Traceable:
    """A module, what to trace of it, and on which inputs."""

    spec: specs.GraphSpec
    module: Any
    inputs: Mapping[str, Any]


def export(
    model: str | Path,
    out: str | Path,
    task: str | None = None,
    precision: Sequence[str] = ("fp32",),
    *,
    revision: str | None = None,
    force: bool = False,
    allow_pickled_weights: bool = False,
    trust_remote_code: bool = False,
    command: str | None = None,
    log_file: Path | None = None,
    progress: Progress | None = None,
) -> Artifact:
    """Export a checkpoint as a verified artifact.

    Args:
        model: a Hub id or a folder.
        out: the artifact's folder; it must not exist unless `force` is given.
        task: the Hub's name or a synonym; None: found from the checkpoint.
        precision: the variants to write.
        revision: branch, tag or commit on the Hub.
        allow_pickled_weights: load a checkpoint that has no safetensors file.
        trust_remote_code: let the checkpoint's own Python code run.
        command: what the manifest records as the command; None: this call.
        log_file: where dependencies' logs, warnings and output go; None: nowhere.
        progress: called with each of STAGES as it begins.

    Raises:
        ExportError: no artifact was written; the subclass says why.
        HubError: the Hub refused or cannot be reached.
        InputError: the target exists, or an argument is wrong.
    """
    target, say = Path(out).expanduser(), progress or (lambda stage: None)
    precisions = _precisions(precision)
    check_target(target, force=force)
    wanted = None if task is None else normalize_task(task)
    with quiet(log_file):
        say("open")
        checkpoint = open_checkpoint(
            model, revision=revision, allow_pickled_weights=allow_pickled_weights, trust_remote_code=trust_remote_code
        )
        name = wanted or infer_task(checkpoint)
        with staged_folder(target, force=force) as folder:
            recorded = command or f"onnxpress_exporter.export({str(model)!r}, {str(out)!r}, {name!r}, {precisions!r})"
            manifest = _build(checkpoint, name, precisions, folder, recorded, allow_pickled_weights, say)
            write_file(folder / FILE_NAME, dump(manifest).encode())
        say("done")
    return Artifact.open(target)


def _build(
    checkpoint: Checkpoint,
    task: str,
    precisions: Sequence[str],
    folder: Path,
    command: str,
    allow_pickled_weights: bool,
    say: Progress,
) -> Manifest:
    say("load")
    model, tokenizer = load_model(checkpoint, task), load_tokenizer(checkpoint)
    sentence = None
    if task == "sentence-similarity":
        sentence = read_sentence_settings(checkpoint.folder, hidden_size(model))
    spec = specs.text_encoder_spec(task, model, tokenizer)
    parts = [Traceable(spec, model, specs.example_inputs(spec, tokenizer))]
    if sentence is not None and (head := specs.sentence_head_spec(sentence)) is not None:
        module = specs.load_sentence_head(sentence, allow_pickled_weights=allow_pickled_weights)
        parts.append(Traceable(head, module, specs.head_example_inputs(sentence)))
    write_tokenizer(tokenizer, folder)
    settings = tokenizer_settings(tokenizer, model.config)
    say("trace")
    traced = {part.spec.name: trace(part.module, part.spec, part.inputs) for part in parts}
    say("save")
    saved = {precision: _save(traced, precision, folder) for precision in precisions}
    describe.copy_settings(checkpoint, folder)
    say("reference")
    runtime_tokenizer = Tokenizer(folder / settings.file, settings)
    comparison = Comparison(task, [(part.spec, part.module) for part in parts], tokenizer, runtime_tokenizer)
    say("verify")
    qualities, speeds = {}, {}
    for precision, graphs in saved.items():
        session = Session({name: folder / entry.file for name, entry in graphs.items()})
        qualities[precision] = comparison.verify(precision, session)
        speeds[precision] = comparison.speed(session)
        session.close()
    say("write")
    draft = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        task=task,
        model_type=checkpoint.model_type,
        architecture=type(model).__name__,
        padding=comparison.padding,
        graphs={part.spec.name: part.spec.info for part in parts},
        variants={p: Variant(graphs, 0, quality=qualities[p], speed=speeds[p]) for p, graphs in saved.items()},
        tokenizer=settings,
        postprocessing=describe.postprocessing(task, checkpoint, model, sentence),
        provenance=describe.provenance(checkpoint, command),
        files=describe.file_table(folder),
    )
    return _with_bytes(draft)


def _save(traced: Mapping[str, onnx_ir.Model], precision: str, folder: Path) -> dict[str, GraphFiles]:
    """Apply the recipe to a copy of each graph and write it, named as transformers.js names it."""
    (folder / "onnx").mkdir(exist_ok=True)
    graphs = {}
    for name, original in traced.items():
        graph = original.clone()
        apply_recipe(graph, precision)
        path = folder / "onnx" / f"{name}{PRECISION_SUFFIX[precision]}.onnx"
        graphs[name] = describe.graph_files(graph, save(graph, path), folder)
    return graphs


def _with_bytes(draft: Manifest) -> Manifest:
    from dataclasses import replace

    variants = {name: replace(variant, bytes=variant_bytes(draft, variant)) for name, variant in draft.variants.items()}
    return replace(draft, variants=variants)


def _precisions(precision: Sequence[str] | str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(precision.split(",") if isinstance(precision, str) else precision))
    unknown = [name for name in names if name not in RECIPES]
    if unknown or not names:
        raise InputError(f"precision {unknown or names!r}: this version writes {', '.join(RECIPES)}.")
    return names
