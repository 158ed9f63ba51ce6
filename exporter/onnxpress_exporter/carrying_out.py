"""Carries a plan out: verify; then for each precision quantize, judge, repair, tune; settle, write, ask the artifact.

Knows nothing of checkpoints, of other tools' folders, or of where the artifact will stand.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from onnxpress.engine.choice import suits
from onnxpress.engine.machine import features
from onnxpress.engine.session import Session
from onnxpress.errors import OnnxpressError
from onnxpress.format.manifest import Manifest, Variant, families_of
from onnxpress.format.precisions import REFERENCE
from onnxpress_exporter.errors import VariantRefused, VerificationFailed
from onnxpress_exporter.gate.finished import unanswered
from onnxpress_exporter.gate.lengths import LARGE
from onnxpress_exporter.gate.sizes import runs_at_any_size
from onnxpress_exporter.plan import Beside, Plan, no_files_beside
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.quantize.quantizer import Made, Quantizer, remove
from onnxpress_exporter.quantize.settings import Say
from onnxpress_exporter.settle import Outcome, finish, remove_variant, settled
from onnxpress_exporter.tuning.tuner import Tuner
from onnxpress_exporter.write import describe


def carry_out(plan: Plan, wanted: Sequence[str], say: Say, tuned: Sequence[str] = ()) -> Mapping[str, str]:
    """Verify, add the variants, and write what is left to write; for each refused precision why.

    Args:
        tuned: the variants to tune for this machine, new ones or those that were there.

    Raises:
        VerificationFailed: the fp32 graphs' answers are not the reference's.
        VariantRefused: there would be nothing new to write.
    """
    try:
        plain = plan.manifest.variants[REFERENCE]
        if plan.compared:
            say("verify")
            try:
                with runs_at_any_size(plan.manifest.architecture):
                    quality = plan.gate.verify(REFERENCE, plan.plain)
            except VerificationFailed as error:
                raise VerificationFailed(f"{error} No artifact was written. {_advice(plan.manifest)}") from None
            plain = replace(plain, quality=quality, speed=plan.gate.speed(plan.plain, None))
        manifest = replace(plan.manifest, variants={**plan.manifest.variants, REFERENCE: plain})
        outcome = Outcome()
        if asked := [name for name in wanted if name != REFERENCE]:
            outcome = add_variants(plan, asked, say)
        if tuned:
            if not asked:
                plan.gate.prepare()
            every = {**manifest.variants, **outcome.variants}
            chosen = {name: every[name] for name in tuned if name in every}
            outcome = replace(outcome, variants={**outcome.variants, **tune_variants(plan, chosen, say)})
    finally:
        plan.plain.close()
    say("write")
    return finish_artifact(plan.folder, manifest, outcome, wanted, added=plan.adds, beside=plan.beside)


def _advice(manifest: Manifest) -> str:
    """What to do about a graph that does not answer as PyTorch does."""
    if manifest.provenance.adopted is None:
        return "Please report this checkpoint."
    return "The graph is not this checkpoint's, or was changed: export the checkpoint instead."


def finish_artifact(
    folder: Path,
    manifest: Manifest,
    outcome: Outcome,
    wanted: Sequence[str],
    *,
    added: bool,
    beside: Beside = no_files_beside,
) -> Mapping[str, str]:
    """Write the artifact, and ask it through its own pipeline, as each variant; for each refused precision why.

    Args:
        beside: writes what its layout has besides.

    Raises:
        VerificationFailed: it does not answer as fp32.
        VariantRefused: there would be nothing new to write.
    """
    while True:
        complete = settled(manifest, outcome, wanted, folder, added=added)
        beside(complete, folder)
        finish(complete, folder)
        silent = {name: why for name in complete.variants if (why := unanswered(folder, name)) is not None}
        if (first := next(iter(manifest.variants))) in silent:
            raise VerificationFailed(f"{silent[first]} No artifact was written.")
        if not silent:
            return outcome.refused
        for name in silent:
            remove_variant(complete.variants, name, folder)
        manifest = replace(manifest, variants=_without(manifest.variants, silent))
        outcome = Outcome(_without(outcome.variants, silent), {**outcome.refused, **silent})


def _without(variants: Mapping[str, Variant], names: Container[str]) -> dict[str, Variant]:
    return {name: variant for name, variant in variants.items() if name not in names}


def tune_variants(plan: Plan, variants: Mapping[str, Variant], say: Say) -> dict[str, Variant]:
    """Find the fastest form on this machine of each variant that suits its processor."""
    tuner = _tuner(plan)
    return {
        name: tuner.tune(name, variant, lambda what, name=name: say(f"{name}: {what}"))  # type: ignore[misc]
        for name, variant in variants.items()
        if suits(variant, "cpu", features())
    }


def _tuner(plan: Plan) -> Tuner:
    rewritable = [part.name for part in plan.parts if part.quantizable]
    return Tuner(plan.folder, rewritable, plan.gate, plan.manifest.adapters)


def add_variants(plan: Plan, wanted: Sequence[str], say: Say) -> Outcome:
    """Make, judge and save variants."""
    gate = plan.gate
    say("asking the reference" if gate.rows is None else f"asking the reference, {gate.rows}")
    gate.prepare()
    files = {name: plan.folder / entry.file for name, entry in plan.fp32.items()}
    quantizer = Quantizer(
        {part.name: part.graph for part in plan.parts if part.quantizable},
        {part.name: part.role for part in plan.parts},
        {part.name: files[part.name] for part in plan.parts if not part.quantizable},
        plan.graphs_folder,
        gate,
        plan.settings,
        writes=plan.writes,
        adapters=plan.manifest.adapters,
    )
    plain_bytes = sum((plan.folder / name).stat().st_size for entry in plan.fp32.values() for name in entry.names)
    variants, refused = {}, {}
    for precision in wanted:

        def tell(what: str, precision: str = precision) -> None:
            say(f"{precision}: {what}")

        if plain_bytes > 4 * LARGE:
            # It holds all weights once more, in the order of products, and is not asked before the variant is timed.
            plan.plain.rest()
        # Whatever one variant cannot do is its own: the others are written.
        try:
            quantized = quantizer.make(precision, tell)
            try:
                variants[precision] = _variant(plan, precision, quantized, tell)
            except BaseException:
                remove(quantized.files)
                raise
        except OnnxpressError as error:
            refused[precision] = str(error)
    return Outcome(variants, refused)


def _variant(plan: Plan, precision: str, quantized: Made, say: Say) -> Variant:
    """Judge, verify and time quantized graphs, and make a variant of them.

    Raises:
        VariantRefused: it misses a threshold, or has no use.
        VerificationFailed: its raw outputs are broken.
    """
    if not quantized.verdict.passed:
        rounds = "".join(f"\n      {line}" for line in quantized.rounds)
        raise VariantRefused(f"{'; '.join(quantized.verdict.missed)}.{rounds}")
    say("verifying")
    # What is not quantized is shared with the fp32 variant.
    graphs = {name: replace(entry, precision=REFERENCE) for name, entry in plan.fp32.items()}
    for name, paths in quantized.files.items():
        graphs[name] = describe.graph_files(quantized.graphs[name], paths, plan.folder)
    files = {name: plan.folder / entry.file for name, entry in graphs.items()}
    with closing(Session(files, adapters=plan.manifest.adapters, alternates=True)) as session:
        quality = plan.gate.verify(precision, session)
        variant = Variant(
            graphs,
            sum(path.stat().st_size for paths in quantized.files.values() for path in paths),
            targets=PRECISIONS[precision].targets,
            unverified_on=tuple(
                family for family in families_of(PRECISIONS[precision].targets) if not session.device.startswith(family)
            ),
            quality=replace(
                quality,
                # Without what it was measured on a metric means nothing.
                reference=quality.reference + (f"; the task's metric on {plan.gate.rows}" if plan.gate.rows else ""),
                measures={name: float(f"{value:.6g}") for name, value in quantized.verdict.figures.items()},
                measure_limits=quantized.limits,
            ),
            treatments=quantized.treatments,
            repair=quantized.rounds if len(quantized.rounds) > 1 else (),
        )
        # A processor tells nothing of the speed that a variant for GPUs has there.
        if suits(variant, "cpu", features()):
            say("timing")
            variant = replace(variant, speed=plan.gate.speed(session, plan.plain))
    if not plan.settings.keep_slow:
        _refuse_slow(precision, variant, plan, quantized)
    return _tuner(plan).usual(precision, variant, say) if suits(variant, "cpu", features()) else variant


def _refuse_slow(precision: str, variant: Variant, plan: Plan, quantized: Made) -> None:
    """Raise where a variant has no use: it is neither smaller nor faster than fp32."""
    timings = variant.speed.timings if variant.speed else ()
    ratios = [timing.milliseconds / timing.fp32_milliseconds for timing in timings if timing.fp32_milliseconds]
    plain = sum((plan.folder / name).stat().st_size for graph in quantized.files for name in plan.fp32[graph].names)
    nothing = PRECISIONS[precision].ladder and not quantized.plan
    if variant.bytes >= plain and (nothing or (ratios and min(ratios) >= 1)):
        raise VariantRefused(
            f"neither smaller ({variant.bytes} bytes against {plain}) nor faster than fp32; --keep-slow keeps it"
        )
