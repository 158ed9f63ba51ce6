"""Add variants to a finished artifact, without PyTorch: its fp32 variant, which was verified, is the reference."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import onnx_ir

from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.files import check_target, staged_folder
from onnxpress.format.manifest import FORMAT_VERSION, Quality, Speed
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress_exporter import timing
from onnxpress_exporter.add_variants import Say, Verifier, add_variants, finish, precisions, refusal, tokenizer_of
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.generation.afterwards import add_writing_variants, no_metric
from onnxpress_exporter.probe import Probe
from onnxpress_exporter.quantize.flow import Settings
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.evaluation import read_evaluation
from onnxpress_exporter.verify import reference_answers, verify
from onnxpress_exporter.write.card import CARD


def quantize(
    artifact: str | Path,
    precision: Sequence[str] | str,
    out: str | Path | None = None,
    *,
    settings: Settings | None = None,
    force: bool = False,
    command: str | None = None,
    log_file: Path | None = None,
    progress: Say | None = None,
) -> Artifact:
    """Add variants to an artifact that has fp32.

    Args:
        artifact: its folder.
        precision: of `precisions.QUANTIZED`.
        out: a folder for the artifact with the new variants; None: in its place.
        force: make variants anew that are there already, or replace `out`.
        progress: called with what is being done.

    Raises:
        VariantRefused: a variant misses its thresholds. Those that passed were written.
        InputError: no such precision, no fp32 variant, or the target exists.
        ArtifactError: the artifact is missing or damaged.
    """
    source, say, chosen = Path(artifact), progress or (lambda stage: None), settings or Settings()
    target = source if out is None else Path(out).expanduser()
    names = precisions(precision)
    opened = Artifact.open(source)
    _check_request(opened, names, force=force)
    if out is not None:
        check_target(target, force=force)
    # Opened before anything is copied: this checks every file's digest.
    graphs = opened.graphs(REFERENCE)
    for name in opened.manifest.files:
        opened.file(name)
    with quiet(log_file), staged_folder(target, force=force or out is None) as folder:
        evaluation = None
        if chosen.evaluation is not None:
            if opened.manifest.generation is not None:
                raise InputError(no_metric(opened.manifest.task))
            say("reading the labelled rows")
            evaluation = read_evaluation(chosen.evaluation, opened.manifest)
        _copy_files(opened, folder, without=names)
        reference = Session(graphs)
        loaded = {name: onnx_ir.load(path) for name, path in graphs.items()}
        if opened.manifest.generation is not None:
            outcome = add_writing_variants(opened, folder, loaded, reference, names, chosen, say)
        else:
            outcome = add_variants(
                Artifact(opened.folder, opened.manifest),
                folder,
                loaded,
                reference,
                _verifier(opened, reference),
                names,
                chosen,
                say,
                evaluation,
            )
        reference.close()
        if not outcome.variants:
            raise VariantRefused(refusal(outcome.refused, None))
        manifest = replace(
            opened.manifest,
            format_version=FORMAT_VERSION,
            variants={**opened.manifest.variants, **outcome.variants},
        )
        finish(manifest, folder)
    made = Artifact.open(target)
    if outcome.refused:
        raise VariantRefused(refusal(outcome.refused, made), made)
    return made


def _check_request(artifact: Artifact, names: Sequence[str], *, force: bool) -> None:
    if REFERENCE not in artifact.manifest.variants:
        raise InputError(
            f"{artifact.folder} has no fp32 variant to start from. Export the checkpoint with --precision "
            f"fp32,{','.join(names)}."
        )
    there = [name for name in names if name in artifact.manifest.variants]
    if there and not force:
        raise InputError(f"{artifact.folder} has {', '.join(there)} already. Pass --force to make it anew.")


def _copy_files(artifact: Artifact, folder: Path, without: Sequence[str]) -> None:
    """Everything but the manifest, the card and the variants to be made."""
    manifest = artifact.manifest
    kept: set[str] = set()
    for name, variant in manifest.variants.items():
        if name not in without:
            kept.update(file for graph in variant.graphs.values() for file in (graph.file, *graph.external))
    replaced = {
        file
        for name in without
        if name in manifest.variants
        for graph in manifest.variants[name].graphs.values()
        for file in (graph.file, *graph.external)
    } - kept
    for name in manifest.files:
        if name in replaced or name == CARD:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Copied, not linked: onnx_ir does not read weights that have a second name.
        shutil.copyfile(artifact.file(name), target)


def _verifier(artifact: Artifact, reference: Session) -> Verifier:
    """The fp32 variant in the place of PyTorch."""
    graph = artifact.manifest.graphs["model"]
    tokenizer = tokenizer_of(artifact, artifact.folder)
    probe = Probe(TASKS[artifact.manifest.task].probes, graph, tokenizer)
    answers = reference_answers(reference.run, probe.collate, probe.samples, graph.outputs)

    def check(precision: str, session: Session) -> Quality:
        quality = verify(precision, answers, session.run, probe.collate, probe.samples, graph.outputs)
        return replace(quality, reference="the fp32 variant, verified against PyTorch")

    def speed(session: Session, fp32: Session) -> Speed | None:
        runners = {"variant": session.run, timing.PLAIN: fp32.run}
        return timing.measure(runners, probe.collate, probe.longest, tokenizer.settings.max_length)

    return Verifier(check, speed)
