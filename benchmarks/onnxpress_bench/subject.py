"""What is measured: a model, as an artifact, as a checkpoint, or both; the inputs for it; and a spec for each backend.

Nothing is measured here, and no library of a backend is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from onnxpress import Artifact, MissingDependency
from onnxpress.engine.choice import choose
from onnxpress.errors import InputError
from onnxpress.format.manifest import Manifest
from onnxpress.format.schema import encode
from onnxpress_bench.backends import BACKENDS, BackendSpec, Kind, kind_of
from onnxpress_bench.comparison import Settings
from onnxpress_bench.errors import BenchError
from onnxpress_bench.inputs import OPTIONS, Inputs, make_inputs
from onnxpress_exporter.judging.metrics import Evaluation

_EXTRAS: Mapping[str, str] = {
    "psutil": "bench",
    "matplotlib": "bench",
    "torch": "export",
    "transformers": "export",
    "onnxruntime": "cpu",
}


@dataclass(frozen=True, slots=True)
class Trust:
    """What the user allows when the checkpoint is opened."""

    allow_pickled_weights: bool = False
    trust_remote_code: bool = False


@dataclass(frozen=True, slots=True)
class Subject:
    """`checkpoint`: folder or Hub id of the PyTorch model. `settings`: what backends must know of the model.
    `weights_sha256`: of the checkpoint that the artifact was made from. `specs`: the backends. `evaluation`: labelled
    rows, on which every backend's own metric is measured."""

    task: str
    model: str
    checkpoint: str
    weights_sha256: str | None
    inputs: Inputs
    specs: tuple[BackendSpec, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Evaluation | None = None


def of_artifact(
    artifact: Artifact,
    checkpoint: str | None,
    settings: Settings,
    *,
    backends: Sequence[str] = ("pytorch", "onnxpress"),
    precisions: Sequence[str] = (),
    trust: Trust | None = None,
    evaluation: Evaluation | None = None,
) -> Subject:
    """An artifact, and the checkpoint that it was made from or `checkpoint`.

    Raises:
        BenchError: the checkpoint is not there.
        InputError: a backend that does not exist, or does not know the task.
        MissingDependency: what measuring needs is not installed.
    """
    manifest = artifact.manifest
    kinds = _kinds(backends, manifest.task)
    reads_checkpoint = any(kind.reads == "checkpoint" for _, kind, _ in kinds)
    check_installed(("psutil", "onnxruntime", *(("torch", "transformers") if reads_checkpoint else ())))
    source = _source(artifact, checkpoint) if reads_checkpoint else ""
    known = _of_manifest(artifact, checkpoint, trust or Trust())
    specs: list[BackendSpec] = []
    for name, kind, rows in kinds:
        own = {**known, **kind.settings} | ({"rows": rows} if rows else {})
        options = OPTIONS.get(manifest.task, {})
        spec = BackendSpec(name, name, manifest.task, source, settings.threads, settings.device, "", options, own)
        shown = f"{name} batch {rows}" if rows else name.rpartition(":")[2]
        if kind.reads == "checkpoint":
            specs.append(replace(spec, name=shown))
            continue
        for precision in [kind.precision] if kind.precision else precisions_of(artifact, precisions):
            graphs = manifest.variants[precision].graphs.values()
            found = {
                **own,
                "precision": precision,
                "graph_files": [str(artifact.folder / one.file) for one in graphs],
                "model_files": [str(artifact.folder / name) for one in graphs for name in (one.file, *one.external)],
            }
            title = shown if kind.precision else f"{shown} {precision}"
            specs.append(replace(spec, name=title, folder=str(artifact.folder), settings=found))
    inputs = make_inputs(artifact, settings.seed, settings.shapes, settings.lengths)
    weights = manifest.provenance.weights_sha256
    return Subject(manifest.task, str(artifact.folder), source, weights, inputs, tuple(specs), known, evaluation)


def check_installed(packages: Sequence[str] = tuple(_EXTRAS)) -> None:
    """Raises MissingDependency, naming the `pip install`, if something that is measured with is absent."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingDependency(
                f"`onnxpress bench` needs {package}: `pip install 'onnxpress[{_EXTRAS[package]}]'`."
            )


def _kinds(names: Sequence[str], task: str) -> list[tuple[str, Kind, int | None]]:
    """Name, kind and, for "pytorch@32", rows in a batch."""
    found = []
    for given in dict.fromkeys(names):
        name, _, rows = given.partition("@")
        kind = kind_of(name)
        if kind is None or (rows and not (rows.isdecimal() and int(rows))):
            raise InputError(
                f"There is no backend {given!r}. There are: {', '.join(BACKENDS)}, or your own as package.module:Class."
                " KIND@ROWS sets the rows of a batch."
            )
        if kind.tasks and task not in kind.tasks:
            raise InputError(f"The backend {name} knows {', '.join(sorted(kind.tasks))}, not {task}.")
        found.append((name, kind, int(rows) if rows else None))
    return found


def _source(artifact: Artifact, checkpoint: str | None) -> str:
    provenance = artifact.manifest.provenance
    # A source without a commit was a folder; were it taken for a Hub id now, a stranger's model would be measured.
    if checkpoint is None and provenance.commit is None and not Path(provenance.source).is_dir():
        raise BenchError(
            f"{artifact.folder} was made from the folder {provenance.source}, which is not here. Name the PyTorch "
            "checkpoint with --checkpoint FOLDER_OR_HUB_ID."
        )
    return provenance.source if checkpoint is None else checkpoint


def _of_manifest(artifact: Artifact, checkpoint: str | None, trust: Trust) -> dict[str, Any]:
    manifest, provenance = artifact.manifest, artifact.manifest.provenance
    post, tokenizer = manifest.postprocessing, manifest.tokenizer
    return {
        "revision": (provenance.commit or provenance.revision) if checkpoint is None else None,
        "model_type": manifest.model_type,
        "architecture": manifest.architecture,
        "has_head": "head" in manifest.graphs,
        "embedding": encode(post.embedding),
        "labels": list(post.labels),
        "function_to_apply": _function(manifest),
        "tokenizer_file": str(artifact.file(tokenizer.file)) if tokenizer else None,
        "max_length": tokenizer and tokenizer.max_length,
        "pad_token_id": tokenizer and tokenizer.pad_token_id,
        "pad_token_type_id": tokenizer and tokenizer.pad_token_type_id,
        "padding_side": tokenizer and tokenizer.padding_side,
        "input_names": [tensor.name for tensor in manifest.graphs["model"].inputs],
        **asdict(trust),
    }


def _function(manifest: Manifest) -> str | None:
    """What transformers' pipeline applies to the scores of a classifier."""
    post = manifest.postprocessing
    if manifest.task != "text-classification":
        return post.function_to_apply
    if post.function_to_apply is not None:
        return post.function_to_apply
    if post.problem_type == "regression":
        return "none"
    return "sigmoid" if post.problem_type == "multi_label_classification" or len(post.labels) == 1 else "softmax"


def precisions_of(artifact: Artifact, wanted: Sequence[str]) -> list[str]:
    """Those asked for, or those whose files are there."""
    manifest, folder = artifact.manifest, artifact.folder
    for precision in wanted:
        choose(manifest, precision)
    present = [
        precision
        for precision, variant in manifest.variants.items()
        if all((folder / files.file).is_file() for files in variant.graphs.values())
    ]
    return list(dict.fromkeys(wanted)) or present
