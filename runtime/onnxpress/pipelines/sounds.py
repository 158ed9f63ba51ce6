"""Sounds as samples: how every task of sounds reads its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.audio.opening import open_sound
from onnxpress.audio.transform import Floats, SoundTransform
from onnxpress.errors import ArtifactError, InputError
from onnxpress.format.callers_files import as_input
from onnxpress.format.sounds import SoundSettings
from onnxpress.pipelines.collators import Stack
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.samples import Collator, Sample

#: What a second of sound costs, in tokens of text: most models make a state of 20 ms.
_TOKENS_OF_A_SECOND = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundOptions:
    """What every task of sounds takes. `channel`: the one that is heard, from 0; None: the mean of all."""

    channel: int | None = None


class SoundProcessor:
    """Sounds to samples: what `onnxpress.audio.opening.open_sound` takes, as what the manifest's program makes."""

    def __init__(self, model: LoadedModel) -> None:
        settings = model.artifact.manifest.processors.audio
        if settings is None:
            raise ArtifactError(
                f"{model.artifact.folder}: it does not say how sounds are read, so {model.task.name} cannot run. "
                "Export again."
            )
        self.settings = settings
        self.collator: Collator = sound_collator(settings, padding=model.artifact.manifest.padding)
        self._transform = SoundTransform(settings)

    def sample(self, raw: Any, context: Any = None, channel: int | None = None) -> Sample:
        """One sound, opened as `open_sound` does it.

        Raises:
            InputError: it is none, damaged, or too short for the model.
        """
        return sound_sample(self._transform, open_sound(raw, self.settings.rate, channel), context)


def sound_sample(transform: SoundTransform, samples: Floats, context: Any = None) -> Sample:
    """A sound as a sample: what the program makes of it and, if the graph is told, what of that is not padding (int64,
    1 or 0 along the axis of time); and what that costs."""
    settings, heard = transform.settings, transform(samples)
    name, *masks = settings.input_names
    arrays: dict[str, Any] = {name: heard.values}
    for mask in masks:
        arrays[mask] = (np.arange(time_of(heard.values, settings)) < heard.count).astype(np.int64)
    return Sample(arrays, max(1, len(samples) * _TOKENS_OF_A_SECOND // settings.rate), context)


def time_of(values: Floats, settings: SoundSettings) -> int:
    """The length of an array on its axis of time: of samples, or of frames."""
    return int(values.shape[-1 if values.ndim == 1 or settings.bands_first else -2])


def sound_collator(settings: SoundSettings, *, padding: bool) -> Stack:
    """What makes batches of sounds. Those of different lengths meet only where the graph is told what is padding, and
    its answer does not depend on it (`padding`, as the manifest says)."""
    return Stack(pads=padding and len(settings.input_names) > 1)


def one_sound(inputs: Any) -> Any:
    """The inputs of a call; an open file is one sound, not a stream of lines.

    Raises:
        InputError: there are none.
    """
    if inputs is None:
        raise InputError("Pass one sound or several as the first argument.")
    return as_input(inputs)
