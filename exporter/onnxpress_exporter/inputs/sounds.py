"""Sounds: the checkpoint's feature extractor, as a program of the manifest."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.audio.transform import SoundTransform
from onnxpress.errors import InputError
from onnxpress.format.manifest import TensorInfo
from onnxpress.format.processors import Processors
from onnxpress.format.sounds import FitSamples, SoundSettings
from onnxpress.pipelines.collators import Stack
from onnxpress.pipelines.sounds import sound_sample
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.inputs.base import answers_of, class_of, copy_processor_files, shaped
from onnxpress_exporter.judging.sounds import voice
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.feature_extractors import read_feature_extractor
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.source.processors import load_feature_extractor
from onnxpress_exporter.tasks.row import ExportTask, Tower

_BATCH, _TIME = "batch", "time"

#: Sounds that are traced: a number unlike any size inside a model.
_ROWS = 3

#: Seconds of sounds that are traced, and of others: what differs between them has no fixed size.
#: Of the first, models make an odd number of states of 20 ms: those that halve them fill up what is missing then, which
#: is nothing for an even number.
_SECONDS = (1.12, 1.7)


class SoundInputs:
    """As `Inputs` says, of the program that a feature extractor of transformers was read as."""

    check: Check | None = None

    def __init__(self, settings: SoundSettings) -> None:
        self._settings = settings

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        """As `Inputs` says."""
        assert row.outputs is not None, f"{row.name} has graphs of its own"
        return [self.traceable_tower(Tower("model", "encoder", "audio", model, row.outputs(model)), row.by_rows(model))]

    def traceable_tower(self, tower: Tower, module: Any = None) -> Traceable:
        """float32 (batch, samples), (batch, frames, bands) or (batch, bands, frames), of one length where the program
        makes all sounds of one; and the mask of padding, where the model takes one.

        Args:
            module: what is traced in the place of the tower's own, which answers the same.

        Raises:
            UnsupportedCheckpoint: it does not take such sounds.
        """
        model, settings = tower.module, self._of_graph(tower.module)
        inputs = [_examples(settings, seconds) for seconds in _SECONDS]
        answers = [_answers(model, each) for each in inputs]
        outputs = tuple(shaped(tensor, answers) for tensor in tower.outputs if answers[0].get(tensor.name) is not None)
        if not outputs or outputs[0].name != tower.outputs[0].name:
            raise UnsupportedCheckpoint(f"{class_of(model)} does not return {tower.outputs[0].name}.")
        first, second = inputs
        sources = tuple(_described(name, array, second[name]) for name, array in first.items())
        return Traceable(GraphSpec(tower.name, sources, outputs, tower.role), module or model, first)

    def built(self, model: Any) -> Built:
        """As `Inputs` says; no task of sounds writes yet.

        Raises:
            UnsupportedCheckpoint: always.
        """
        raise UnsupportedCheckpoint(f"{class_of(model)} writes of sounds, which this version does not export yet.")

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says. The manifest says it all; the checkpoint's own file is for other libraries."""
        copy_processor_files(checkpoint, folder)
        return Processors(audio=self._least(model, self._of_graph(model)))

    @property
    def alone(self) -> SoundSettings:
        """The program of a model that writes of sounds, whose encoder takes them without a mask."""
        return replace(self._settings, input_names=self._settings.input_names[:1])

    def write_for(self, checkpoint: Checkpoint, folder: Path, encoder: Any) -> SoundSettings:
        """Of a model that writes of sounds, and of what hears them in it."""
        copy_processor_files(checkpoint, folder)
        return self.alone if hears_windows(self._settings) else self._least(encoder, self.alone)

    def heard(self) -> tuple[TensorInfo, Any]:
        """What a graph takes that hears sounds of any length and writes of them, and an example."""
        first, second = (_examples(self.alone, seconds) for seconds in _SECONDS)
        ((name, array),) = first.items()
        source = _described(name, array, second[name])
        return replace(source, axes=("texts", *source.axes[1:])), array

    def _of_graph(self, model: Any) -> SoundSettings:
        """The program, with a mask only where the model takes one."""
        takes = inspect.signature(model.forward).parameters
        name, *masks = self._settings.input_names
        return replace(self._settings, input_names=(name, *(mask for mask in masks if mask in takes)))

    def _least(self, model: Any, settings: SoundSettings) -> SoundSettings:
        """With the shortest sound that the model answers, where its layers need more than the program's first frame."""
        if not _too_short(model, settings, settings.least):
            return settings
        enough = round(_SECONDS[0] * settings.rate)
        short = settings.least
        while enough - short > 1:
            middle = (short + enough) // 2
            short, enough = (middle, enough) if _too_short(model, settings, middle) else (short, middle)
        return replace(settings, least=enough)


def hears_windows(settings: SoundSettings) -> bool:
    """Whether all sounds are made of one length: a model hears longer ones in windows of it."""
    return any(isinstance(step, FitSamples) for step in settings.steps)


def _described(name: str, array: Any, other: Any) -> TensorInfo:
    """An input of the graph; its axis of time is what differs between sounds of two lengths."""
    sizes = zip(array.shape[1:], other.shape[1:], strict=True)
    axes = (size if size == other_size else _TIME for size, other_size in sizes)
    return TensorInfo(name, str(array.dtype).removeprefix("torch."), (_BATCH, *axes))


def _too_short(model: Any, settings: SoundSettings, samples: int) -> bool:
    try:
        _answers(model, _arrays(settings, [np.full(samples, 0.1, np.float32)]))
    except (InputError, UnsupportedCheckpoint):
        return True
    return False


def _examples(settings: SoundSettings, seconds: float) -> dict[str, Any]:
    """What the graph takes of `_ROWS` voices."""
    return _arrays(settings, [voice(settings.rate, seconds, seed) for seed in range(_ROWS)])


def _arrays(settings: SoundSettings, sounds: list[Any]) -> dict[str, Any]:
    import torch

    transform = SoundTransform(settings)
    batch = Stack().collate([sound_sample(transform, sound) for sound in sounds])
    return {name: torch.from_numpy(array) for name, array in batch.arrays.items()}


def _answers(model: Any, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    shapes = ", ".join(f"{name} {tuple(array.shape)}" for name, array in inputs.items())
    return answers_of(model, inputs, f"sounds as its feature extractor makes them ({shapes})")


def read_sounds(checkpoint: Checkpoint, arguments: LoadArguments) -> SoundInputs:
    """The checkpoint's feature extractor.

    Raises:
        UnsupportedCheckpoint: there is none, or its class does what no step of the manifest does.
        VerificationFailed: it was read wrong.
    """
    return SoundInputs(read_feature_extractor(load_feature_extractor(checkpoint)))
