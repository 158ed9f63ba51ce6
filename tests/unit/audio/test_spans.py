"""Spans of speech: pauses, short sounds, pads, and that how a sound is divided changes nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.audio.spans import SpanFinder, VoiceSettings, VoiceSpan
from onnxpress.errors import InputError

#: A probability a tenth of a second, of sounds with 100 samples a second.
STEP, RATE = 10, 100


def spans(probabilities: list[float], settings: VoiceSettings, parts: int = 1) -> list[VoiceSpan]:
    finder, done = SpanFinder(settings, STEP, RATE), []
    for part in np.array_split(np.array(probabilities), parts):
        done += finder.add(part.tolist())
        assert not done or finder.sure >= done[-1].stop
    return [*done, *finder.end(len(probabilities) * STEP)]


def of(text: str, **settings: float) -> list[tuple[int, int]]:
    heard = [{"x": 0.9, ".": 0.1, "-": 0.4}[letter] for letter in text]
    return [(span.start, span.stop) for span in spans(heard, VoiceSettings(**settings))]


def test_pauses_pads_and_short_sounds() -> None:
    exact = {"min_silence": 0.3, "min_speech": 0.2, "pad": 0.0}
    assert of("..xxx..xx....", **exact) == [(20, 90)]
    assert of("..xxx...xx...", **exact) == [(20, 50), (80, 100)]
    assert of("..x....xx....", **exact) == [(70, 90)]
    assert of("..xx--xx---", **exact) == [(20, 110)]
    assert of("xx", **exact) == [(0, 20)]
    assert of(".....", **exact) == []
    assert of("..xxx...xx...", min_silence=0.3, pad=0.1) == [(10, 60), (70, 110)]
    assert of("..xxx...xx...", min_silence=0.3, pad=5.0) == [(5, 65), (65, 115)]


@given(
    st.lists(st.floats(0, 1), max_size=80), st.integers(1, 7),
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0.2, 0.9),
)  # fmt: skip
def test_spans_are_in_order_and_do_not_depend_on_parts(
    heard: list[float], parts: int, silence: float, speech: float, pad: float, threshold: float
) -> None:
    settings = VoiceSettings(threshold=threshold, min_silence=silence, min_speech=speech, pad=pad)
    whole = spans(heard, settings)
    assert spans(heard, settings, parts) == whole
    assert all(0 <= span.start < span.stop <= len(heard) * STEP for span in whole)
    assert all(before.stop <= after.start for before, after in pairwise(whole))


@pytest.mark.parametrize("settings", [{"threshold": 0}, {"min_silence": -1}, {"pad": "a"}, {"min_speech": True}])
def test_wrong_settings_are_named(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        VoiceSettings(**settings)  # type: ignore[arg-type]
