"""`pipeline()`: opens an artifact as a callable for one of its tasks."""

from __future__ import annotations

import logging
import os
import re
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from onnxpress.engine.providers import import_onnxruntime, parse_device, provider_of, require_device
from onnxpress.engine.session import Session
from onnxpress.errors import AdoptionWarning, CorruptFile, InputError, MissingDependency, UnknownTask
from onnxpress.format.contents import at_home
from onnxpress.format.precisions import REFERENCE, SUFFIXES
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.adoption import adopt, warn_of_assumptions
from onnxpress.pipelines.arguments import translate, unknown_argument
from onnxpress.pipelines.table import find_task, served_tasks
from onnxpress.pipelines.task import Task

# The rest is imported when a model is opened, so that `import onnxpress` stays quick.
if TYPE_CHECKING:
    from onnxpress.engine.choice import Choice, Measured
    from onnxpress.layouts.lock import LockFile
    from onnxpress.pipelines.base import Pipeline
    from onnxpress.pipelines.graph_model import GraphModel
    from onnxpress.pipelines.loaded import LoadedModel
    from onnxpress.text.tokenizer import Tokenizer


_log = logging.getLogger("onnxpress")

#: An address, and the id of a model on the Hub in it.
_ADDRESS = re.compile(r"\w+://[^/]*/?(?P<id>[^/?#]*(/[^/?#]+)?)")

#: Those of the pipelines of this process.
_sessions: WeakSet[Session] = WeakSet()


@dataclass(frozen=True, slots=True)
class Opening:
    """What a factory was asked for, other libraries' arguments translated. `options`: those of the task.

    `provider_options`: what to say to the device's execution provider. `tokenizer`, `config`: what the caller holds for
    the artifact's own. `token`, `cache_dir`, `local_files_only`: how the Hub is asked.
    `pooling`, `labels`, `output`: what another tool's files do not say. `graph_file` and the others, `subfolder`: which
    of its files to run. `lock`: the file with the commit and the hashes of what may be opened.
    """

    precision: str | None = None
    device: object = None
    revision: str | None = None
    threads: int | None = None
    provider_options: Mapping[str, Any] = field(default_factory=dict)
    tokenizer: Any = None
    config: Any = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    pooling: str | None = None
    labels: Any = ()
    output: str | None = None
    subfolder: str | None = None
    lock: str | Path | None = None
    graph_file: str | None = None
    encoder_file: str | None = None
    decoder_file: str | None = None
    past_file: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(arguments: Mapping[str, Any]) -> Opening:
        """Read a factory's arguments.

        Raises:
            InputError: one is refused, or two contradict each other.
        """
        from onnxpress.pipelines.known_arguments import FACTORY

        device = arguments.get("device")
        place = None if device is None else parse_device(device)
        options = translate({**arguments, "device": place}, FACTORY)
        for name in ("precision", "revision"):
            if not isinstance(options.get(name), (str, NoneType)):
                raise InputError(f"{name} is {options[name]!r:.60}; it must be a text or None.")
        names = {field.name for field in fields(Opening)} - {"options"}
        return Opening(**{name: options.pop(name) for name in names & set(options)}, options=options)

    @property
    def files(self) -> tuple[str, ...]:
        """The graph files that were named."""
        named = (self.graph_file, self.encoder_file, self.decoder_file, self.past_file)
        return tuple(name for name in named if name is not None)

    def for_files(self, artifact: Artifact) -> Opening:
        """With the precision of the graph files that were named.

        Raises:
            InputError: another precision was asked for.
        """
        files, variants = self.files, list(artifact.manifest.variants)
        if files:
            precision = artifact.precision_of(files)
        elif artifact.adopted is not None and len(variants) == 1 and self.precision is None:
            precision = variants[0]
        else:
            return self
        if self.precision not in (None, precision):
            raise InputError(
                f"file_name={files[0]!r} is the {precision} variant, and precision={self.precision!r} says something "
                "else: pass one of them."
            )
        return replace(self, precision=precision)

    def artifact(self, model: Any) -> Artifact:
        """Open what was given as model.

        Raises:
            InputError: it is none of what this library opens.
            ArtifactError, HubError: as of `Artifact.open`.
        """
        if isinstance(model, Artifact):
            return model
        if not isinstance(model, (str, os.PathLike)):
            raise _not_ours(model)
        if isinstance(model, str):
            _check_name(model)
        from onnxpress.hub import Access

        folder = None if self.cache_dir is None else Path(self.cache_dir).expanduser()
        access = Access(self.token, folder, self.local_files_only)
        return Artifact.open(
            Path(model) if not isinstance(model, str) else model,
            revision=self.revision,
            precision=self.precision if self.precision in SUFFIXES else None,
            access=access,
            pooling=self.pooling,
            files=self.files,
            subfolder=self.subfolder,
            tokenizer=self.tokenizer if isinstance(self.tokenizer, (str, os.PathLike)) else None,  # type: ignore[arg-type]
            labels=self.labels or (),
            output=self.output,
        )

    def adopted(self, model: Any, wanted: Task | None = None, *, any_task: bool = False) -> Artifact:
        """What was given as model, with its task; arguments as of `adopt`.

        Raises:
            UnknownTask: as of `adopt`.
            InputError, ArtifactError, HubError: as of `artifact`.
        """
        return adopt(self.artifact(model), wanted, any_task=any_task)

    def lock_file(self) -> LockFile | None:
        """The lock that was named, read.

        Raises:
            InputError, ArtifactError: as of `LockFile.at`.
        """
        if self.lock is None:
            return None
        from onnxpress.layouts.lock import LockFile

        return LockFile.at(self.lock)

    def check_open(self, choice: Choice, session: Session) -> None:
        """Make sure that a model that is open already runs as it was asked for.

        Raises:
            InputError: it runs otherwise.
        """
        asked = {
            "precision": (self.precision if self.precision in SUFFIXES else None, choice.precision),
            "device": (self.device, session.device),
            "threads": (self.threads, session.threads),
            "provider_options": (
                provider_of(session.device).chosen(self.provider_options) or None,
                session.provider_options,
            ),
        }
        for name, (wanted, there) in asked.items():
            if wanted is not None and wanted != there:
                raise InputError(
                    f"{name}={wanted!r}: this model is open, with {name}={there!r}. Leave {name} out, or open it "
                    "again by its folder or Hub id."
                )


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
        device: None or "cpu", "cuda", "cuda:1"; -1 and GPU numbers as in transformers.
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
    loaded = _opened(asked, model, wanted)
    from onnxpress.pipelines.sameness import check_config, check_tokenizer

    try:
        check_tokenizer(loaded.artifact, loaded.tokenizer, asked.tokenizer)
        check_config(loaded.artifact, asked.config)
        pipe = loaded.task.load()(loaded, {**alias_options, **asked.options})
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
    loaded = _opened(asked, model, None, any_task=True)
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


