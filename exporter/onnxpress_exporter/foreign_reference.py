"""The checkpoint that another tool exported, as the reference of its graph. Needs PyTorch and transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.adopted import Fact
from onnxpress.format.manifest import GraphInfo, Manifest, Postprocessing, TensorInfo
from onnxpress.format.pictures import ImageSettings
from onnxpress.layouts.artifact import Artifact
from onnxpress.layouts.tokenizer_files import TYPES
from onnxpress.math import normalize
from onnxpress.text.opening import open_tokenizer, required_tokenizer
from onnxpress_exporter.errors import VerificationFailed
from onnxpress_exporter.from_checkpoint import check_texts, ends_of_model, traceable
from onnxpress_exporter.gate.answers import AnswersGate
from onnxpress_exporter.gate.base import Gate
from onnxpress_exporter.gate.writing import WritingGate
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.inputs import read_inputs
from onnxpress_exporter.inputs.base import Inputs
from onnxpress_exporter.judging.metrics import Evaluation
from onnxpress_exporter.reference import TorchReference, TorchWriter, other_kernels
from onnxpress_exporter.source.checkpoint import open_checkpoint
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.loading import load_model
from onnxpress_exporter.write.origin import public_name

Arrays = Mapping[str, NDArray[Any]]

#: What an artifact says in general, and the fact that told it of another tool's folder.
_SAID = ("labels", "pooling")


@dataclass(frozen=True, slots=True)
class Compared:
    """`manifest`: with what the checkpoint says where nothing else did; `gate`: holds the checkpoint's answers."""

    manifest: Manifest
    gate: Gate


def compare_with(
    source: str | Path, artifact: Artifact, plain: Session, rows: Evaluation | None, *, allow_pickled_weights: bool
) -> Compared:
    """Ask a checkpoint for its answers to what an adopted graph is asked.

    Args:
        source: the checkpoint, a folder or a Hub id.
        artifact: the adopted one, whose files are there.
        plain: its fp32 graphs, opened.

    Raises:
        InputError: a graph of this kind cannot be compared.
        VerificationFailed: tokens or settings are not the checkpoint's.
        UnsupportedCheckpoint: it cannot be loaded for the task.
    """
    manifest = artifact.manifest
    adopted = manifest.provenance.adopted
    if adopted is not None and adopted.answers == "vector":
        raise InputError(
            f"{manifest.provenance.source}: its graph pools by itself, and a checkpoint gives states of tokens: they "
            "cannot be compared. Leave --checkpoint out, or export the checkpoint."
        )
    checkpoint = open_checkpoint(source, allow_pickled_weights=allow_pickled_weights)
    row = TASKS[manifest.task]
    model, inputs = load_model(checkpoint, row.name), read_inputs(row, checkpoint, row.load_arguments(checkpoint))
    manifest = _agreed(manifest, row.postprocessing(checkpoint, model), _named(checkpoint.source, checkpoint.commit))
    artifact = replace(artifact, manifest=manifest)
    _check_pictures(inputs, manifest)
    if row.writes:
        writing = required_tokenizer(artifact)
        check_texts(writing, inputs.check)
        writer = WritingGate(artifact, writing, plain, ends_of_model(model), TorchWriter(model), rows=rows)
        return Compared(manifest, writer)
    tokenizer = open_tokenizer(artifact)
    parts = traceable(row, checkpoint, model, inputs, allow_pickled_weights=allow_pickled_weights)
    specs = {manifest.graph_name(part.spec.role): part.spec for part in parts}
    if row.probes.pairs and any(_lacks_types(manifest.graphs[name], spec) for name, spec in specs.items()):
        raise VerificationFailed(
            f"The graph takes no {TYPES}, and the checkpoint reads them: pairs of texts have other answers. Export the "
            "checkpoint instead."
        )
    compared = row.compare_whole(checkpoint, artifact, plain, tokenizer)
    modules = {name: (part.module, [tensor.name for tensor in part.spec.outputs])
               for name, part in zip(specs, parts, strict=True)}  # fmt: skip
    directions = manifest.postprocessing.pairs is not None
    reference = _AsItsGraphs(TorchReference(modules, compared), specs, manifest.graphs, plain if directions else None)
    return Compared(manifest, AnswersGate(artifact, tokenizer, reference, rows, inputs.check))


