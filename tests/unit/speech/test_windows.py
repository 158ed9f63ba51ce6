"""Windows: no sample is lost or heard twice, none is too long, and cuts are where it is quiet."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from onnxpress.audio.spans import VoiceSettings
from onnxpress.speech.windows import CutWindow, VoiceActivity, cut_windows

RATE, LENGTH = 1_000, 4_000

#: What is said, with seconds of it and of the silence after.
SAID = st.lists(st.tuples(st.floats(0.05, 9.0), st.floats(0.0, 12.0)), max_size=6)


class Loudness:
    """Hears a voice wherever a sound is loud."""

    step = 100

    def __init__(self) -> None:
        self._rest = np.empty(0, np.float32)

    def add(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        sound = np.concatenate([self._rest, samples])
        count = len(sound) // self.step
        self._rest = sound[count * self.step :]
        loud = np.abs(sound[: count * self.step]).reshape(count, self.step).max(axis=1, initial=0) > 0.1
        return loud.astype(np.float32)

    def end(self) -> NDArray[np.float32]:
        return np.empty(0, np.float32)


VOICE = VoiceActivity(Loudness, VoiceSettings(min_silence=0.4, pad=0.1, min_speech=0.0))


def sound_of(said: list[tuple[float, float]]) -> NDArray[np.float32]:
    parts = [np.concatenate([np.full(round(s * RATE), 0.5), np.zeros(round(p * RATE))]) for s, p in said]
    return np.concatenate([np.full(300, 0.01), *parts]).astype(np.float32)


def windows(sound: NDArray[np.float32], voice: VoiceActivity | None, parts: int = 1) -> list[CutWindow]:
    return list(cut_windows(iter(np.array_split(sound, parts)), RATE, LENGTH, voice))


@given(SAID, st.integers(1, 9))
@settings(max_examples=25)
def test_without_voices_all_of_a_sound_is_in_windows(said: list[tuple[float, float]], parts: int) -> None:
    sound = sound_of(said)
    cut = windows(sound, None)
    assert np.concatenate([window.samples for window in cut]).tobytes() == sound.tobytes()
    assert all(before.stop == after.start for before, after in pairwise(cut))
    assert all(0 < len(window.samples) <= LENGTH for window in cut)
    assert [(w.start, w.stop) for w in windows(sound, None, parts)] == [(w.start, w.stop) for w in cut]


@given(SAID, st.integers(1, 9))
@settings(max_examples=25)
def test_with_voices_all_that_is_said_is_in_windows_and_no_long_silence(
    said: list[tuple[float, float]], parts: int
) -> None:
    sound = sound_of(said)
    cut = windows(sound, VOICE, parts)
    assert all(before.stop <= after.start for before, after in pairwise(cut))
    assert [(w.start, w.stop) for w in windows(sound, VOICE, 1)] == [(w.start, w.stop) for w in cut]
    heard = np.zeros(len(sound), bool)
    for window in cut:
        assert 0 < len(window.samples) <= LENGTH
        assert window.samples.tobytes() == sound[window.start : window.stop].tobytes()
        assert (window.samples > 0.1).any()
        heard[window.start : window.stop] = True
    last = len(sound) // Loudness.step * Loudness.step  # what fills no step is not heard of
    assert heard[:last][sound[:last] > 0.1].all()


def test_cuts_are_in_pauses() -> None:
    sound = sound_of([(2.0, 0.3), (1.2, 0.3), (3.0, 0.3)])
    cut = windows(sound, None)
    assert [window.stop for window in cut[:-1]] and all(abs(sound[w.stop - 1]) < 0.1 for w in cut[:-1])
    spoken = windows(sound_of([(1.0, 5.0), (1.0, 0.5), (1.0, 20.0), (0.5, 1.0)]), VOICE)
    assert [(round(w.start, -2), round(w.stop, -2)) for w in spoken] == [
        (200, 1400),
        (6200, 8900),
        (28700, 29400),
    ]


def test_what_was_handed_out_is_not_kept() -> None:
    alive: list[weakref.ref[NDArray[np.float32]]] = []

    def blocks() -> Iterator[NDArray[np.float32]]:
        for number in range(60):
            block = np.full(RATE, 0.01 * (1 + number % 7), np.float32)
            alive.append(weakref.ref(block))
            yield block
            del block
            assert sum(reference() is not None for reference in alive) <= 8

    buffer = 0
    for window in cut_windows(blocks(), RATE, LENGTH):
        base = window.samples.base
        buffer = max(buffer, window.samples.nbytes if base is None else base.nbytes)
    assert buffer <= 4 * 2 * LENGTH
