"""Plans the adoption of another tool's folder. Its graph is rewritten where that leaves its answers as they are.

PyTorch is needed only where a checkpoint is to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir

from onnxpress.engine.session import Session
from onnxpress.errors import ArtifactError, EngineError, InputError
from onnxpress.format.adopted import Fact
from onnxpress.format.front_matter import CARD, read_card
from onnxpress.format.manifest import GraphFiles, Manifest
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress.layouts.card import BASE_MODEL
from onnxpress.layouts.places import tokenizer_place
from onnxpress.layouts.tokenizer_sources import UnbuiltTokenizer
from onnxpress.pipelines import build_pipeline
from onnxpress.pipelines.adoption import adopt, warn_of_assumptions
from onnxpress.pipelines.collators import ANY_SIZE, size_of
from onnxpress.pipelines.table import TASKS, find_task
from onnxpress.pipelines.zero_shot_image_classification import ZeroShotImageClassification
from onnxpress.text.opening import open_tokenizer, required_tokenizer
from onnxpress_exporter.errors import PassError, VerificationFailed
from onnxpress_exporter.from_artifact import ends_in
from onnxpress_exporter.gate.answers import AnswersGate
from onnxpress_exporter.gate.base import Gate
from onnxpress_exporter.gate.writing import WritingGate
from onnxpress_exporter.judging.data import read
from onnxpress_exporter.passes import apply_passes, with_long_inputs
from onnxpress_exporter.plan import KEPT_WHOLE, Part, Plan
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.quantize.settings import Say, Settings
from onnxpress_exporter.reference import GraphReference
from onnxpress_exporter.tasks.evaluation import evaluation_of
from onnxpress_exporter.write import foreign
from onnxpress_exporter.write.foreign_tokenizer import write_foreign_tokenizer

#: Roles of graphs that are rewritten: those that write are left as they are.
_READERS = ("encoder", "text", "vision")


def open_foreign(source: str | Path, task: str | None, revision: str | None, pooling: str | None) -> Artifact:
    """Another tool's folder or repository as it is understood, with its task.

    Raises:
        InputError: it is an artifact of ours.
        ArtifactError, UnknownTask, HubError: it cannot be opened; the message says what to do.
    """
    try:
        opened = Artifact.open(source, revision=revision, pooling=pooling)
    except UnbuiltTokenizer:  # of a class that the runtime does not know: transformers does
        tokenizer = write_foreign_tokenizer(tokenizer_place(source, revision=revision))
        opened = Artifact.open(source, revision=revision, pooling=pooling, tokenizer=tokenizer)
    if opened.adopted is None:
        raise InputError(
            f"{source} is an onnxpress artifact already, with hashes of its own. More variants are added by `onnxpress "
            f"quantize {source} --precision ...`; `onnxpress check {source}` compares the hashes."
        )
    understood = adopt(opened, None if task is None else find_task(task)[0])
    warn_of_assumptions(understood, TASKS[understood.manifest.task])
    return understood


@dataclass(frozen=True, slots=True)
class Original:
    """The checkpoint that a graph was exported from: a folder or a Hub id, and whether its pickles may be loaded."""

    source: str | Path
    allow_pickled_weights: bool = False


def original_on_card(artifact: Artifact) -> str:
    """The checkpoint that a folder's card names.

    Raises:
        InputError: it names none, or several.
    """
    text = artifact.file(CARD).read_text(encoding="utf-8", errors="replace") if CARD in artifact.manifest.files else ""
    names = read_card(text).values(BASE_MODEL)
    if len(names) != 1:
        sentence = f"names several: {', '.join(names)}" if names else "names none"
        raise InputError(
            f"{artifact.folder}: {CARD} {sentence} as {BASE_MODEL}. Name the checkpoint: --checkpoint FOLDER_OR_ID."
        )
    return names[0]


@dataclass(frozen=True, slots=True)
class Adoption:
    """A folder that was copied. `manifest`: without figures; `plan`: how variants are made and compared, None: nothing
    is to be."""

    manifest: Manifest
    plan: Plan | None


def adopt_into(
    artifact: Artifact,
    source: str | Path,
    wanted: Sequence[str],
    folder: Path,
    command: str,
    settings: Settings,
    say: Say,
    checkpoint: Original | None = None,
) -> Adoption:
    """Write an understood folder's files into `folder`, its graphs rewritten where that changes no answer, and plan the
    variants that are wanted.

    Args:
        checkpoint: what it was exported from, to be compared with; None: nothing is compared with PyTorch.

    Raises:
        InputError: variants are wanted that cannot be made of it, or a comparison that cannot be.
        ArtifactError: a file is missing, damaged or hostile.
    """
    precision = foreign.kept_as(artifact.manifest)
    _check_request(artifact, precision, wanted, compared=checkpoint is not None)
    say("copy")
    with foreign.as_found(artifact, folder) as originals:
        reference = Session(originals, adapters=artifact.adapters)
        artifact = _apart(artifact, reference)
        models = {
            name: foreign.load_graph(path, artifact.manifest.graphs[name], artifact.adapters.get(name))
            for name, path in originals.items()
        }
        files = foreign.save_graphs(models, precision, folder)
        foreign.copy_settings(artifact, folder)
        manifest = foreign.adopted_manifest(artifact, files, originals, source, command, folder)
        if precision != REFERENCE or not _any_size(manifest):
            return Adoption(manifest, None)
        if manifest.generation is not None and len(wanted) < 2 and checkpoint is None:
            return Adoption(manifest, None)  # asking a writer takes long, and nobody wants to know
        return Adoption(manifest, _plan(manifest, models, originals, reference, folder, settings, say, checkpoint))


def _apart(artifact: Artifact, session: Session) -> Artifact:
    """A graph that reads a text and a picture, each into a vector, as one for each: it returns one vector, takes
    nothing for the other, and how two are compared is asked of it.

    Args:
        session: the graphs as they were found.
    """
    if not any(adapter.ones for adapter in artifact.adapters.values()) or artifact.adopted is None:
        return artifact
    manifest = artifact.manifest
    pipe = build_pipeline(manifest.task, artifact, session, open_tokenizer(artifact), REFERENCE, {})
    assert isinstance(pipe, ZeroShotImageClassification), "no other task has such graphs"
    adapters = {name: replace(adapter, ones={}) for name, adapter in artifact.adapters.items()}
    fact = Fact("scale", f"{pipe.pairs.scale:.6g}, and bias {pipe.pairs.bias:.6g}", "the graph's scores of some texts")
    adopted = replace(artifact.adopted, adapters=adapters, facts=(*artifact.adopted.facts, fact))
    graphs = {name: replace(info, outputs=info.outputs[:1]) for name, info in manifest.graphs.items()}
    postprocessing = replace(manifest.postprocessing, pairs=pipe.pairs)
    return replace(artifact, manifest=replace(manifest, graphs=graphs, postprocessing=postprocessing), adopted=adopted)


def _plan(
    manifest: Manifest,
    models: Mapping[str, onnx_ir.Model],
    originals: Mapping[str, Path],
    reference: Session,
    folder: Path,
    settings: Settings,
    say: Say,
    checkpoint: Original | None,
) -> Plan:
    artifact = Artifact(folder, manifest, "hashed")
    rows = None
    if settings.evaluation is not None:
        rows = evaluation_of(read(settings.evaluation), manifest, settings.evaluation.columns)
    say("asking the graph")
    gate: Gate
    if manifest.generation is not None:
        plain = _session(manifest, folder)
        if checkpoint is None:
            gate = WritingGate(artifact, required_tokenizer(artifact), plain, ends_in(artifact), rows=rows)
    else:
        answers = AnswersGate(
            artifact,
            open_tokenizer(artifact),
            GraphReference(reference, "hashed"),
            rows,
        )
        manifest = replace(manifest, padding=answers.padding)
        manifest = _rewritten(manifest, models, originals, folder, answers, say)
        plain, gate = _session(manifest, folder), answers
    if checkpoint is not None:
        # PyTorch and transformers: without a checkpoint nothing needs them.
        from onnxpress_exporter.foreign_reference import compare_with

        say("asking PyTorch")
        artifact = replace(artifact, manifest=manifest)
        pickled = checkpoint.allow_pickled_weights
        compared = compare_with(checkpoint.source, artifact, plain, rows, allow_pickled_weights=pickled)
        manifest, gate = compared.manifest, compared.gate
    parts = tuple(
        Part(
            name,
            info,
            onnx_ir.load(folder / manifest.variants[REFERENCE].graphs[name].file),
            info.role not in KEPT_WHOLE,
        )
        for name, info in manifest.graphs.items()
    )
    return Plan(manifest, folder, parts, plain, gate, settings, compared=checkpoint is not None)


def _check_request(artifact: Artifact, precision: str, wanted: Sequence[str], *, compared: bool) -> None:
    """Refuse variants that cannot be made, and a comparison that cannot be.

    Raises:
        InputError: there is no fp32 graph, or it takes one size of batch.
    """
    if compared and (precision != REFERENCE or not _any_size(artifact.manifest)):
        raise InputError(
            f"{artifact.folder} has no fp32 graph that takes batches of any size, so it cannot be compared with a "
            "checkpoint. Leave --checkpoint out, or export the checkpoint."
        )
    more = [name for name in wanted if name not in (REFERENCE, precision)]
    if more and precision != REFERENCE:
        raise InputError(
            f"{artifact.folder} has no fp32 graph, only {', '.join(artifact.manifest.variants)}: {', '.join(more)} "
            "cannot be made of it. Leave --precision out, or export the original checkpoint."
        )
    if more and not _any_size(artifact.manifest):
        raise InputError(
            f"{artifact.folder}: its graph takes batches of one size only, and variants are judged on texts of any: "
            f"{', '.join(more)} cannot be made of it. Leave --precision out, or export the original checkpoint."
        )


def _any_size(manifest: Manifest) -> bool:
    readers = [graph for graph in manifest.graphs.values() if graph.role in _READERS]
    return all(size_of(graph.inputs[0]).rows is None for graph in readers) and all(
        size_of(graph.inputs[0]) == ANY_SIZE for graph in readers if graph.role == "encoder"
    )


def _rewritten(
    manifest: Manifest,
    models: Mapping[str, onnx_ir.Model],
    originals: Mapping[str, Path],
    folder: Path,
    gate: AnswersGate,
    say: Say,
) -> Manifest:
    """The manifest of graphs that were rewritten, and saved over those that are there; or, where one has other answers
    then or nothing applies, of those as they were found."""
    say("rewriting the graph")
    readers = [name for name, info in manifest.graphs.items() if info.role in _READERS]
    text = manifest.tokenizer
    passes = with_long_inputs(PRECISIONS[REFERENCE].passes, None if text is None else text.max_length)
    try:
        applied = dict[str, int]()
        for name in readers:
            for rewrite, count in apply_passes(models[name], passes).items():
                if count:
                    applied[rewrite] = applied.get(rewrite, 0) + count
        if not applied:
            return _told(manifest, "as it was found", "the passes, none of which applies")
        files = foreign.save_graphs({name: models[name] for name in readers}, REFERENCE, folder)
        rewritten = _with_files(manifest, files)
        session = _session(rewritten, folder)
        try:
            gate.verify(REFERENCE, session)
        finally:
            session.close()
    except (PassError, VerificationFailed, EngineError, ArtifactError, InputError):
        plain = {
            name: foreign.load_graph(originals[name], manifest.graphs[name], manifest.adapters.get(name))
            for name in readers
        }
        restored = _with_files(manifest, foreign.save_graphs(plain, REFERENCE, folder))
        return _told(restored, "as it was found", "its answers, which a rewrite would change")
    shown = ", ".join(f"{name} ({count})" for name, count in applied.items())
    return _told(rewritten, f"rewritten by {shown}", "its answers, compared before and after")


def _with_files(manifest: Manifest, files: Mapping[str, GraphFiles]) -> Manifest:
    variant = manifest.variants[REFERENCE]
    return replace(manifest, variants={REFERENCE: replace(variant, graphs={**variant.graphs, **files})})


def _told(manifest: Manifest, value: str, source: str) -> Manifest:
    """The manifest with a fact about its graph."""
    adopted = manifest.provenance.adopted
    assert adopted is not None
    extended = replace(adopted, facts=(*adopted.facts, Fact("graph", value, source)))
    return replace(manifest, provenance=replace(manifest.provenance, adopted=extended))


def _session(manifest: Manifest, folder: Path) -> Session:
    graphs = manifest.variants[REFERENCE].graphs
    return Session(
        {name: folder / entry.file for name, entry in graphs.items()}, adapters=manifest.adapters, alternates=True
    )
