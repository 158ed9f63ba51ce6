"""What is measured: any artifact or checkpoint, in a folder or on the Hub; the inputs for it; a spec for each backend.

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
from onnxpress.errors import InputError, MissingFile
from onnxpress.format.manifest import Manifest
from onnxpress.format.schema import encode
from onnxpress_bench.backends import BACKENDS, BackendSpec, Kind, kind_of
from onnxpress_bench.comparison import Settings
from onnxpress_bench.origin import Origin, origin_of
from onnxpress_bench.workloads import WORKLOADS, Inputs, Model, Sizes, Workload, pictures, texts, workload_of
from onnxpress_bench.workloads.prompts import read_config
from onnxpress_exporter.judging.metrics import Evaluation

_EXTRAS: Mapping[str, str] = {
    "psutil": "bench",
    "jinja2": "bench",
    "matplotlib": "bench",
    "scipy": "bench",
    "torch": "export",
    "transformers": "export",
    "onnxruntime": "cpu",
    "peft": "adapters",
}

_MANIFEST = "onnxpress.json"

#: task -> arguments of the call, for every backend.
_OPTIONS: Mapping[str, Mapping[str, Any]] = {**texts.OPTIONS, **pictures.OPTIONS}


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


def is_artifact(source: str | Path, task: str | None) -> bool:
    """Whether a source is measured as an artifact: a task is named for a checkpoint only."""
    return task is None or (Path(source) / _MANIFEST).is_file()


def open_artifact(source: str | Path, revision: str | None = None, precisions: Sequence[str] = ()) -> Artifact:
    """An artifact with the files of these variants, or of all: on the Hub all of them are fetched.

    Raises:
        ArtifactError: there is no valid artifact, or not such a variant.
        HubError: the Hub refused or cannot be reached.
    """
    artifact = Artifact.open(source, revision=revision)
    for precision in precisions:
        choose(artifact.manifest, precision)
    artifact.fetch(precisions or artifact.manifest.variants)
    return artifact


def of_artifact(
    artifact: Artifact,
    checkpoint: str | None,
    settings: Settings,
    *,
    backends: Sequence[str] = ("pytorch", "onnxpress"),
    precisions: Sequence[str] = (),
    sizes: Sizes | None = None,
    trust: Trust | None = None,
    evaluation: Evaluation | None = None,
) -> Subject:
    """An artifact, and the checkpoint that it was made from or `checkpoint`.

    Raises:
        BenchError: the checkpoint is not there.
        InputError: a backend or scenario that does not exist, or does not go with the task.
        MissingDependency: what measuring needs is not installed.
    """
    manifest = artifact.manifest
    workload = workload_of(manifest.task)
    _check_scenarios(manifest.task, workload, settings)
    kinds = _kinds(backends, manifest.task)
    reads_checkpoint = any(kind.reads == "checkpoint" for _, kind, _ in kinds)
    adapted = reads_checkpoint and manifest.provenance.adapter is not None and checkpoint is None
    wanted = ("psutil", "scipy", "jinja2", "onnxruntime", *(("torch", "transformers") if reads_checkpoint else ()))
    check_installed((*wanted, "peft") if adapted else wanted)
    origin = origin_of(artifact, checkpoint) if reads_checkpoint else Origin("", None, None)
    source = origin.checkpoint
    model = Model(manifest.task, artifact.folder, artifact)
    inputs = workload.make_inputs(model, settings, sizes or Sizes())
    known = {**_of_manifest(artifact, origin, trust or Trust()), **inputs.settings}
    specs: list[BackendSpec] = []
    for name, kind, rows in kinds:
        of_kind = {**known, **kind.settings} | ({"rows": rows} if rows else {})
        options = _OPTIONS.get(manifest.task, {})
        spec = BackendSpec(name, name, manifest.task, source, settings.threads, settings.device, "", options, of_kind)
        shown = f"{name} batch {rows}" if rows else name.rpartition(":")[2]
        if kind.reads == "checkpoint":
            specs.append(replace(spec, name=shown))
            continue
        for precision in [kind.precision] if kind.precision else precisions_of(artifact, precisions):
            title = shown if kind.precision else f"{shown} {precision}"
            files = {**of_kind, **_variant(artifact, precision)}
            specs.append(replace(spec, name=title, folder=str(artifact.folder), settings=files))
    weights = manifest.provenance.weights_sha256
    return Subject(manifest.task, str(artifact.folder), source, weights, inputs, tuple(specs), known, evaluation)


def of_checkpoint(
    source: str | Path,
    task: str,
    settings: Settings,
    *,
    backends: Sequence[str] = ("pytorch",),
    sizes: Sizes | None = None,
    trust: Trust | None = None,
) -> Subject:
    """A checkpoint, a folder or a Hub id, that every backend converts for itself.

    Raises:
        InputError: a task that is measured of an artifact; a backend, scenario or length that does not go with the
            task; or no checkpoint's folder.
        MissingDependency: what measuring needs is not installed.
    """
    workload = workload_of(task)
    folder = _checkpoint_folder(source)
    if not workload.reads_checkpoint:
        known = " or ".join(sorted(task for row in WORKLOADS if row.reads_checkpoint for task in row.tasks))
        raise InputError(f"A checkpoint is measured for {known}, not {task}. Export it and measure the artifact.")
    _check_scenarios(task, workload, settings)
    for kind in backends:
        _check_kind(kind, task)
    check_installed(("psutil", "scipy", "jinja2", "torch", "transformers"))
    inputs = workload.make_inputs(Model(task, folder), settings, sizes or Sizes())
    model_type = read_config(folder).get("model_type")
    settings_of_all: dict[str, Any] = {
        "revision": None,
        "model_type": model_type,
        **asdict(trust or Trust()),
        **inputs.settings,
    }
    specs = [
        BackendSpec(
            *(kind, kind, task, str(folder), settings.threads, settings.device),
            settings={**settings_of_all, **BACKENDS[kind].settings},
        )
        for kind in dict.fromkeys(backends)
    ]
    return Subject(task, str(folder), str(folder), None, inputs, tuple(specs), settings_of_all)


def check_installed(packages: Sequence[str] = tuple(_EXTRAS)) -> None:
    """Raises MissingDependency, naming the `pip install`, if something that is measured with is absent."""
    for package in packages:
        if find_spec(package) is None:
            raise MissingDependency(
                f"`onnxpress bench` needs {package}: `pip install 'onnxpress[{_EXTRAS[package]}]'`."
            )


def _check_scenarios(task: str, workload: Workload, settings: Settings) -> None:
    for name in settings.scenarios:
        if name not in workload.scenarios:
            said = f"by the scenario {workload.scenarios[0]}" if len(workload.scenarios) == 1 else "by the scenarios "
            listed = "" if len(workload.scenarios) == 1 else ", ".join(workload.scenarios)
            raise InputError(f"{task} is measured {said}{listed}, not {name}.")


def _checkpoint_folder(source: str | Path) -> Path:
    """The folder of a checkpoint; that of a Hub id is fetched whole.

    Raises:
        InputError: neither a checkpoint's folder nor a Hub id.
        HubError: the Hub refused or cannot be reached.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        from onnxpress import hub

        if not isinstance(source, str) or not hub.looks_like_repo_id(source):
            raise InputError(f"{source}: there is no such folder, and it is not a Hub id either.")
        patterns = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model", "*.spm")
        folder = hub.fetch(source, None, patterns).folder
    if not read_config(folder):
        raise InputError(f"{folder} is no checkpoint's folder: config.json cannot be read.")
    return folder.absolute()


