"""Speech: what models that write what is said are calibrated on and, other sentences, judged by.

Sentences of several voices and languages, spoken by a program (`models/spoken_sentences.py`), and one of a real speech.
What such a model writes of other sounds is no text, and tells nothing of what a variant makes of speech. Each sentence
is heard twice: as it is, and in noise by a voice that is higher or lower. This module knows nothing of models.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from onnxpress.audio.opening import open_sound

#: float32 (samples,), from -1 to 1.
Sound = NDArray[np.float32]

_FOLDER = Path(__file__).with_name("spoken")

#: How much faster the second hearing is, sentence by sentence, and of its loudness the noise has.
_FASTER, _NOISE = (1.08, 0.93), 0.12


@lru_cache(maxsize=4)
def calibration_speech(rate: int) -> Sequence[Sound]:
    """The speech that the ranges of quantization are taken from."""
    return tuple(_heard("calibration", rate))


@lru_cache(maxsize=4)
def judged_speech(rate: int) -> Sequence[Sound]:
    """The speech that a variant's answers are compared on."""
    return (open_sound(_FOLDER / "inaugural-address.ogg", rate), *_heard("judged", rate))


def _heard(name: str, rate: int) -> Iterator[Sound]:
    sentences = tomllib.loads((_FOLDER / "sentences.toml").read_text(encoding="utf-8"))[name]
    samples = open_sound(_FOLDER / f"{name}.ogg", rate)
    generator = np.random.default_rng(len(samples))
    for number, sentence in enumerate(sentences):
        begins, ends = (round(second * rate) for second in sentence["seconds"])
        plain = samples[begins:ends]
        yield plain
        voice = soxr.resample(plain, _FASTER[number % len(_FASTER)] * rate, rate).astype(np.float32)
        noise = generator.standard_normal(len(voice)).astype(np.float32)
        yield voice + np.float32(_NOISE * np.sqrt(np.square(voice).mean())) * noise
