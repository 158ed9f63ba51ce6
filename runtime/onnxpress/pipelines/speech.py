"""From tokens to samples: the graphs of a model that speaks, and the noise that they are given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.format.speech import SpeechByDurations, SpeechByFrames, SpeechSettings
from onnxpress.pipelines.loaded import LoadedModel

Samples = NDArray[np.float32]

#: What the graphs do in their model.
READER, STEPPER, VOCODER = "encoder", "decoder", "vocoder"

#: Of one text: half an hour.
MAX_SECONDS = 1_800

#: Where transformers' `generate` of SpeechT5 stops, unless a call says otherwise.
_THRESHOLD, _LEAST_RATIO, _MOST_RATIO = 0.5, 0.0, 20.0


class Speaker(Protocol):
    """`names`: the parameters of a call that it knows, as transformers calls them."""

    @property
    def names(self) -> Sequence[str]: ...

    def __call__(self, ids: NDArray[np.int64], parameters: Mapping[str, Any], seed: int | None) -> Samples:
        """float32 (samples,) of the tokens (1, sequence); the same for the same `seed`.

        Raises:
            InputError: a parameter is missing, or is what it cannot be; or the sound would be too long.
        """


def speaker_of(model: LoadedModel, settings: SpeechSettings) -> Speaker:
    """What makes sound with a model's graphs."""
    if isinstance(settings, SpeechByDurations):
        return _ByDurations(model, settings)
    return _ByFrames(model, settings)