def _check_kind(kind: str, task: str) -> None:
    """A backend that reads an artifact has none here."""
    able = [name for name, row in BACKENDS.items() if row.reads == "checkpoint" and row.serves(task)]
    if kind not in able:
        raise InputError(f"The backend {kind!r} does not know {task}. These do: {', '.join(able)}.")


def _kinds(names: Sequence[str], task: str) -> list[tuple[str, Kind, int | None]]:
    """Name, kind and, for "pytorch@32", rows in a batch."""
    kinds = []
    for text in dict.fromkeys(names):
        name, _, rows = text.partition("@")
        kind = kind_of(name)
        if kind is None or (rows and not (rows.isdecimal() and int(rows))):
            raise InputError(
                f"There is no backend {text!r}. There are: {', '.join(BACKENDS)}, or your own as package.module:Class."
                " KIND@ROWS sets the rows of a batch."
            )
        if not kind.serves(task):
            served = ", ".join(sorted(served or "all that encode" for served in kind.classes))
            raise InputError(f"The backend {name} knows {served}, not {task}.")
        kinds.append((name, kind, int(rows) if rows else None))
    return kinds


def _variant(artifact: Artifact, precision: str) -> dict[str, Any]:
    """What backends of an artifact must know of one variant."""
    graphs = artifact.manifest.variants[precision].graphs.values()
    return {
        "precision": precision,
        "graph_files": [str(artifact.folder / files.file) for files in graphs],
        "model_files": [str(artifact.folder / name) for files in graphs for name in (files.file, *files.external)],
    }


def _of_manifest(artifact: Artifact, origin: Origin, trust: Trust) -> dict[str, Any]:
    manifest = artifact.manifest
    post, tokenizer = manifest.postprocessing, manifest.tokenizer
    return {
        "revision": origin.revision,
        "adapter": origin.adapter,
        "model_type": manifest.model_type,
        "architecture": manifest.architecture,
        "has_head": any(graph.role == "head" for graph in manifest.graphs.values()),
        "embedding": encode(post.embedding),
        "labels": list(post.labels),
        "function_to_apply": _function(manifest),
        "tokenizer_file": str(artifact.file(tokenizer.file)) if tokenizer else None,
        "max_length": tokenizer and tokenizer.max_length,
        "pad_token_id": tokenizer and tokenizer.pad_token_id,
        "pad_token_type_id": tokenizer and tokenizer.pad_token_type_id,
        "padding_side": tokenizer and tokenizer.padding_side,
        "input_shape": list(next(iter(manifest.graphs.values())).inputs[0].axes),
        "input_names": [tensor.name for tensor in next(iter(manifest.graphs.values())).inputs],
        **asdict(trust),
    }


def _function(manifest: Manifest) -> str | None:
    """What transformers' pipeline applies to the scores of a classifier."""
    post = manifest.postprocessing
    if manifest.task not in ("text-classification", "image-classification"):
        return post.function_to_apply
    if post.function_to_apply is not None:
        return post.function_to_apply
    if post.problem_type == "regression":
        return "none"
    return "sigmoid" if post.problem_type == "multi_label_classification" or len(post.labels) == 1 else "softmax"


def precisions_of(artifact: Artifact, wanted: Sequence[str]) -> list[str]:
    """Those asked for, or those whose files are there.

    Raises:
        MissingFile: the files of one that was asked for are not there.
    """
    manifest, folder = artifact.manifest, artifact.folder
    wanted = [choose(manifest, precision).precision for precision in wanted]
    present = [
        precision
        for precision, variant in manifest.variants.items()
        if all((folder / files.file).is_file() for files in variant.graphs.values())
    ]
    absent = [precision for precision in wanted if precision not in present]
    if absent:
        raise MissingFile(f"{folder}: the files of the variant {absent[0]} are not here. Download or export it again.")
    return list(dict.fromkeys(wanted)) or present
