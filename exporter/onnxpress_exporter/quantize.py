"""Variants of an artifact that has fp32: made from its graph, judged, timed, written. Needs no PyTorch.

`export` uses `add_variants` with PyTorch as the reference; `quantize` does the same on a finished artifact, where the
fp32 variant, which was verified against PyTorch, takes its place.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir

from onnxpress.artifact import Artifact, variant_bytes
from onnxpress.choice import suits
from onnxpress.errors import InputError
from onnxpress.files import check_target, staged_folder, write_file
from onnxpress.machine import features
from onnxpress.manifest import (
    FILE_NAME,
    FORMAT_VERSION,
    PRECISION_SUFFIX,
    GraphFiles,
    Manifest,
    Quality,
    Speed,
    Variant,
    dump,
)
from onnxpress.session import Session
from onnxpress.tokenizer import Tokenizer
from onnxpress_exporter import describe, timing
from onnxpress_exporter.card import CARD, write_card
from onnxpress_exporter.errors import PassError, VariantRefused, VerificationFailed
from onnxpress_exporter.evaluation.items import read_evaluation
from onnxpress_exporter.evaluation.metrics import Evaluation
from onnxpress_exporter.probe import Probe
from onnxpress_exporter.quantization.flow import Made, Quantizer, Settings
from onnxpress_exporter.quantization.judge import Judge, Runs
from onnxpress_exporter.quantization.plan import LADDERS
from onnxpress_exporter.quantization.thresholds import THRESHOLDS
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.save import save
from onnxpress_exporter.verify import reference_answers, verify

Say = Callable[[str], None]

#: Precisions that `add_variants` makes.
QUANTIZED: tuple[str, ...] = tuple(THRESHOLDS)

#: precision -> the machines it suits (manifest's `targets`). Without integer products in the processor, fp32 is faster
#: than int8; without a GPU, fp16 is slower than everything.
TARGETS: Mapping[str, tuple[str, ...]] = {
    "int8": ("cpu:avx2", "cpu:avx512_vnni", "cpu:avx_vnni", "cpu:dotprod"),
    "q8": ("cpu",),
    "q4": ("cpu",),
    "fp16": ("cuda",),
    "q4f16": ("cuda",),
}


@dataclass(frozen=True, slots=True)
class Verifier:
    """How a variant is held against the reference: its raw outputs on awkward inputs, and its time."""

    verify: Callable[[str, Session], Quality]
    speed: Callable[[Session, Session], Speed | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The variants that passed, and for each refused precision why."""

    variants: Mapping[str, Variant] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)


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
        precision: of QUANTIZED.
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
    graphs = opened.graphs("fp32")
    for name in opened.manifest.files:
        opened.file(name)
    with quiet(log_file), staged_folder(target, force=force or out is None) as folder:
        evaluation = None
        if chosen.evaluation is not None:
            say("reading the labelled rows")
            evaluation = read_evaluation(chosen.evaluation, opened.manifest)
        _copy_files(opened, folder, without=names)
        reference = Session(graphs)
        outcome = add_variants(
            Artifact(opened.folder, opened.manifest),
            folder,
            {name: onnx_ir.load(path) for name, path in graphs.items()},
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


def precisions(given: Sequence[str] | str, known: Sequence[str] = QUANTIZED) -> tuple[str, ...]:
    """Names of precisions, each once.

    Raises:
        InputError: there is no such precision, or none was named.
    """
    parts = given.split(",") if isinstance(given, str) else given
    names = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"There is no precision {unknown[0]!r} here. There are: {', '.join(known)}.")
    if not names:
        raise InputError(f"Name a precision: {', '.join(known)}.")
    return names


def add_variants(
    artifact: Artifact,
    folder: Path,
    fp32: Mapping[str, onnx_ir.Model],
    reference: Runs,
    verifier: Verifier,
    wanted: Sequence[str],
    settings: Settings,
    say: Say,
    evaluation: Evaluation | None = None,
) -> Outcome:
    """Make, judge and save variants.

    Args:
        artifact: its manifest tells task and tokenizer, its fp32 variant the files beside the graph "model".
        folder: where the new graphs go, in `onnx/`; it holds the fp32 variant's files already.
        fp32: the graphs of that variant.
        evaluation: labelled rows, by whose metric variants are judged as well.
    """
    files = {name: folder / entry.file for name, entry in artifact.manifest.variants["fp32"].graphs.items()}
    others = {name: path for name, path in files.items() if name != "model"}
    tokenizer = tokenizer_of(artifact, folder)
    say("asking the reference" if evaluation is None else f"asking the reference, {evaluation.name}")
    judge = Judge(artifact, tokenizer, reference, evaluation)
    quantizer = Quantizer(fp32["model"], others, judge, settings)
    plain = Session(files)
    variants, refused = {}, {}
    for precision in wanted:

        def tell(what: str, precision: str = precision) -> None:
            say(f"{precision}: {what}")

        try:
            made = quantizer.make(precision, tell)
        except PassError as error:
            refused[precision] = str(error)
            continue
        if not made.found.verdict.passed:
            refused[precision] = _why(made)
            continue
        written = _save(made.model, precision, folder)
        session = Session({"model": written[0], **others})
        tell("verifying")
        try:
            quality = _with_rows(verifier.verify(precision, session), evaluation)
        except VerificationFailed as error:
            refused[precision] = str(error)
        else:
            variant = _variant(precision, made, quality, written, artifact, folder)
            # A processor tells nothing of the speed that a variant for GPUs has there.
            if suits(variant, "cpu", features()):
                tell("timing")
                variant = replace(variant, speed=verifier.speed(session, plain))
            slow = _slow(variant, artifact.manifest, folder)
            if slow and not settings.keep_slow:
                refused[precision] = slow
            else:
                variants[precision] = variant
        session.close()
        if precision in refused:
            for path in written:
                path.unlink()
    plain.close()
    return Outcome(variants, refused)


