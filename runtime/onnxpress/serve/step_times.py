"""What a step of a model that writes takes, by how many texts step together; from how many on another is faster.

Both models are measured one right after the other with each number of texts. A few steps are a piece of work between
those of others, whose streams stand still for as long a dozen times.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxpress.engine.choice import FASTER
from onnxpress.errors import EngineError, OnnxpressError
from onnxpress.generation.scheduler import Scheduler
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.probe import probe_of
from onnxpress.pipelines.table import find_task
from onnxpress.pipelines.writing import WritesTexts, WritingSettings
from onnxpress.serve.compute import ComputeThread, Piece
from onnxpress.serve.jobs import Priority

#: Texts that step together where it is measured, beside the most there may be: kernels for one row, for a few.
_FEW = (1, 4)

#: Steps of each model that are timed with so many texts; those before them that are not: the first take memory.
_STEPS, _UNTIMED = 6, 2

#: Steps of one piece of work. Threads of the model whose texts are written spin on for a while after its step, so the
#: first of a piece takes up to twice its time.
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Seconds of a step at some numbers of texts, in their order; in between, the line through the two beside."""

    texts: tuple[int, ...]
    seconds: tuple[float, ...]

    def at(self, texts: int) -> float:
        """What a step of so many texts is expected to take."""
        if texts >= self.texts[-1]:  # as many steps of the most, in the end
            return self.seconds[-1] * texts / self.texts[-1]
        place = next(place for place, most in enumerate(self.texts) if texts <= most)
        if place == 0:
            return self.seconds[0]
        few, many = self.texts[place - 1], self.texts[place]
        share = (texts - few) / (many - few)
        return self.seconds[place - 1] * (1 - share) + self.seconds[place] * share


@dataclass(frozen=True, slots=True)
class Crossover:
    """From `up` texts at once on the second model is surely faster; with `down` or fewer the first is no slower. In
    between whichever writes goes on."""

    up: int
    down: int


def crossover(first: StepTimes, second: StepTimes, most: int) -> Crossover | None:
    """Where the second model overtakes the first among 1 to `most` texts; None: nowhere for good."""
    slower = [texts for texts in range(1, most + 1) if second.at(texts) > FASTER * first.at(texts)]
    up = max(slower, default=0) + 1
    if up > most:
        return None
    no_faster = (texts for texts in range(1, up) if second.at(texts) >= first.at(texts))
    return Crossover(up, max(no_faster, default=0))


class StepTimer:
    """Times steps of models that write. Implements `compute.Lane` while `measure` runs, in whatever other thread."""

    def __init__(self, thread: ComputeThread, pipes: Sequence[Pipeline[Any, Any]], most: int) -> None:
        self._thread = thread
        self._pipes = pipes
        self._texts = (*(texts for texts in _FEW if texts < most), most)
        self._ended = threading.Event()
        self._last = 0.0
        self._error: OnnxpressError | None = None
        self._times: list[list[float]] = [[] for _ in pipes]
        self._turns = self._all_turns()

    def measure(self) -> list[StepTimes]:
        """The times of each model. Takes as long as some dozen steps, and what others compute in between.

        Raises:
            OnnxpressError: a model does not answer its probe.
        """
        self._thread.add(self)
        try:
            self._ended.wait()
        finally:
            self._thread.remove(self)
        if self._error is not None:
            raise self._error
        return [StepTimes(self._texts, tuple(times)) for times in self._times]

    def head(self, now: float) -> float | None:
        """In turn with the steps of texts that are being written."""
        return None if self._ended.is_set() else self._last + Priority.NORMAL.value

    def take(self, now: float) -> Piece | None:
        return self._turn

    def _turn(self) -> None:
        try:
            for _ in range(_AT_ONCE):
                next(self._turns)
        except StopIteration:
            self._ended.set()
        except Exception as error:
            self._error = error if isinstance(error, OnnxpressError) else EngineError(f"The model failed ({error}).")
            self._ended.set()
        self._last = time.monotonic()

    def _all_turns(self) -> Iterator[None]:
        """Take a step at a time."""
        for texts in self._texts:
            for pipe, times in zip(self._pipes, self._times, strict=True):
                scheduler, steps = writing(pipe, texts), list[float]()
                try:
                    while scheduler.busy:
                        started = time.perf_counter()
                        if len(scheduler.step()) == texts:  # not one in which prompts are read
                            steps.append(time.perf_counter() - started)
                        yield
                finally:
                    scheduler.close()
                if len(steps) <= _UNTIMED:
                    raise EngineError("A text ends before its steps could be timed.")
                times.append(min(steps[_UNTIMED:]))  # the machine may do something else, too


def writing(pipe: Pipeline[Any, Any], texts: int) -> Scheduler:
    """A scheduler with so many texts about the task's probe, each of as many tokens as are timed.

    Raises:
        OnnxpressError: the model does not take its probe.
    """
    assert isinstance(pipe, WritesTexts)
    row, _ = find_task(pipe.task)
    probe = probe_of(row, pipe.manifest)
    options, _ = pipe.asked(probe.options)
    sample = pipe.prepare(probe.inputs[0], options).samples[0]
    call, count = pipe.call(options, single=True), _UNTIMED + _STEPS
    config = call.config.merged(
        max_new_tokens=count, min_new_tokens=count, do_sample=False, num_return_sequences=1, prompt_lookup_num_tokens=0
    )
    request = pipe.writer.request(sample, WritingSettings(config), pipe.writer.hooks(WritingSettings(config)))
    if not request.encodes:  # prompts of one token are read in one step of all
        request = replace(request, prompt=request.prompt[:1])
    scheduler = Scheduler(pipe.writer.opener(), pipe.writer.limit, rows=texts)
    for _ in range(texts):
        scheduler.admit(request)
    return scheduler