def _opened(asked: Opening, model: Any, wanted: Task | None, *, any_task: bool = False) -> LoadedModel:
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
        return _opened(replace(asked, precision=others[0]), model, wanted, any_task=any_task)
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
            return row.load()(_load(row, artifact, Choice(name, "it is timed", form), place, asked), {})

        measured = times_here(row, artifact.manifest, place, asked.threads, opened)
    return choose(artifact.manifest, asked.precision, place, measured=measured)


def _not_ours(model: Any) -> InputError:
    """The error of something that is no artifact: most often a model of another library."""
    kind = f"{type(model).__module__.partition('.')[0]}.{type(model).__name__}"
    if hasattr(model, "save_pretrained"):
        return InputError(
            f"model is a {kind}, which this library does not run. Save it with save_pretrained(FOLDER), run "
            "`onnxpress export FOLDER OUT`, and pass model=OUT."
        )
    if isinstance(model, Session) or hasattr(model, "get_inputs"):
        return InputError(f"model is a {kind}, which has graphs and no tokenizer: pass the artifact's folder.")
    return InputError(f"model must be an artifact's folder, a Hub id, an Artifact or a pipeline, not a {kind}.")


def _check_name(model: str) -> None:
    """Refuse an address, which the file system would take for folders within each other."""
    if (address := _ADDRESS.match(model)) is not None:
        raise InputError(
            f"{model!r:.120} is an address. Of a model on the Hub pass its id, {address['id']!r}; what stands behind "
            "/tree/ there is its revision."
        )


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


def _load(
    row: Task, artifact: Artifact, choice: Choice, place: str, asked: Opening, beside: Iterable[Session] = ()
) -> LoadedModel:
    """Open the graphs beside the imports and the tokenizer: hashing and opening do not hold the interpreter.

    `beside`: sessions of other pipelines, which want the same cores.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(max_workers=1) as helper:
        graphs = helper.submit(artifact.graphs, choice.precision, choice.form.form)
        row.load()
        import_onnxruntime()
        from onnxpress.pipelines.loaded import LoadedModel
        from onnxpress.text.opening import open_tokenizer

        roles = {graph.role: name for name, graph in artifact.manifest.graphs.items()}
        paths = graphs.result()
        crowded = any(not other.closed and other.graphs != paths for other in beside)
        session = Session(
            paths,
            device=place,
            threads=asked.threads,
            roles=roles,
            crowded=crowded,
            bounds=artifact.manifest.table_rows(),
            adapters=artifact.adapters,
            provider_options=asked.provider_options,
        )
        opened = helper.submit(session.warm)
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
