"""What a factory was asked for: its arguments, read and checked before anything is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from onnxpress.engine.providers import parse_device, provider_of
from onnxpress.engine.session import Session
from onnxpress.errors import InputError
from onnxpress.format.precisions import SUFFIXES
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines.adoption import adopt
from onnxpress.pipelines.arguments import translate
from onnxpress.pipelines.task import Task

if TYPE_CHECKING:
    from onnxpress.engine.choice import Choice
    from onnxpress.layouts.lock import LockFile

#: An address, and the id of a model on the Hub in it.
_ADDRESS = re.compile(r"\w+://[^/]*/?(?P<id>[^/?#]*(/[^/?#]+)?)")


@dataclass(frozen=True, slots=True)
class Opening:
    """What a factory was asked for, other libraries' arguments translated. `options`: those of the task.

    `provider_options`: what to say to the device's execution provider. `tokenizer`, `config`: what the caller holds for
    the artifact's own. `token`, `cache_dir`, `local_files_only`: how the Hub is asked.
    `pooling`, `labels`, `output`: what another tool's files do not say. `graph_file` and the others, `subfolder`: which
    of its files to run. `lock`: the file with the commit and the hashes of what may be opened. `many_shapes`: as of
    `Session`.
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
    many_shapes: bool = False
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
