"""The one flow: plan -> verify -> for each precision: quantize, judge, repair -> settle.

`export` reads a checkpoint, and PyTorch is the reference; `quantize` reads an artifact, and its fp32 variant is;
`adopt` reads another tool's folder, whose fp32 graph is, unless its checkpoint is there. All make a plan, and the rest
is the same.

Everything happens in a temporary folder beside the target, which is renamed at the end: a failed verification, an
error or a kill leaves no artifact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from onnxpress.errors import InputError
from onnxpress.format.files import check_target, staged_folder
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress.suggestions import did_you_mean
from onnxpress_exporter.carrying_out import carry_out, finish_artifact
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.from_artifact import check_request, plan_from_artifact
from onnxpress_exporter.from_foreign import Original, adopt_into, open_foreign, original_on_card
from onnxpress_exporter.judging.data import read
from onnxpress_exporter.layouts import USUAL, find_layout
from onnxpress_exporter.precisions import QUANTIZED
from onnxpress_exporter.quantize.settings import Say, Settings
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.settle import Outcome, refusal
from onnxpress_exporter.write.foreign import kept_as
from onnxpress_exporter.write.origin import public_name

STAGES = ("open", "load", "trace", "save", "reference", "verify", "write")


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
    layout: str = USUAL.name,
    quantization: Settings | None = None,
    command: str | None = None,
    log_file: Path | None = None,
    progress: Say | None = None,
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
        layout: how files and graphs are laid out, one of `layouts.LAYOUTS`: for this runtime, or for another tool.
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
    # PyTorch and transformers: the other way into the flow does without them.
    from onnxpress_exporter.from_checkpoint import plan_from_checkpoint
    from onnxpress_exporter.reference import torch_threads
    from onnxpress_exporter.source.checkpoint import open_checkpoint
    from onnxpress_exporter.tasks.heads import normalize_task
    from onnxpress_exporter.tasks.loading import infer_task, suited_row

    target, say = Path(out).expanduser(), progress or (lambda stage: None)
    wanted = precisions(precision, (REFERENCE, *QUANTIZED))
    settings = quantization or Settings()
    check_target(target, force=force)
    if settings.evaluation is not None and wanted == (REFERENCE,):
        raise InputError(f"--eval-data judges quantized variants. Name some with --precision: {', '.join(QUANTIZED)}.")
    asked = None if task is None else normalize_task(task)
    with quiet(log_file), torch_threads():
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
        name = asked or infer_task(checkpoint)
        written = find_layout(layout, writes=suited_row(name, checkpoint).writes)
        recorded = (
            command or f"onnxpress_exporter.export({public_name(model)!r}, {public_name(out)!r}, {name!r}, {wanted!r})"
        )
        with staged_folder(target, force=force) as folder:
            plan = plan_from_checkpoint(
                checkpoint,
                name,
                folder,
                recorded,
                settings,
                table,
                say,
                allow_pickled_weights=allow_pickled_weights,
                layout=written,
            )
            refused = carry_out(plan, wanted, say, wanted if settings.tune else ())
        say("done")
    return _checked(target, refused)


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
    """Add variants to an artifact that has fp32, without PyTorch.

    Args:
        artifact: its folder.
        precision: of `precisions.QUANTIZED`. With `settings.tune` variants that are there already, fp32 among them, are
            tuned for this machine, and not made anew unless `force` is given.
        out: a folder for the artifact with the new variants; None: in its place.
        force: make variants anew that are there already, or replace `out`.
        command: what the manifest records beside the command that exported it; None: this call.
        progress: called with what is being done.

    Raises:
        VariantRefused: a variant misses its thresholds. Those that passed were written.
        InputError: no such precision, no fp32 variant, or the target exists.
        ArtifactError: the artifact is missing or damaged.
    """
    source, say, chosen = Path(artifact), progress or (lambda stage: None), settings or Settings()
    target = source if out is None else Path(out).expanduser()
    wanted = precisions(precision, (REFERENCE, *QUANTIZED) if chosen.tune else QUANTIZED)
    original = Artifact.open(source)
    there = set(original.manifest.variants) if chosen.tune and not force else {REFERENCE}
    missing = tuple(name for name in wanted if name not in there)
    check_request(original, missing, force=force)
    if out is not None:
        check_target(target, force=force)
    recorded = command or f"onnxpress_exporter.flow.quantize({public_name(artifact)!r}, {wanted!r})"
    with quiet(log_file), staged_folder(target, force=force or out is None) as folder:
        plan = plan_from_artifact(original, missing, folder, recorded, chosen, say)
        refused = carry_out(plan, (REFERENCE, *missing), say, wanted if chosen.tune else ())
    return _checked(target, refused)


def adopt(
    source: str | Path,
    out: str | Path,
    task: str | None = None,
    precision: Sequence[str] | str = (REFERENCE,),
    *,
    revision: str | None = None,
    pooling: str | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_of_card: bool = False,
    allow_pickled_weights: bool = False,
    force: bool = False,
    settings: Settings | None = None,
    command: str | None = None,
    log_file: Path | None = None,
    progress: Say | None = None,
) -> Artifact:
    """Turn another tool's folder of ONNX graphs into an artifact: with a manifest, hashes, and variants of its own.

    Without the checkpoint nothing says that the graph is its: `trust` of the artifact is "hashed", and its quality not
    known. With it the graph's answers are compared with PyTorch's, as those of an export are, or nothing is written.

    Args:
        source: a folder or a Hub id.
        out: the artifact's folder; it must not exist unless `force` is given.
        task: the Hub's name or an alias; None: what the graph and the files show.
        precision: variants beside the fp32 one, of `precisions.QUANTIZED`; they are made from it and judged by it. The
            folder's own variants passed no gate, and are not taken.
        revision: branch, tag or commit on the Hub.
        pooling: how token states become one vector, where the folder does not say.
        checkpoint: what the graph was exported from, a folder or a Hub id; needs PyTorch.
        checkpoint_of_card: take the one that the folder's card names as its `base_model`.
        allow_pickled_weights: load a checkpoint that has no safetensors file.
        settings, command, log_file: as of `quantize`.
        progress: called with what is being done.

    Raises:
        VariantRefused: a variant misses its thresholds. Those that passed were written.
        VerificationFailed: the graph's answers are not the checkpoint's. Nothing was written.
        InputError: it is an artifact of ours, the target exists, or an argument is wrong.
        ArtifactError, UnknownTask, HubError: the folder cannot be understood; the message says what to do.
    """
    target, say, chosen = Path(out).expanduser(), progress or (lambda stage: None), settings or Settings()
    wanted = precisions(precision, (REFERENCE, *QUANTIZED))
    check_target(target, force=force)
    say("open")
    theirs = open_foreign(source, task, revision, pooling)
    if checkpoint_of_card and checkpoint is None:
        checkpoint = original_on_card(theirs)
    original = None if checkpoint is None else Original(checkpoint, allow_pickled_weights)
    named = tuple(dict.fromkeys((kept_as(theirs.manifest), *wanted)))
    recorded = (
        command or f"onnxpress_exporter.adopt({public_name(source)!r}, {public_name(out)!r}, {task!r}, {wanted!r})"
    )
    with quiet(log_file), staged_folder(target, force=force) as folder:
        adoption = adopt_into(theirs, source, named, folder, recorded, chosen, say, original)
        if adoption.plan is not None:
            refused = carry_out(adoption.plan, named, say, named if chosen.tune else ())
        else:
            say("write")
            refused = finish_artifact(folder, adoption.manifest, Outcome(), named, added=False)
    say("done")
    return _checked(target, refused)


def precisions(wanted: Sequence[str] | str, known: Sequence[str] = QUANTIZED) -> tuple[str, ...]:
    """List the names of precisions, each once.

    Raises:
        InputError: there is no such precision, or none was named.
    """
    parts = wanted.split(",") if isinstance(wanted, str) else wanted
    names = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = did_you_mean(unknown[0], known)
        raise InputError(f"There is no precision {unknown[0]!r} here.{hint} There are: {', '.join(known)}.")
    if not names:
        raise InputError(f"Name a precision: {', '.join(known)}.")
    return names


def _checked(target: Path, refused: Mapping[str, str]) -> Artifact:
    artifact = Artifact.open(target)
    if refused:
        raise VariantRefused(refusal(refused, artifact), artifact, refused)
    return artifact
