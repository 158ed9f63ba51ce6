"""The gate: a variant's answers beside the reference's, through the task's own pipeline, on texts it was not made with.

Two questions: are the answers the reference's, and is each the same alone and in a batch. With labelled rows, a third:
are as many of them right. Knows nothing of graphs or
of how a variant was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines import build_pipeline
from onnxpress.pipelines.base import Pipeline
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter.judging.items import calibration_items, judged_items
from onnxpress_exporter.judging.metrics import Evaluation, Figures, beside_reference, score
from onnxpress_exporter.precisions.row import Thresholds
from onnxpress_exporter.quantize.thresholds import misses
from onnxpress_exporter.tasks import TASKS


class Runs(Protocol):
    """What a pipeline asks of a session."""

    device: str

    def run(self, inputs: Mapping[str, NDArray[Any]], graph: str = "model") -> dict[str, NDArray[Any]]:
        """Named outputs of a graph."""

    def close(self) -> None:
        """Free the memory."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`figures` by name; `missed`: those beyond their threshold, as text; empty where the variant passed."""

    figures: Mapping[str, float]
    missed: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every figure is within its threshold."""
        return not self.missed


class Judge:
    """Holds the reference's answers to the judged texts.

    Args:
        artifact: for its task, tokenizer and postprocessing; no variant of it is read.
        reference: PyTorch in fp32, or a graph that was verified against it.
        evaluation: labelled rows of the artifact's task; None: answers are only compared.
    """

    def __init__(
        self, artifact: Artifact, tokenizer: Tokenizer, reference: Runs, evaluation: Evaluation | None = None
    ) -> None:
        self._artifact = artifact
        self._tokenizer = tokenizer
        self._task = TASKS[artifact.manifest.task]
        self._items = self._that_fit(judged_items(self._task.items, artifact.manifest))
        pipe = self._pipeline(reference)
        self._answers = list(pipe(list(self._items)))
        self._evaluation = evaluation
        self._reference_score = self._score(pipe)

    def measure(self, variant: Runs, thresholds: Thresholds) -> Verdict:
        """A variant's figures and what they miss."""
        pipe = self._pipeline(variant)
        together = list(pipe(list(self._items)))
        # Through a stream of one: some tasks give a single input's answer in another form.
        alone = [answer for item in self._items for answer in pipe(iter([item]))]
        figures = self._task.compare(self._answers, alone)
        figures |= self._task.beside_others(alone, together)
        figures |= beside_reference(self._reference_score, self._score(pipe))
        return Verdict(figures, misses(figures, thresholds))

    def calibration_inputs(self) -> list[dict[str, NDArray[Any]]]:
        """The calibration's texts as the graph "model" takes them, one row each."""
        pipe = self._pipeline(_Closed())
        items = self._that_fit(calibration_items(self._task.items, self._artifact.manifest))
        rows = [row for item in items for row in pipe.prepare(item, pipe.options).samples]
        return [dict(pipe.processor.collator.collate([row]).arrays) for row in rows]

    def _score(self, pipe: Pipeline[Any, Any]) -> Figures:
        """The task's own metric; nothing without labelled rows."""
        if self._evaluation is None:
            return {}
        return score(self._evaluation, list(pipe(iter(self._evaluation.items), **self._evaluation.options)))

    def _that_fit(self, items: Sequence[Any]) -> list[Any]:
        """Without the texts that the model takes only cut, and its task refuses."""
        pipe = self._pipeline(_Closed())
        found, error = [], None
        for item in items:
            try:
                pipe.prepare(item, pipe.options)
            except InputError as refused:
                error = refused
            else:
                found.append(item)
        if error is not None and not found:
            raise error
        return found

    def _pipeline(self, session: Runs) -> Pipeline[Any, Any]:
        task = self._task
        return build_pipeline(task.name, self._artifact, session, self._tokenizer, "judged", task.options)  # type: ignore[arg-type]


class _Closed:
    """In place of a session where only the way from texts to rows is wanted."""

    device = "cpu"

    def run(self, inputs: Mapping[str, NDArray[Any]], graph: str = "model") -> dict[str, NDArray[Any]]:
        raise RuntimeError("no graph is open here")

    def close(self) -> None:
        """Nothing is open."""