def _check_pictures(inputs: Inputs, manifest: Manifest) -> None:
    """Raise VerificationFailed where a folder prepares pictures otherwise than the checkpoint does."""
    theirs, ours = getattr(inputs, "settings", None), manifest.processors.image
    if ours is None or not isinstance(theirs, ImageSettings):
        return
    names = ours.input_names
    if replace(ours, input_names=names) != replace(theirs, input_names=names):
        raise VerificationFailed(
            "The folder's image processor makes other numbers of a picture than the checkpoint's. One of them is of "
            "another model."
        )


class _AsItsGraphs:
    """A checkpoint that takes and returns what another tool's graphs do: their names, dtypes and inputs.

    Args:
        directions: the graphs, opened, where only the directions of vectors count: those that another tool divided by
            their lengths are compared with the checkpoint's, divided likewise. None: lengths count.
    """

    device = "cpu"

    def __init__(
        self,
        reference: TorchReference,
        specs: Mapping[str, GraphSpec],
        graphs: Mapping[str, GraphInfo],
        directions: Session | None,
    ) -> None:
        self._reference, self._specs, self._graphs, self._directions = reference, specs, graphs, directions
        self._of_length_one: dict[str, bool] = {}
        self.name, self.timed = reference.name, reference.timed

    def run(self, inputs: Arrays, graph: str = "model") -> dict[str, NDArray[Any]]:
        """Named outputs of a graph, float32."""
        spec, info = self._specs[graph], self._graphs[graph]
        if len(spec.inputs) == len(inputs) == 1:  # a vector or a picture, whatever it is called
            ((tensor,), (array,)) = spec.inputs, inputs.values()
            arrays = {tensor.name: array.astype(tensor.dtype)}
        else:
            arrays = {tensor.name: _taken(inputs, tensor) for tensor in spec.inputs}
        outputs = self._reference.run(arrays, graph)
        pairs = zip(info.outputs, spec.outputs, strict=True)
        answers = {ours.name: outputs[theirs.name] for ours, theirs in pairs}
        if self._directions is not None:
            if graph not in self._of_length_one:
                self._of_length_one[graph] = _are_of_length_one(self._directions.run(inputs, graph))
            if self._of_length_one[graph]:
                answers = {name: normalize(vectors) for name, vectors in answers.items()}
        return answers

    def run_otherwise(self, inputs: Arrays, graph: str = "model") -> dict[str, NDArray[Any]]:
        """As `run`, in PyTorch's other way."""
        with other_kernels():
            return self.run(inputs, graph)

    def close(self) -> None:
        """Nothing is open."""


def _are_of_length_one(answers: Arrays) -> bool:
    return all(np.allclose(np.linalg.norm(array, axis=-1), 1, atol=1e-3) for array in answers.values())


def _taken(inputs: Arrays, tensor: TensorInfo) -> NDArray[Any]:
    """An input of the checkpoint; of texts, zeros or ones of one that the graph does not take."""
    if tensor.name in inputs:
        return inputs[tensor.name].astype(tensor.dtype)
    return np.full(inputs["input_ids"].shape, int(tensor.name != TYPES), tensor.dtype)


def _lacks_types(graph: GraphInfo, spec: GraphSpec) -> bool:
    return TYPES in {tensor.name for tensor in spec.inputs} - {tensor.name for tensor in graph.inputs}


def _agreed(manifest: Manifest, theirs: Postprocessing, name: str) -> Manifest:
    """The manifest with the checkpoint's word on how answers are made.

    Raises:
        VerificationFailed: the folder says something else.
    """
    adopted = manifest.provenance.adopted
    assert adopted is not None
    assumed = {fact.what for fact in adopted.facts if fact.assumed}
    for what in _SAID:
        ours, said = _said(manifest.postprocessing, what), _said(theirs, what)
        if what not in assumed and ours and said and ours != said:
            raise VerificationFailed(
                f"The folder's {what}: {', '.join(ours)}; the checkpoint's: {', '.join(said)}. One of them is of "
                "another model."
            )
    facts = tuple(
        Fact(fact.what, ", ".join(_said(theirs, fact.what)), "the checkpoint")
        if fact.assumed and _said(theirs, fact.what)
        else fact
        for fact in adopted.facts
    )
    extended = replace(adopted, facts=(*facts, Fact("compared with", name, "the caller")))
    return replace(manifest, postprocessing=theirs, provenance=replace(manifest.provenance, adopted=extended))


def _said(settings: Postprocessing, what: str) -> tuple[str, ...]:
    if what == "labels":
        return settings.labels
    return () if what != "pooling" or settings.embedding is None else settings.embedding.pooling


def _named(source: str, commit: str | None) -> str:
    return public_name(source) + ("" if commit is None else f" at commit {commit}")
