"""What a pipeline is built on: an artifact that is opened for one task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from onnxpress.errors import ArtifactError

if TYPE_CHECKING:
    from onnxpress.engine.choice import Choice
    from onnxpress.engine.session import Session
    from onnxpress.layouts.artifact import Artifact
    from onnxpress.pipelines.task import Task
    from onnxpress.text.tokenizer import Tokenizer


Settings = TypeVar("Settings")


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """`session` holds the graphs of the variant that `choice` names. `tokenizer`: None where the artifact has none.

    `owned`: whether to close the pipeline closes the session, which otherwise is another one's.
    """

    task: Task
    artifact: Artifact
    session: Session
    choice: Choice
    tokenizer: Tokenizer | None = None
    owned: bool = True

    def close(self) -> None:
        """Free the model's memory, unless it is another one's."""
        if self.owned:
            self.session.close()

    def text_tokenizer(self) -> Tokenizer:
        """The tokenizer of a task that reads text.

        Raises:
            ArtifactError: the artifact has none.
        """
        if self.tokenizer is None:
            raise ArtifactError(f"{self.artifact.folder}: no tokenizer, so {self.task.name} cannot run. Export again.")
        return self.tokenizer

    def processor_settings(self, settings: Settings | None, noun: str) -> Settings:
        """What the manifest says of how inputs become arrays.

        Args:
            noun: what the inputs are.

        Raises:
            ArtifactError: it says nothing.
        """
        if settings is None:
            raise ArtifactError(
                f"{self.artifact.folder}: it does not say how {noun} are read, so {self.task.name} cannot run. Export "
                "again."
            )
        return settings
