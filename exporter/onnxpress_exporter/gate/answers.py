"""The gate of models that read: answers beside the reference's, through the task's own pipeline.

Raw outputs are compared on awkward inputs first. Then two questions, on texts that a variant was not made with: are the
answers the reference's, and is each the same alone and in a batch. With labelled rows, a third: are as many of them
right. Knows nothing of graphs or of how a variant was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.format.manifest import GraphInfo, Quality, Speed
from onnxpress.layouts.artifact import Artifact
from onnxpress.pipelines import build_pipeline
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.text_tower import TEXT_ROLE, TextTower
from onnxpress.text.tokenizer import Tokenizer
from onnxpress_exporter.errors import VerificationFailed
from onnxpress_exporter.gate import timing
from onnxpress_exporter.gate.base import Arrays, Reference, Runs
from onnxpress_exporter.gate.outputs import ReferenceAnswers, reference_answers, together, verify
from onnxpress_exporter.gate.probe import Check, Probe, StackProbe, probe_of
from onnxpress_exporter.gate.recording import RecordedProbe, Recording
from onnxpress_exporter.judging.figures import compare_towers
from onnxpress_exporter.judging.items import calibration_items, calibration_texts, judged_items
from onnxpress_exporter.judging.metrics import Evaluation, Figures, beside_reference, score
from onnxpress_exporter.judging.pictures import judged_pictures
from onnxpress_exporter.judging.samples import SINGLES
from onnxpress_exporter.precisions.row import Thresholds
from onnxpress_exporter.quantize.thresholds import Verdict, misses
from onnxpress_exporter.tasks import row_of

#: Letters of the texts that a model speaks to be verified.
_SPOKEN = 40

#: Pictures that a model of several graphs is verified on.
_SEEN = 6

#: Largest error of a graph that takes vectors, as a fraction of its output's range.
HEAD_ERROR = 1e-4


@dataclass(frozen=True, slots=True)
class _Reader:
    """A graph that reads texts, pictures or sounds, what it is asked, and what the reference answers."""

    name: str
    info: GraphInfo
    probe: Probe
    expected: ReferenceAnswers


class AnswersGate:
    """Holds the reference's answers.

    Args:
        artifact: for its task, processors and postprocessing; no variant of it is read.
        tokenizer: None where the model takes no text.
        evaluation: labelled rows of the artifact's task; None: answers are only compared.
        check: called with each text, its encoding and the limit it was cut at.
    """

    def __init__(
        self,
        artifact: Artifact,
        tokenizer: Tokenizer | None,
        reference: Reference,
        evaluation: Evaluation | None = None,
        check: Check | None = None,
    ) -> None:
        manifest = artifact.manifest
        self.rows = None if evaluation is None else evaluation.name
        self._heads = {name: info for name, info in manifest.graphs.items() if info.role == "head"}
        self._tokenizer = tokenizer
        self._task = row_of(manifest)
        self._reference = reference
        self._evaluation = evaluation
        self._artifact = artifact
        probes = self._recorded() if self._task.parts is not None else self._asked(check)
        self._readers = tuple(self._reader(name, manifest.graphs[name], probe) for name, probe in probes.items())
        self._artifact = Artifact(artifact.folder, replace(manifest, padding=manifest.padding and self.padding))
        self._items: list[Any] = []
        self._answers: list[Any] = []
        self._vectors: Mapping[str, NDArray[Any]] = {}
        self._reference_score: Figures = {}

    def _asked(self, check: Check | None) -> Mapping[str, Probe]:
        """What each graph is asked that reads inputs itself."""
        artifact = self._artifact
        return {
            name: probe_of(artifact, name, self._task.probes, self._tokenizer, check)
            for name in artifact.manifest.graphs
            if name not in self._heads
        }

    def _recorded(self) -> Mapping[str, Probe]:
        """What each graph is given while the task answers the texts of verification."""
        calls: dict[str, list[tuple[str, Arrays]]] = {name: [] for name in self._artifact.manifest.graphs}
        inputs: list[tuple[str, Any]] = [(sample.name, sample.text[:_SPOKEN]) for sample in SINGLES]
        if self._task.takes == "image":
            inputs = [(f"picture {number}", picture) for number, picture in enumerate(judged_pictures()[:_SEEN])]
        for title, of_text in self._calls(inputs):
            for name, some in of_text.items():
                calls[name] += [(f"{title}, call {number}", arrays) for number, arrays in enumerate(some, start=1)]
        return {name: RecordedProbe(some) for name, some in calls.items()}

    def _calls(self, texts: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Mapping[str, Sequence[Arrays]]]]:
        """Of each text that the model takes, its name and what each graph was given."""
        session = Recording(self._reference)
        pipe = self._pipeline(session)
        for title, text in texts:
            session.begin()
            with suppress(InputError):
                pipe(text)
                yield title, session.calls

    @property
    def padding(self) -> bool:
        """Whether rows of different lengths may share a batch."""
        return all(reader.expected.padding for reader in self._readers)

    def _reader(self, name: str, info: GraphInfo, probe: Probe) -> _Reader:
        def run(arrays: Arrays) -> Arrays:
            return self._reference.run(arrays, name)

        def answers() -> ReferenceAnswers:
            otherwise = partial(self._reference.run_otherwise, graph=name)
            return reference_answers(run, probe.collate, probe.samples, info.outputs, otherwise, pads=probe.pads)

        try:
            expected = answers()
        except RuntimeError:
            if not isinstance(probe, StackProbe):
                raise
            probe.leave_out_refused(run)
            expected = answers()
        return _Reader(name, info, probe, expected)

    @property
    def _main(self) -> _Reader:
        """What reads the task's inputs: the only one, or of towers the one beside that of the texts."""
        return next((reader for reader in self._readers if reader.info.role != TEXT_ROLE), self._readers[0])

    def verify(self, precision: str, session: Runs) -> Quality:
        """As `Gate` says."""
        for name, info in self._heads.items():
            self._verify_head(precision, name, info, session)
        qualities = [
            verify(
                precision,
                reader.expected,
                partial(session.run, graph=reader.name),
                reader.probe.collate,
                reader.probe.samples,
                reader.info.outputs,
            )
            for reader in self._readers
        ]
        return replace(together(qualities), reference=self._reference.name)

    def _verify_head(self, precision: str, name: str, info: GraphInfo, session: Runs) -> None:
        """A head takes vectors, not tokens: compare it on fixed pseudo-random ones, batch 1 and 5, and of texts with
        several vectors each, 3."""
        (vector_input,), (output,) = info.inputs, info.outputs
        generator = np.random.default_rng(0)
        for batch in (1, 5):
            sizes = [axis if isinstance(axis, int) else 3 for axis in vector_input.axes[1:]]
            vectors = generator.standard_normal((batch, *sizes), dtype=np.float32)
            expected = self._reference.run({vector_input.name: vectors}, name)[output.name]
            obtained = session.run({vector_input.name: vectors}, name)[output.name]
            error = float(abs(obtained - expected).max() / max(float(expected.max() - expected.min()), 1e-6))
            if not error <= HEAD_ERROR:
                raise VerificationFailed(
                    f"The {precision} graph {name!r} differs from PyTorch on random vectors (error {error:.2g} of the "
                    "output's range)."
                )

    def prepare(self) -> None:
        """As `Gate` says."""
        self._items = self._that_fit(judged_items(self._task.items, self._artifact.manifest, self._task.sounds))
        pipe = self._pipeline(self._reference)
        self._answers = list(pipe(list(self._items)))
        self._vectors = self._task.vectors(pipe, self._items)
        self._reference_score = self._score(pipe)

    def judge(self, session: Runs, thresholds: Thresholds) -> Verdict:
        """As `Gate` says, once it is prepared."""
        pipe = self._pipeline(session)
        # Through a stream of one: some tasks give a single input's answer in another form.
        alone = [answer for item in self._items for answer in pipe(iter([item]))]
        figures = self._task.compare(self._answers, alone)
        if not misses(figures, thresholds):  # a variant that has missed already is asked no more
            figures |= self._task.beside_others(alone, list(pipe(list(self._items))))
            figures |= compare_towers(self._vectors, self._task.vectors(pipe, self._items))
            figures |= beside_reference(self._reference_score, self._score(pipe))
        return Verdict(figures, misses(figures, thresholds))

    def inputs(self, graph: str) -> Sequence[Arrays]:
        """As `Gate` says."""
        pipe, manifest = self._pipeline(self._reference), self._artifact.manifest
        if manifest.graphs[graph].role == TEXT_ROLE:
            texts = TextTower(pipe.loaded)
            return [
                texts.collate([sample]).arrays for sample in texts.samples(calibration_texts(manifest), truncation=True)
            ]
        items = self._that_fit(calibration_items(self._task.items, manifest, self._task.sounds))
        if self._task.parts is not None:
            asked = [(str(number), item) for number, item in enumerate(items)]
            return [arrays for _, of_text in self._calls(asked) for arrays in of_text.get(graph, ())]
        rows = [row for item in items for row in pipe.prepare(item, pipe.options).samples]
        return [pipe.processor.collator.collate([row]).arrays for row in rows]

    def speed(self, session: Runs, plain: Runs | None) -> Speed | None:
        """As `Gate` says, and beside PyTorch's where that is the reference."""
        runners: dict[str, Runs] = {}
        if self._reference.timed is not None:
            runners[self._reference.timed] = self._reference
        runners[timing.VARIANT] = session
        if plain is not None:
            runners[timing.PLAIN] = plain
        work = self.work(runners)
        return timing.measure(work.calls, work.shapes)

    def work(self, sessions: Mapping[str, Runs]) -> timing.Work:
        """As `Gate` says."""
        probe, graph = self._main.probe, self._main.name

        def calls(batch: int, cost: int) -> timing.Runs:
            arrays = probe.arrays(batch, cost)
            return {name: partial(session.run, arrays, graph) for name, session in sessions.items()}

        return timing.Work(calls, probe.shapes)

    def _score(self, pipe: Pipeline[Any, Any]) -> Figures:
        """Measure the task's own metric; nothing without labelled rows."""
        if self._evaluation is None:
            return {}
        rows = self._evaluation
        return score(rows, list(pipe(iter(rows.items), read_ahead=pipe.window, **rows.options)))

    def _that_fit(self, items: Sequence[Any]) -> list[Any]:
        """Leave out the texts that the model takes only cut, which its task refuses."""
        pipe = self._pipeline(self._reference)
        fitting, error = [], None
        for item in items:
            try:
                pipe.prepare(item, pipe.options)
            except InputError as refused:
                error = refused
            else:
                fitting.append(item)
        if error is not None and not fitting:
            raise error
        return fitting

    def _pipeline(self, session: Runs) -> Pipeline[Any, Any]:
        task = self._task
        options = {**task.options, **task.options_of(self._artifact.manifest)}
        return build_pipeline(task.name, self._artifact, session, self._tokenizer, "judged", options)  # type: ignore[arg-type]
