"""Silero's voice activity detector, from a file that the caller has: it is not shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.voice import RATE, VoiceListener
from onnxpress.engine.open_graphs import OpenGraph, open_graph
from onnxpress.engine.stopping import run_options
from onnxpress.errors import ArtifactError, InputError
from onnxpress.graphcheck.scan import scan

Floats = NDArray[np.float32]

#: Samples that it is given at a time, and those before them that it is given again.
_SAMPLES, _BEFORE = 512, 64

#: What it remembers: float32 (2, batch, numbers).
_STATE = (2, 1, 128)

_INPUTS, _OUTPUTS = ("input", "state", "sr"), ("output", "stateN")


def open_silero(path: Path) -> Callable[[], VoiceListener]:
    """What makes listeners of silero_vad.onnx, version 5 or later.

    Raises:
        InputError: there is no such file, it is damaged, or another model.
    """
    if not path.is_file():
        raise InputError(f"vad: there is no file {str(path)[:200]!r}; pass the path of silero_vad.onnx, or True.")
    try:
        graph = scan(path, root=path.parent)
    except ArtifactError as error:
        raise InputError(f"vad: {error}") from error
    if not {*_INPUTS[:2]} <= {*graph.inputs} <= {*_INPUTS} or tuple(graph.outputs) != _OUTPUTS:
        raise InputError(
            f"vad: {path} takes {', '.join(graph.inputs)} and returns {', '.join(graph.outputs)}; a silero_vad.onnx of "
            f"version 5 or later takes {', '.join(_INPUTS)} and returns {', '.join(_OUTPUTS)}."
        )
    opened = open_graph(path, "cpu", 1, alternates=True, crowded=True)
    return lambda: _Silero(opened)


class _Silero:
    """Implements `VoiceListener`."""

    step = _SAMPLES

    def __init__(self, graph: OpenGraph) -> None:
        self._graph = graph
        self._state = np.zeros(_STATE, np.float32)
        self._waiting = np.zeros(_BEFORE, np.float32)

    def add(self, samples: Floats) -> Floats:
        """As `VoiceListener` says."""
        sound = np.concatenate([self._waiting, samples])
        count = (len(sound) - _BEFORE) // _SAMPLES
        heard = [self._heard(sound[place * _SAMPLES :][: _BEFORE + _SAMPLES]) for place in range(count)]
        self._waiting = sound[count * _SAMPLES :]
        return np.array(heard, np.float32)

    def end(self) -> Floats:
        """As `VoiceListener` says."""
        missing = _BEFORE + _SAMPLES - len(self._waiting)
        return np.empty(0, np.float32) if missing == _SAMPLES else self.add(np.zeros(missing, np.float32))

    def _heard(self, sound: Floats) -> float:
        inputs: dict[str, NDArray[Any]] = {"input": sound[None], "state": self._state}
        if "sr" in self._graph.inputs:  # some of its files are of one rate
            inputs["sr"] = np.array(RATE, np.int64)
        with run_options() as options:
            probability, self._state = self._graph.session.run(_OUTPUTS, inputs, options)
        return float(probability[0, 0])
