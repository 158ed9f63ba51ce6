"""`pipeline()`: opens an artifact as a callable for one of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.engine.providers import import_onnxruntime, parse_device, provider_of, require_device
from onnxpress.engine.session import Session
from onnxpress.errors import UnknownTask
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.table import find_task, served_tasks
from onnxpress.pipelines.task import Task

# The rest is imported when a model is opened, so that `import onnxpress` stays quick.
if TYPE_CHECKING:
    from onnxpress.engine.choice import Choice, Measured
    from onnxpress.pipelines.base import Pipeline
    from onnxpress.pipelines.loaded import LoadedModel
    from onnxpress.text.tokenizer import Tokenizer


def pipeline(
    task: str | None = None,
    model: str | Path | Artifact | None = None,
    *,
    precision: str | None = None,
    device: object = None,
    revision: str | None = None,
    threads: int | None = None,
    **options: Any,
) -> Pipeline[Any, Any]:
    """Open an artifact as a callable for its task; a drop-in for `transformers.pipeline`.

    Args:
        task: the Hub's name or an alias ("ner"); None: the task that the artifact was exported for.
        model: an artifact's folder, a Hub id, or an `Artifact`.
        precision: the variant to run ("fp32", "int8", ...), or "fastest", "smallest" or "exact"; None: the fastest of
            those that give the same answers and were measured on a processor like this one, else the most exact.
            `choice` of the pipeline tells which and why. With ONNXPRESS_MEASURE=1 in the environment, what was never
            measured is timed for a moment, once.
        device: None or "cpu", "cuda", "cuda:1"; -1 and GPU numbers as in transformers.
        revision: branch, tag or commit on the Hub.
        threads: threads of one forward pass; None: the cores that this process may use.
        options: defaults for the arguments of the call, such as `top_k=None` or `aggregation_strategy="simple"`.

    Raises:
        UnknownTask: no such task, or not one that this artifact can serve.
        ArtifactError: the artifact is missing, damaged or from a newer version.
        InputError: an option that the task does not have.
        DeviceUnavailable: the device is not here.
        MissingDependency: ONNX Runtime or another optional package is not installed.
    """
    from onnxpress.engine.choice import FASTEST, Choice, choose
    from onnxpress.pipelines.measuring import times_here

    if model is None:
        if task is not None and (Path(task).is_dir() or "/" in task):
            raise UnknownTask(f"{task!r} is not a task. Did you mean pipeline(model={task!r})?")
        raise UnknownTask("pipeline() needs a model: pipeline(model=FOLDER_OR_HUB_ID).")
    wanted, alias_options = (None, {}) if task is None else find_task(task)
    place = parse_device(device)
    artifact = model if isinstance(model, Artifact) else Artifact.open(model, revision=revision)
    row = _served_task(artifact, wanted)
    if provider_of(place).own_memory:  # the CPU is there; ONNX Runtime is imported later, beside other work
        require_device(place)
    measured: Measured = {}
    if precision is None or precision == FASTEST:

        def opened(name: str) -> Pipeline[Any, Any]:
            return row.load()(_load(row, artifact, Choice(name, "it is timed"), place, threads), {})

        measured = times_here(row, artifact.manifest, place, threads, opened)
    choice = choose(artifact.manifest, precision, place, measured=measured)
    artifact.fetch([choice.precision])  # here, not beside the rest: Ctrl-C reaches this thread
    loaded = _load(row, artifact, choice, place, threads)
    try:
        return row.load()(loaded, {**alias_options, **options})
    except BaseException:
        loaded.session.close()
        raise


def build_pipeline(
    task: str,
    artifact: Artifact,
    session: Session,
    tokenizer: Tokenizer | None,
    precision: str,
    options: Mapping[str, Any],
) -> Pipeline[Any, Any]:
    """A pipeline over a session that is open already, or over anything that runs graphs as a session does.

    Raises:
        UnknownTask: there is no such task.
        InputError: an option that the task does not have.
    """
    from onnxpress.engine.choice import Choice
    from onnxpress.pipelines.loaded import LoadedModel

    row, alias_options = find_task(task)
    loaded = LoadedModel(row, artifact, session, Choice(precision, "it was asked for"), tokenizer)
    return row.load()(loaded, {**alias_options, **options})


def _load(row: Task, artifact: Artifact, choice: Choice, place: str, threads: int | None) -> LoadedModel:
    """Open the graphs beside the imports and the tokenizer: hashing and opening do not hold the interpreter."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=1) as beside:
        graphs = beside.submit(artifact.graphs, choice.precision)
        row.load()
        import_onnxruntime()
        from onnxpress.pipelines.loaded import LoadedModel
        from onnxpress.text.opening import open_tokenizer

        roles = {graph.role: name for name, graph in artifact.manifest.graphs.items()}
        session = Session(graphs.result(), device=place, threads=threads, roles=roles)
        opened = beside.submit(session.warm)
        tokenizer = open_tokenizer(artifact)
        opened.result()
    return LoadedModel(row, artifact, session, choice, tokenizer)


def _served_task(artifact: Artifact, wanted: Task | None) -> Task:
    """The row of the task to run: the artifact's own, or another one that it serves."""
    exported, _ = find_task(artifact.manifest.task)
    if wanted is None or wanted is exported:
        return exported
    if wanted.name in exported.serves:
        return wanted
    offered = ", ".join(served_tasks(artifact.manifest))
    raise UnknownTask(
        f"{artifact.folder} was exported for {exported.name} and serves: {offered}; not {wanted.name}. Export the "
        f"checkpoint again with --task {wanted.name}."
    )