class _ByDurations:
    """Each token lasts some frames; all of them become samples at once."""

    def __init__(self, model: LoadedModel, settings: SpeechByDurations) -> None:
        self._settings, self._session = settings, model.session
        manifest = model.artifact.manifest
        self._reader, self._vocoder = manifest.graph_name(READER), manifest.graph_name(VOCODER)
        self.names = (
            *("speaking_rate", "noise_scale"),
            *(() if settings.duration_noise is None else ("noise_scale_duration",)),
            *(("speaker_id",) if settings.voices else ()),
        )

    def __call__(self, ids: NDArray[np.int64], parameters: Mapping[str, Any], seed: int | None) -> Samples:
        settings, generator = self._settings, np.random.default_rng(seed)
        voice = self._voice(parameters)
        arrays: dict[str, NDArray[Any]] = {"input_ids": ids, **voice}
        if settings.duration_noise is not None:
            scale = _number(parameters, "noise_scale_duration", settings.duration_noise)
            arrays["duration_noise"] = _noise(generator, (1, 2, ids.shape[1]), scale)
        rate = _number(parameters, "speaking_rate", settings.speaking_rate)
        if not rate > 0:
            raise InputError(f"speaking_rate is {rate!r}; it must be positive.")
        read = self._session.run(arrays, graph=self._reader)
        lasting = np.ceil(read["durations"][0] * np.float32(1.0 / rate))
        total = float(lasting.sum(dtype=np.float64))
        if not total * settings.frame <= MAX_SECONDS * settings.rate:
            raise InputError(
                f"The sound would have {total * settings.frame / settings.rate:.0f} seconds, and at most {MAX_SECONDS} "
                "are made of one text: split it, or speak faster (speaking_rate)."
            )
        counts = lasting.astype(np.int64)
        means, deviations = (
            np.repeat(array, counts, axis=0) for array in (read["means"][0], np.exp(read["log_deviations"][0]))
        )
        if not total:  # as transformers has it: a frame of nothing but noise
            means, deviations = np.zeros((1, means.shape[1]), np.float32), np.ones((1, means.shape[1]), np.float32)
        # Drawn as (bands, frames), as transformers has them.
        noise = _noise(generator, means.shape[::-1], _number(parameters, "noise_scale", settings.noise_scale)).T
        frames = (means + noise * deviations)[None]
        return np.ascontiguousarray(
            self._session.run({"frames": frames, **voice}, graph=self._vocoder)["waveform"][0], np.float32
        )

    def _voice(self, parameters: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        voices, number = self._settings.voices, parameters.get("speaker_id")
        if not voices:
            return {}
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < voices:
            raise InputError(
                f"speaker_id is {number!r:.40}: this model has {voices} voices; pass "
                f"forward_params={{'speaker_id': n}}, from 0 to {voices - 1}."
            )
        return {"speaker_id": np.array([number], np.int64)}


class _ByFrames:
    """Frames one after the other, each after what was said before; all of them become samples at the end."""

    names = ("speaker_embeddings", "threshold", "minlenratio", "maxlenratio")

    def __init__(self, model: LoadedModel, settings: SpeechByFrames) -> None:
        self._settings, self._session = settings, model.session
        manifest = model.artifact.manifest
        self._reader, self._stepper, self._vocoder = map(manifest.graph_name, (READER, STEPPER, VOCODER))
        (past,) = (tensor for tensor in manifest.graphs[self._stepper].inputs if tensor.name == "past")
        #: Axes of the keys and values: all that have a size.
        self._past = [axis if isinstance(axis, int) else 0 for axis in past.axes]

    def __call__(self, ids: NDArray[np.int64], parameters: Mapping[str, Any], seed: int | None) -> Samples:
        settings, generator = self._settings, np.random.default_rng(seed)
        voice = self._voice(parameters)
        threshold = _number(parameters, "threshold", _THRESHOLD)
        tokens = ids.shape[1]
        least = int(tokens * _number(parameters, "minlenratio", _LEAST_RATIO) / settings.at_once)
        most = int(tokens * _number(parameters, "maxlenratio", _MOST_RATIO) / settings.at_once)
        read = self._session.run({"input_ids": ids}, graph=self._reader)["read"]
        frame, past = np.zeros((1, settings.bands), np.float32), np.zeros(self._past, np.float32)
        said: list[NDArray[np.float32]] = []
        while True:
            if len(said) >= settings.most:
                raise InputError(
                    f"The model has no place for more than {settings.most} frames, and did not stop before: split the "
                    "text, or pass forward_params={'maxlenratio': ...}."
                )
            step = self._session.run(
                {
                    "frame": frame,
                    "place": np.array([len(said)], np.int64),
                    "voice": voice,
                    "stays": self._stays(generator),
                    "past": past,
                    "read": read,
                },
                graph=self._stepper,
            )
            said.append(step["frames"][0])
            frame, past = step["frames"][:, -1], step["present"]
            if len(said) >= least and (len(said) >= most or float(step["stop"].sum()) >= threshold):
                break
        return np.ascontiguousarray(
            self._session.run({"frames": np.concatenate(said)[None]}, graph=self._vocoder)["waveform"][0], np.float32
        )

    def _stays(self, generator: np.random.Generator) -> NDArray[np.float32]:
        """float32 (1, layers, units): 0 for what is dropped, and what makes up for it for the rest."""
        settings = self._settings
        stays = generator.random((1, settings.layers, settings.units), dtype=np.float32) < settings.keeps
        return stays.astype(np.float32) / np.float32(1 - settings.keeps)

    def _voice(self, parameters: Mapping[str, Any]) -> NDArray[np.float32]:
        size, vector = self._settings.voice, parameters.get("speaker_embeddings")
        if vector is None:
            raise InputError(
                f"This model speaks with a voice that it is given: pass forward_params={{'speaker_embeddings': v}}, "
                f"{size} numbers."
            )
        try:
            voice = np.asarray(vector, np.float32)
        except (TypeError, ValueError) as error:
            raise InputError(f"speaker_embeddings must be {size} numbers, not {type(vector).__name__}.") from error
        if voice.size != size or voice.shape not in ((size,), (1, size)) or not np.isfinite(voice).all():
            raise InputError(
                f"speaker_embeddings must be {size} finite numbers, ({size},) or (1, {size}), not {voice.shape}."
            )
        return voice.reshape(1, size)


def _noise(generator: np.random.Generator, shape: tuple[int, ...], scale: float) -> NDArray[np.float32]:
    noise: NDArray[np.float32] = generator.standard_normal(shape, dtype=np.float32)
    return noise * np.float32(scale)


def _number(parameters: Mapping[str, Any], name: str, usual: float) -> float:
    value = parameters.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value) or value < 0:
        raise InputError(f"{name} is {value!r:.40}; it must be a number from 0.")
    return float(value)
