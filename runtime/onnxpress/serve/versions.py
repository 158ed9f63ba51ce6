"""A model that is open: its pipelines, one for each task that it serves, and the lane in which its rows wait.

Where an artifact changes there are two versions for a while: new requests go to the new one, and the old one is closed
when the last of its own has ended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import onnxpress
from onnxpress.errors import OnnxpressError
from onnxpress.pipelines.automatic_speech_recognition import AutomaticSpeechRecognition
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.probe import probe_of
from onnxpress.pipelines.table import find_task, served_tasks
from onnxpress.samples import Sample
from onnxpress.serve.apart import ApartGraphs
from onnxpress.serve.batches import BatchLane
from onnxpress.serve.compute import ComputeThread, Lane
from onnxpress.serve.costs import CostLine
from onnxpress.serve.hearing import HearingLane
from onnxpress.serve.jobs import Job
from onnxpress.serve.memory import FILES_TO_MEMORY, resident_bytes, variant_bytes
from onnxpress.serve.metrics import Metrics
from onnxpress.serve.settings import ModelSettings, ServerSettings
from onnxpress.serve.waiting import WaitingRows
from onnxpress.serve.writing import WritingLane, writing_lane

_LOG = logging.getLogger("onnxpress.serve")

#: A row that is expected to take longer is computed aside, seconds.
_LONG_S = 0.25

#: Rows of the second of the two batches that are timed when a model is opened, and how often each is.
_MANY_ROWS, _ROUNDS = 8, 3

AnyPipeline = Pipeline[Any, Any]


@dataclass(eq=False, slots=True)
class Version:
    """One opening of an artifact. `aside`: the lane of very long rows, of another thread than the others, which
    computes them with the graphs of `apart`. `uses`: the requests that are being answered by it; the event loop's to
    count."""

    name: str
    pipelines: Mapping[str, AnyPipeline]
    lane: BatchLane
    aside: BatchLane
    apart: ApartGraphs
    opened_s: float
    bytes: int
    writing: WritingLane | None = None
    hearing: HearingLane | None = None
    uses: int = 0
    retired: bool = False
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def main(self) -> AnyPipeline:
        """The pipeline of the task that the artifact was exported for, or was opened for."""
        return next(iter(self.pipelines.values()))

    def serves(self, task: str) -> bool:
        """Whether there is a pipeline for a task."""
        return task in self.pipelines

    def lane_of(self, job: Job) -> BatchLane:
        """Where a request's rows wait: aside if a run of one takes long. Nothing interrupts a run, and nobody else
        would be answered meanwhile."""
        longest = max((row.sample.cost for row in job.rows), default=0)
        is_long = self.lane.waiting.costs.seconds(1, longest) > _LONG_S
        return self.aside if is_long and self.main.session.device == "cpu" else self.lane

    @property
    def queues(self) -> Sequence[WaitingRows]:
        """The rows that wait."""
        return self.lane.waiting, self.aside.waiting

    @property
    def texts(self) -> int:
        """How many are being written or wait to be."""
        return 0 if self.writing is None else self.writing.texts

    @property
    def lanes(self) -> Sequence[Lane]:
        """Where its work waits that is computed in turn with that of other models."""
        return [lane for lane in (self.lane, self.writing, self.hearing) if lane is not None]

    def close(self) -> None:
        """Free its memory."""
        for lane in (self.writing, self.hearing):
            if lane is not None:
                lane.close()
        for pipe in reversed(list(self.pipelines.values())):
            pipe.close()


def open_version(
    name: str,
    asked: ModelSettings,
    thread: ComputeThread,
    aside: ComputeThread,
    settings: ServerSettings,
    metrics: Metrics,
    free: Callable[[], int | None],
) -> Version:
    """Open an artifact, measure what a batch costs, and give it a lane. Takes seconds; runs beside the event loop.

    Args:
        free: the bytes that there is room for; None: nobody knows.

    Raises:
        OnnxpressError: it cannot be opened.
    """
    started, before = time.perf_counter(), resident_bytes()
    main: AnyPipeline = onnxpress.pipeline(
        asked.task,
        str(Path(asked.artifact).expanduser()) if asked.artifact.startswith("~") else asked.artifact,
        precision=asked.precision,
        device=asked.device,
        revision=asked.revision,
        threads=asked.threads,
        many_shapes=True,
        **({"lock": asked.lock} if asked.lock else {}),
        **asked.options,
    )
    try:
        main.warm()
        pipelines = {main.task: main, **_others(main, asked)}
        costs = measure(main)
    except BaseException:
        main.close()
        raise
    grown, files = resident_bytes() - before, variant_bytes(main)
    sessions = [pipe.session for pipe in pipelines.values()]
    apart = ApartGraphs(name, sessions, int(files * FILES_TO_MEMORY), thread, free)
    version = Version(
        name,
        pipelines,
        BatchLane(name, thread, WaitingRows(costs, settings.queue), metrics),
        BatchLane(name, aside, WaitingRows(replace(costs), settings.queue), metrics, apart.used),
        apart,
        time.perf_counter() - started,
        max(grown, files),
        writing_lane(name, main, thread, settings.writing, metrics),
        HearingLane(thread, settings.bulk_s, 2 * settings.sound_s)
        if isinstance(main, AutomaticSpeechRecognition)
        else None,
    )
    for lane in version.lanes:
        thread.add(lane)
    for beside in (version.aside, version.apart):
        aside.add(beside)
    _LOG.info(
        "model opened",
        extra={
            "model": name, "task": main.task, "variant": main.precision, "why": main.choice.reason,
            "seconds": round(version.opened_s, 3), "bytes": version.bytes,
            "batch_ms": round(costs.base_s * 1e3, 3), "token_us": round(costs.unit_s * 1e6, 3),
        },
    )  # fmt: skip
    return version


def measure(pipe: AnyPipeline) -> CostLine:
    """What a batch costs: of one row, and of several, of the task's probe.

    Raises:
        OnnxpressError: the model does not answer its probe.
    """
    row, _ = find_task(pipe.task)
    call = probe_of(row, pipe.manifest)
    options, limits = pipe.asked(call.options)
    sample = pipe.prepare(call.inputs[0], options).samples[0]
    line = CostLine()

    def seconds(samples: Sequence[Sample]) -> float:
        started = time.perf_counter()
        pipe.compute(samples, options)
        return time.perf_counter() - started

    first = seconds([sample])
    if hasattr(pipe, "writer") or isinstance(
        pipe, AutomaticSpeechRecognition
    ):  # what is written costs most, and how much that is a call decides
        line.base_s, line.unit_s = first, first / max(sample.cost, 1)
        return line
    many = min(_MANY_ROWS, limits.max_samples or _MANY_ROWS, max(limits.budget // max(sample.cost, 1), 1))
    alone = min(seconds([sample]) for _ in range(_ROUNDS))
    together = min(seconds([sample] * many) for _ in range(_ROUNDS)) if many > 1 else alone * 1.5
    line.begin((sample.cost, alone), (sample.cost * max(many, 2), together))
    return line


def _others(main: AnyPipeline, asked: ModelSettings) -> dict[str, AnyPipeline]:
    """The pipelines of other tasks that the artifact serves; they share the model."""
    others: dict[str, AnyPipeline] = {}
    for task in served_tasks(main.manifest):
        if task != main.task and asked.task is None:
            try:
                others[task] = onnxpress.pipeline(task, main)
            except OnnxpressError as error:
                _LOG.info("task not served", extra={"model": asked.artifact, "task": task, "why": str(error)})
    return others
