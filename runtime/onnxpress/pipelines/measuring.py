"""Times variants for a moment where nobody knows which is faster here, if the caller allows it, and remembers it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from onnxpress.engine.choice import unmeasured
from onnxpress.engine.remembered import key_of, recall, remember
from onnxpress.format.manifest import Manifest
from onnxpress.pipelines.probe import probe_of
from onnxpress.pipelines.task import Task

if TYPE_CHECKING:
    from onnxpress.pipelines.base import Pipeline

#: Set to 1, it allows variants to be timed when a model is opened.
ALLOWED = "ONNXPRESS_MEASURE"

#: Two variants are timed in turn for so long, and at least so often.
BUDGET_S, ROUNDS = 0.5, 5

_LOG = logging.getLogger(__name__)


def times_here(
    row: Task, manifest: Manifest, place: str, threads: int | None, opened: Callable[[str], Pipeline[Any, Any]]
) -> Mapping[str, float]:
    """Variant -> its time over the most exact one's on this machine, as remembered, or as measured now if allowed.

    Args:
        row: the task whose probe is timed.
        opened: opens the pipeline of a variant.
    """
    variants = list(unmeasured(manifest, place))
    if not variants:
        return {}
    key = key_of(manifest, variants, place, threads)
    known = recall(key)
    if known is not None:
        return known
    if os.environ.get(ALLOWED, "") not in ("1", "true"):
        return {}
    exact, *others = variants
    times = {}
    with opened(exact) as reference:
        for name in others:
            with opened(name) as pipe:
                times[name] = _over(pipe, reference, row, manifest)
    _LOG.info("timed on this machine, over %s: %s", exact, times)
    if not remember(key, times):
        _LOG.warning("what was timed cannot be remembered: the cache folder cannot be written (ONNXPRESS_CACHE)")
    return times


def remembered_times(manifest: Manifest, place: str = "cpu", threads: int | None = None) -> Mapping[str, float]:
    """What `times_here` gave before on this machine; nothing is timed.

    Raises:
        UnsupportedFormat: no variant suits the machine.
    """
    variants = unmeasured(manifest, place)
    return (recall(key_of(manifest, variants, place, threads)) or {}) if variants else {}


def _over(pipe: Pipeline[Any, Any], reference: Pipeline[Any, Any], row: Task, manifest: Manifest) -> float:
    """The time of a pipeline's answer over another's, which are asked in turn."""
    call = probe_of(row, manifest)
    taken: tuple[list[float], list[float]] = ([], [])
    started = time.perf_counter()
    while len(taken[0]) <= ROUNDS or time.perf_counter() - started < BUDGET_S:
        for pipeline, seconds in zip((pipe, reference), taken, strict=True):
            begun = time.perf_counter()
            list(pipeline(iter(call.inputs), **call.options))
            seconds.append(time.perf_counter() - begun)
    from statistics import median  # imports much, and few ask

    return median(taken[0][1:]) / median(taken[1][1:])  # the first answer warms up
