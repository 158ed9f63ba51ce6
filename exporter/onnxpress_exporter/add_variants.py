"""Quantized variants of a verified fp32 graph: made, judged, timed, saved, or refused with the reason.

Knows neither PyTorch nor where the reference's answers come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir

from onnxpress.engine.choice import suits
from onnxpress.engine.machine import features
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.contents import variant_bytes
from onnxpress.format.files import write_file
from onnxpress.format.manifest import FILE_NAME, GraphFiles, Manifest, Quality, Speed, Variant, dump
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter.errors import PassError, VariantRefused, VerificationFailed
from onnxpress_exporter.judging.metrics import Evaluation
from onnxpress_exporter.precisions import PRECISIONS, QUANTIZED
from onnxpress_exporter.quantize.flow import Made, Quantizer, Settings
from onnxpress_exporter.quantize.judge import Judge, Runs
from onnxpress_exporter.write import describe
from onnxpress_exporter.write.card import CARD, write_card
from onnxpress_exporter.write.save import save

Say = Callable[[str], None]


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
    files = {name: folder / entry.file for name, entry in artifact.manifest.variants[REFERENCE].graphs.items()}
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


def refusal(refused: Mapping[str, str], artifact: Artifact | None) -> str:
    """What is told of refused variants."""
    reasons = "\n".join(f"  {precision}: {reason}" for precision, reason in refused.items())
    rest = f"The other variants are in {artifact.folder}." if artifact else "Nothing was written."
    return (
        f"Refused, because it does not give the original's answers:\n{reasons}\n{rest} Thresholds can be set "
        "(--threshold), if you can accept this."
    )


def settled(manifest: Manifest, outcome: Outcome, wanted: Sequence[str], folder: Path) -> Manifest:
    """The manifest with the variants that passed, in their usual order, and without fp32 where that is not wanted.

    Raises:
        VariantRefused: none would be left.
    """
    variants = {**manifest.variants, **outcome.variants}
    if REFERENCE not in wanted:
        if not outcome.variants:
            raise VariantRefused(refusal(outcome.refused, None))
        variants = _without_fp32(variants, folder)
    return replace(manifest, variants={name: variants[name] for name in PRECISIONS if name in variants})


def _without_fp32(variants: Mapping[str, Variant], folder: Path) -> dict[str, Variant]:
    """Take out the variant that the others were made from, with the files that only it has."""
    rest = {name: variant for name, variant in variants.items() if name != REFERENCE}
    needed = {file for one in rest.values() for graph in one.graphs.values() for file in (graph.file, *graph.external)}
    for graph in variants[REFERENCE].graphs.values():
        for file in (graph.file, *graph.external):
            if file not in needed:
                (folder / file).unlink()
    return rest


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


def _with_rows(quality: Quality, evaluation: Evaluation | None) -> Quality:
    """With what the metric was measured on: without that it means nothing."""
    if evaluation is None:
        return quality
    return replace(quality, reference=f"{quality.reference}; the task's metric on {evaluation.name}")


def _save(model: onnx_ir.Model, precision: str, folder: Path) -> tuple[Path, ...]:
    (folder / "onnx").mkdir(exist_ok=True)
    return save(model, folder / "onnx" / f"model{PRECISIONS[precision].suffix}.onnx")


def _variant(
    precision: str,
    made: Made,
    quality: Quality,
    written: tuple[Path, ...],
    artifact: Artifact,
    folder: Path,
) -> Variant:
    graphs: dict[str, GraphFiles] = dict(artifact.manifest.variants[REFERENCE].graphs)
    graphs["model"] = describe.graph_files(made.model, written, folder)
    figures = {name: float(f"{value:.6g}") for name, value in made.found.verdict.figures.items()}
    return Variant(
        graphs,
        sum(path.stat().st_size for path in written),
        targets=PRECISIONS[precision].targets,
        quality=replace(quality, measures=figures, measure_limits=made.limits),
        treatments=made.treatments,
        repair=made.found.rounds if PRECISIONS[precision].ladder and len(made.found.rounds) > 1 else (),
    )


def _why(made: Made) -> str:
    rounds = "".join(f"\n      {line}" for line in made.found.rounds)
    return f"{'; '.join(made.found.verdict.missed)}.{rounds}"


def _slow(variant: Variant, manifest: Manifest, folder: Path) -> str:
    """Why a variant has no use: neither smaller nor faster than fp32."""
    timings = variant.speed.timings if variant.speed else ()
    ratios = [one.milliseconds / one.fp32_milliseconds for one in timings if one.fp32_milliseconds]
    graph = manifest.variants[REFERENCE].graphs["model"]
    plain = sum((folder / name).stat().st_size for name in (graph.file, *graph.external))
    if not ratios or min(ratios) < 1 or variant.bytes < plain:
        return ""
    return f"neither smaller ({variant.bytes} bytes against {plain}) nor faster than fp32; --keep-slow keeps it"
