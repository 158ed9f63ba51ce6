"""Sounds as samples: how every task of sounds reads its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxpress.audio.limits import SoundLimits
from onnxpress.audio.opening import open_sound
from onnxpress.audio.transform import Floats, SoundTransform
from onnxpress.errors import InputError
from onnxpress.fetching.limits import SOUND, limits_where_allowed
from onnxpress.format.sounds import SoundSettings, seconds_that_are_read
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.collators import Stack
from onnxpress.pipelines.inputs import named_input
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.samples import Collator, Sample

#: What a second of sound costs, in tokens of text: most models make a state of 20 ms.
TOKENS_OF_A_SECOND = 50

#: Of a sound whose every sample a model is given at once: attention to so much takes gigabytes.
MAX_SECONDS = 600.0

#: What transformers calls the inputs of some tasks of sounds, beside `inputs`.
NAMES = ("audios", "audio")


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundOptions:
    """What every task of sounds takes. `channel`: the one that is heard, from 0; None: the mean of all. `allow_urls`:
    whether http and https addresses are fetched, those of the public internet alone; one may take 30 seconds, and no
    longer than the call's `timeout`."""

    channel: int | None = None
    allow_urls: bool = False

    def __post_init__(self) -> None:
        limits_where_allowed(self.allow_urls, SOUND)

    @property
    def limits(self) -> SoundLimits:
        """What may be read of a sound."""
        return SoundLimits(urls=limits_where_allowed(self.allow_urls, SOUND))


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSoundOptions:
    """Of a task whose model is given a sound at once. `channel`, `allow_urls`: as of every task. `max_seconds`: a sound
    that lasts longer is refused before it is read, unless the model takes no more than its beginning."""

    channel: int | None = None
    allow_urls: bool = False
    max_seconds: float = MAX_SECONDS

    def __post_init__(self) -> None:
        limits_where_allowed(self.allow_urls, SOUND)
        value = self.max_seconds
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise InputError(f"max_seconds is {value!r:.40}; it must be a positive number of seconds.")


_USUAL = WholeSoundOptions()


class Transcribed(dict[str, Any]):
    """The result of automatic-speech-recognition, in transformers' schema, and how long the sound is, in seconds."""

    def __init__(self, result: Mapping[str, Any], seconds: float) -> None:
        super().__init__(result)
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return Transcribed, (dict(self), self.seconds)


class SoundProcessor:
    """Sounds to samples: what `onnxpress.audio.opening.open_sound` takes, as what the manifest's program makes."""

    def __init__(self, model: LoadedModel) -> None:
        settings = model.processor_settings(model.artifact.manifest.processors.audio, "sounds")
        self.settings = settings
        self.collator: Collator = sound_collator(settings, padding=model.artifact.manifest.padding)
        self._transform = SoundTransform(settings)
        #: Seconds from the beginning that are all that the program takes of a sound; None: it takes all.
        self._enough = seconds_that_are_read(settings)

    def sample(self, raw: Any, context: Any = None, options: WholeSoundOptions = _USUAL) -> Sample:
        """One sound, opened as `open_sound` does it.

        Raises:
            InputError: it is none, damaged, too long, or too short for the model.
        """
        limits = SoundLimits(options.max_seconds, self._enough, limits_where_allowed(options.allow_urls, SOUND))
        return self.heard(open_sound(raw, self.settings.rate, options.channel, limits), context)

    def read(self, raw: Any, options: WholeSoundOptions) -> Sample:
        """One sound, as the options of its call say.

        Raises:
            InputError: as of `sample`.
        """
        return self.sample(raw, options=options)

    def heard(self, samples: Floats, context: Any = None) -> Sample:
        """Samples at the model's rate, opened before, as a sample.

        Raises:
            InputError: they are too few for the model.
        """
        return sound_sample(self._transform, samples, context)


def sound_sample(transform: SoundTransform, samples: Floats, context: Any = None) -> Sample:
    """A sound as a sample: what the program makes of it and, if the graph is told, what of that is not padding (int64,
    1 or 0 along the axis of time); and what that costs."""
    settings, heard = transform.settings, transform(samples)
    name, *masks = settings.input_names
    arrays: dict[str, Any] = {name: heard.values}
    for mask in masks:
        arrays[mask] = (np.arange(time_of(heard.values, settings)) < heard.count).astype(np.int64)
    return Sample(arrays, max(1, len(samples) * TOKENS_OF_A_SECOND // settings.rate), context)


def time_of(values: Floats, settings: SoundSettings) -> int:
    """The length of an array on its axis of time: of samples, or of frames."""
    return int(values.shape[-1 if values.ndim == 1 or settings.bands_first else -2])


def sound_collator(settings: SoundSettings, *, padding: bool) -> Stack:
    """What makes batches of sounds. Those of different lengths meet only where the graph is told what is padding, and
    its answer does not depend on it (`padding`, as the manifest says)."""
    return Stack(pads=padding and len(settings.input_names) > 1)


def sounds_of(inputs: Any, options: dict[str, Any]) -> Any:
    """The inputs of a call, which transformers lets be named `audios` or `audio`; those names leave `options`.

    Raises:
        InputError: as of `named_input`.
    """
    return named_input(inputs, options, NAMES, "sound")


def call_sounds(pipe: Pipeline[Any, Any], inputs: Any = None, **options: Any) -> Any:
    """`__call__` of a pipeline whose inputs are sounds and nothing else."""
    return Pipeline.__call__(pipe, sounds_of(inputs, options), **options)
