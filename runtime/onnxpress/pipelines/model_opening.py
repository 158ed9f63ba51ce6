"""Opens a model for a task: chooses the variant, fetches its files, opens graphs and tokenizer side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from onnxpress.engine.open_graphs import Unsaved
from onnxpress.engine.providers import import_onnxruntime, parse_device, provider_of, require_device
from onnxpress.engine.session import Session
from onnxpress.errors import AdoptionWarning, CorruptFile, UnknownTask
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.adoption import warn_of_assumptions
from onnxpress.pipelines.asked import Opening
from onnxpress.pipelines.table import find_task, served_tasks
from onnxpress.pipelines.task import Task

# The rest is imported when a model is opened, so that `import onnxpress` stays quick.
if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from onnxpress.engine.choice import Choice, Measured
    from onnxpress.pipelines.base import Pipeline
    from onnxpress.pipelines.loaded import LoadedModel

#: Those of the pipelines of this process.
_sessions: WeakSet[Session] = WeakSet()


def open_model(asked: Opening, model: Any, wanted: Task | None, *, any_task: bool = False) -> LoadedModel:
    """The model for a task, opened unless it is open. `any_task`: nothing is asked of one, so that any will do."""
    shared: LoadedModel | None = getattr(model, "loaded", None)
    if shared is not None:
        asked.check_open(shared.choice, shared.session)
        if (lock := asked.lock_file()) is not None:
            from onnxpress.layouts.lock import check_commit, settle

            check_commit(lock, shared.artifact)
            settle(lock, shared.artifact, shared.choice.precision)
        row = _served_task(shared.artifact, wanted or shared.task)
        session: object = shared.session  # or what runs graphs as a session does
        if not isinstance(session, Session):
            return replace(shared, task=row, owned=False)
        # A session of its own shares the graphs, and either may be closed without the other.
        return replace(shared, task=row, session=copy(session), owned=True)
    place = parse_device(asked.device)
    lock = asked.lock_file()
    artifact = asked.adopted(model, wanted, any_task=any_task)
    if lock is not None:
        from onnxpress.layouts.lock import check_commit, settle

        check_commit(lock, artifact)
        if lock.lock is not None and asked.precision is None:
            asked = replace(asked, precision=lock.lock.precision)
    asked = asked.for_files(artifact)
    row = _served_task(artifact, wanted)
    if not any_task:
        warn_of_assumptions(artifact, row)
    provider_of(place).chosen(asked.provider_options)  # before anything is downloaded
    if provider_of(place).own_memory:  # the CPU is there; ONNX Runtime is imported later, beside other work
        require_device(place)
    choice = _chosen(asked, row, artifact, place)
    artifact.fetch([choice.precision])  # here, not beside the rest: Ctrl-C reaches this thread
    if lock is not None:
        settle(lock, artifact, choice.precision)
    try:
        loaded = _load(row, artifact, choice, place, asked, beside=list(_sessions))
    except CorruptFile as error:
        if artifact.adopted is None or lock is not None:
            raise
        others = [name for name in artifact.manifest.variants if name != choice.precision]
        if asked.precision is not None or not others or isinstance(model, Artifact):
            hint = f" There is also: {', '.join(f'precision={name!r}' for name in others)}." if others else ""
            raise CorruptFile(f"{error}{hint}") from None
        warnings.warn(f"{error} {others[0]} runs in its place.", AdoptionWarning, stacklevel=3)
        return open_model(replace(asked, precision=others[0]), model, wanted, any_task=any_task)
    _sessions.add(loaded.session)
    return loaded


def _chosen(asked: Opening, row: Task, artifact: Artifact, place: str) -> Choice:
    """Which variant to open; where the fastest is wanted, by what was timed on this machine, too."""
    from onnxpress.engine.choice import FASTEST, Choice, choose
    from onnxpress.engine.forms import choose_form
    from onnxpress.pipelines.measuring import times_here

    measured: Measured = {}
    if asked.precision is None or asked.precision == FASTEST:

        def opened(name: str) -> Pipeline[Any, Any]:
            form = choose_form(artifact.manifest.variants[name], provider_of(place).family)
            loaded = _load(row, artifact, Choice(name, "it is timed", form), place, asked)
            return row.load(artifact.manifest)(loaded, {})

        measured = times_here(row, artifact.manifest, place, asked.threads, opened)
    return choose(artifact.manifest, asked.precision, place, measured=measured)


def _load(
    row: Task, artifact: Artifact, choice: Choice, place: str, asked: Opening, beside: Iterable[Session] = ()
) -> LoadedModel:
    """Open the graphs beside the imports and the tokenizer, and hash the weights beside both: neither holds the
    interpreter. A damaged file is what is wrong then, whatever else came of it.

    `beside`: sessions of other pipelines, which want the same cores; but for other variants of the same artifact:
    whoever opens two runs one after the other.
    """
    from concurrent.futures import ThreadPoolExecutor

    def open_graphs(scanned: Future[dict[str, Path]]) -> Session:
        roles = {graph.role: name for name, graph in artifact.manifest.graphs.items()}
        paths = scanned.result()
        import_onnxruntime()
        others = [_folders(other.graphs) for other in beside if not other.closed and other.graphs != paths]
        apart = any(folders != _folders(paths) for folders in others)
        session = Session(
            paths,
            device=place,
            threads=asked.threads,
            roles=roles,
            crowded=apart,
            alternates=bool(others) and not apart,
            many_shapes=asked.many_shapes,
            bounds=artifact.manifest.table_rows(),
            adapters=artifact.adapters,
            provider_options=asked.provider_options,
        )
        session.warm()
        return session

    with ThreadPoolExecutor(max_workers=2) as helpers:
        scanned = helpers.submit(artifact.graphs_before_weights, choice.precision, choice.form.form)
        checked = helpers.submit(artifact.check_weights, choice.precision, choice.form.form)
        # ONNX Runtime imports numpy from within: of two threads that do at once, one may get half of it.
        import numpy  # noqa: F401

        opened = helpers.submit(open_graphs, scanned)
        row.load(artifact.manifest)
        from onnxpress.pipelines.loaded import LoadedModel
        from onnxpress.text.opening import open_tokenizer

        tokenizer = open_tokenizer(artifact)
        try:
            checked.result()
        except BaseException:
            if opened.exception() is None:
                opened.result().close()
            raise
        session = opened.result()
    return LoadedModel(row, artifact, session, choice, tokenizer)


def _folders(graphs: Mapping[str, Path | Unsaved]) -> set[Path]:
    return {graph.folder if isinstance(graph, Unsaved) else graph.parent for graph in graphs.values()}


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
