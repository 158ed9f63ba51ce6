"""The factories: `pipeline` opens an artifact as a callable for a task, `load` as a function; `export` makes one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress.engine.session import Session
from onnxpress.errors import InputError, MissingDependency, UnknownTask
from onnxpress.format.contents import at_home
from onnxpress.format.precisions import REFERENCE
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.arguments import unknown_argument
from onnxpress.pipelines.asked import Opening
from onnxpress.pipelines.model_opening import open_model
from onnxpress.pipelines.table import find_task

# The rest is imported when a model is opened, so that `import onnxpress` stays quick.
if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline
    from onnxpress.pipelines.graph_model import GraphModel
    from onnxpress.text.tokenizer import Tokenizer


_log = logging.getLogger("onnxpress")


def pipeline(
    task: str | None = None,
    model: str | Path | Artifact | Pipeline[Any, Any] | None = None,
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
        model: an artifact's folder, a Hub id, or an `Artifact`; or another pipeline, whose open model is shared.
        precision: the variant to run ("fp32", "int8", ...), or "fastest", "smallest" or "exact"; None: the fastest of
            those that give the same answers and were measured on a processor like this one, else the most exact.
            `choice` of the pipeline tells which and why. With ONNXPRESS_MEASURE=1 in the environment, what was never
            measured is timed for a moment, once.
        device: None or "cpu", "cuda", "cuda:1", "openvino"; -1 and GPU numbers as in transformers.
        revision: branch, tag or commit on the Hub.
        threads: threads of one forward pass; None: ONNXPRESS_THREADS, OMP_NUM_THREADS, or the cores that this process
            may use.
        options: defaults for the arguments of the call, such as `top_k=None` or `aggregation_strategy="simple"`; and
            what the factories of transformers, optimum and sentence-transformers take, as docs/migration.md lists it.

    Raises:
        UnknownTask: no such task, or not one that this artifact can serve.
        ArtifactError: the artifact is missing, damaged or from a newer version.
        InputError: an option that the task does not have, or one that is refused.
        DeviceUnavailable: the device is not here.
        MissingDependency: ONNX Runtime or another optional package is not installed.
    """
    if model is None:
        if task is not None and (Path(task).is_dir() or "/" in task or task.endswith(".onnx")):
            raise UnknownTask(f"{task!r} is not a task. Did you mean pipeline(model={task!r})?")
        raise UnknownTask("pipeline() needs a model: pipeline(model=FOLDER_OR_HUB_ID).")
    started = time.perf_counter()
    wanted, alias_options = (None, {}) if task is None else find_task(task)
    asked = Opening.of({"precision": precision, "device": device, "revision": revision, "threads": threads, **options})
    loaded = open_model(asked, model, wanted)
    from onnxpress.pipelines.sameness import check_config, check_tokenizer

    try:
        check_tokenizer(loaded.artifact, loaded.tokenizer, asked.tokenizer)
        check_config(loaded.artifact, asked.config)
        pipe = loaded.task.load(loaded.artifact.manifest)(loaded, {**alias_options, **asked.options})
    except BaseException:
        loaded.close()
        raise
    seconds, session = time.perf_counter() - started, pipe.session
    _log.info(
        "%s from %s: %s (%s), on %s, threads %d, opened in %.2f s", pipe.task, pipe.artifact.folder, pipe.precision,
        pipe.choice.reason, session.device, session.used_threads, seconds,
    )  # fmt: skip
    return pipe


def load(
    model: str | Path | Artifact | Pipeline[Any, Any],
    *,
    precision: str | None = None,
    device: object = None,
    threads: int | None = None,
    revision: str | None = None,
    **options: Any,
) -> GraphModel:
    """Open an artifact as a function of texts or arrays, for programs that use no pipelines.

    Arguments and errors: as of `pipeline`; there are no arguments of a task.
    """
    from onnxpress.pipelines.graph_model import GraphModel
    from onnxpress.pipelines.known_arguments import FACTORY
    from onnxpress.pipelines.sameness import check_config, check_tokenizer

    asked = Opening.of({"precision": precision, "device": device, "revision": revision, "threads": threads, **options})
    if asked.options:
        from onnxpress.pipelines.writing import SETTINGS

        known = {*(field.name for field in fields(Opening)), *FACTORY} - {"options"}
        of_calls = {"it is a setting of generation: pass it to generate(...).": SETTINGS}
        raise unknown_argument("load", next(iter(asked.options)), known, of_calls)
    loaded = open_model(asked, model, None, any_task=True)
    check_tokenizer(loaded.artifact, loaded.tokenizer, asked.tokenizer)
    check_config(loaded.artifact, asked.config)
    return GraphModel(loaded)


def export(
    model: str | Path,
    out: str | Path,
    task: str | None = None,
    precision: str | Sequence[str] = REFERENCE,
    **options: Any,
) -> Artifact:
    """Export a checkpoint as a verified artifact, as `onnxpress export` does; needs `onnxpress[export]`.

    Args:
        model: a checkpoint's folder or Hub id.
        out: the artifact's folder, which is not there yet.
        task: the Hub's name; None: found from the checkpoint.
        precision: the variants to write: names, or one text with commas between them.
        options: what else `onnxpress_exporter.export` takes: revision, force, trust_remote_code, adapter, ...

    Raises:
        MissingDependency: the exporter, or what it needs, is not installed.
        OnnxpressError: as the command does.
    """
    if not isinstance(model, (str, os.PathLike)):
        raise InputError(
            f"model is a {type(model).__name__}; export takes a folder of a checkpoint, or its Hub id. Save a model "
            "and its tokenizer with save_pretrained(FOLDER) first."
        )
    if not isinstance(out, (str, os.PathLike)):
        raise InputError(f"out is {out!r:.60}; it must be the name of a folder.")
    if not isinstance(precision, Iterable):
        raise InputError(f"precision is {precision!r:.60}; it must be names of precisions.")
    names = [name.strip() for name in precision.split(",")] if isinstance(precision, str) else list(precision)
    try:
        run: Callable[..., Artifact] = import_module("onnxpress_exporter").export
    except ImportError as error:
        raise MissingDependency(
            f"To export, {error.name} is needed and not installed: `pip install onnxpress[export]`."
        ) from error
    source = str(at_home(model)) if isinstance(model, str) and model.startswith("~") else model
    return run(source, at_home(out), task, names, **options)


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
    return row.load(artifact.manifest)(loaded, {**alias_options, **options})