def _with_rows(quality: Quality, evaluation: Evaluation | None) -> Quality:
    """With what the metric was measured on: without that it means nothing."""
    if evaluation is None:
        return quality
    return replace(quality, reference=f"{quality.reference}; the task's metric on {evaluation.name}")


def finish(manifest: Manifest, folder: Path) -> None:
    """Write the card and the manifest of a folder that has everything else."""
    draft = replace(manifest, files=describe.file_table(folder))
    variants = {name: replace(one, bytes=variant_bytes(draft, one)) for name, one in draft.variants.items()}
    draft = replace(draft, variants=variants)
    write_card(draft, folder / CARD)
    write_file(folder / FILE_NAME, dump(replace(draft, files=describe.file_table(folder))).encode())


def tokenizer_of(artifact: Artifact, folder: Path) -> Tokenizer:
    """The tokenizer whose file is in `folder`.

    Raises:
        InputError: the artifact has none.
    """
    settings = artifact.manifest.tokenizer
    if settings is None:
        raise InputError(f"{artifact.folder}: has no tokenizer; this version quantizes text models only.")
    return Tokenizer(folder / settings.file, settings)


def refusal(refused: Mapping[str, str], artifact: Artifact | None) -> str:
    """What is told of refused variants."""
    reasons = "\n".join(f"  {precision}: {reason}" for precision, reason in refused.items())
    rest = f"The other variants are in {artifact.folder}." if artifact else "Nothing was written."
    return (
        f"Refused, because it does not give the original's answers:\n{reasons}\n{rest} Thresholds can be set "
        "(--threshold), if you can accept this."
    )


def _check_request(artifact: Artifact, names: Sequence[str], *, force: bool) -> None:
    if "fp32" not in artifact.manifest.variants:
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
    probe = Probe(artifact.manifest.task, graph, tokenizer)
    answers = reference_answers(reference.run, probe.collate, probe.samples, graph.outputs)

    def check(precision: str, session: Session) -> Quality:
        quality = verify(precision, answers, session.run, probe.collate, probe.samples, graph.outputs)
        return replace(quality, reference="the fp32 variant, verified against PyTorch")

    def speed(session: Session, fp32: Session) -> Speed | None:
        runners = {"variant": session.run, "fp32": fp32.run}
        return timing.measure(runners, probe.collate, probe.longest, tokenizer.settings.max_length)

    return Verifier(check, speed)


def _save(model: onnx_ir.Model, precision: str, folder: Path) -> tuple[Path, ...]:
    (folder / "onnx").mkdir(exist_ok=True)
    return save(model, folder / "onnx" / f"model{PRECISION_SUFFIX[precision]}.onnx")


def _variant(
    precision: str,
    made: Made,
    quality: Quality,
    written: tuple[Path, ...],
    artifact: Artifact,
    folder: Path,
) -> Variant:
    graphs: dict[str, GraphFiles] = dict(artifact.manifest.variants["fp32"].graphs)
    graphs["model"] = describe.graph_files(made.model, written, folder)
    figures = {name: float(f"{value:.6g}") for name, value in made.found.verdict.figures.items()}
    return Variant(
        graphs,
        sum(path.stat().st_size for path in written),
        targets=TARGETS[precision],
        quality=replace(quality, measures=figures, measure_limits=made.limits),
        treatments=made.treatments,
        repair=made.found.rounds if precision in LADDERS and len(made.found.rounds) > 1 else (),
    )


def _why(made: Made) -> str:
    rounds = "".join(f"\n      {line}" for line in made.found.rounds)
    return f"{'; '.join(made.found.verdict.missed)}.{rounds}"


def _slow(variant: Variant, manifest: Manifest, folder: Path) -> str:
    """Why a variant has no use: neither smaller nor faster than fp32."""
    timings = variant.speed.timings if variant.speed else ()
    ratios = [one.milliseconds / one.fp32_milliseconds for one in timings if one.fp32_milliseconds]
    graph = manifest.variants["fp32"].graphs["model"]
    plain = sum((folder / name).stat().st_size for name in (graph.file, *graph.external))
    if not ratios or min(ratios) < 1 or variant.bytes < plain:
        return ""
    return f"neither smaller ({variant.bytes} bytes against {plain}) nor faster than fp32; --keep-slow keeps it"
