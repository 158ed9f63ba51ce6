"""The part of `onnxpress.json` that says how a text becomes sound: which numbers a graph is given besides the text.

docs/artifact.md describes every field for readers of other languages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from onnxpress.format.sounds import RATES


@dataclass(frozen=True, slots=True)
class SpeechByDurations:
    """The graph "encoder" says how many frames each token lasts; the graph "vocoder" makes samples of all frames at
    once (VITS).

    `rate`: samples a second. `frame`: samples that a frame becomes. `noise_scale`: of the frames; `duration_noise`: of
    the durations, None where these take none; `speaking_rate`: how fast. `voices`: how many there are to choose from;
    0: there is one, and the graphs are not told.
    """

    rate: int
    frame: int
    noise_scale: float
    duration_noise: float | None
    speaking_rate: float
    voices: int = 0
    op: Literal["by-durations"] = "by-durations"


@dataclass(frozen=True, slots=True)
class SpeechByFrames:
    """The graph "decoder" says frames one after the other, `at_once` at a time, until it stops; the graph "vocoder"
    makes samples of all of them (SpeechT5).

    `rate`: samples a second. `bands`: numbers of a frame. `voice`: numbers of a voice's vector. `layers`, `units`: of
    the numbers that are dropped at random before each frame, and `keeps`: the chance of each to stay. `most`: frames
    that the model has places for.
    """

    rate: int
    bands: int
    at_once: int
    voice: int
    layers: int
    units: int
    keeps: float
    most: int
    op: Literal["by-frames"] = "by-frames"


SpeechSettings = SpeechByDurations | SpeechByFrames


def faults_of_speech(settings: SpeechSettings) -> Iterator[tuple[str, str]]:
    """The fields that cannot be carried out, each with what is wrong with it."""
    if settings.rate not in RATES:
        yield "rate", f"not from {RATES.start} to {RATES.stop - 1}"
    for name in ("frame", "bands", "at_once", "voice", "layers", "units", "most"):
        if not 1 <= getattr(settings, name, 1) <= 1_000_000:
            yield name, "not from 1 to 1000000"
    if isinstance(settings, SpeechByDurations) and settings.speaking_rate <= 0:
        yield "speaking_rate", "not positive"
    if isinstance(settings, SpeechByFrames) and not 0 < settings.keeps < 1:
        yield "keeps", "not between 0 and 1"
