"""Frames of a sound that comes in blocks are those of all of it at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.audio.frames import FrameMaker
from onnxpress.audio.spectrum import spectrum_transform
from onnxpress.format.sounds import MelBank, Spectrum

RATE = 16_000
STEP = Spectrum(
    400, 160, 400, "hann", MelBank(16, 0.0, 8000.0, "slaney", True), "mirrored",
    periodic=True, drop_last=True, base="10", floor=1e-10, single=True,
)  # fmt: skip
STEPS = {
    "mirrored": STEP,
    "zeros": replace(STEP, edges="zeros", frame=300, fft=512, drop_last=False),
    "none": replace(STEP, edges="none", single=False, preemphasis=0.97, remove_mean=True, drop_last=False),
}


@pytest.mark.parametrize("edges", STEPS)
@given(
    samples=st.integers(600, 120_000),
    cuts=st.lists(st.integers(0, 120_000), max_size=6),
    silence=st.integers(0, 50_000),
)
@settings(max_examples=15)
def test_blocks_make_the_same_frames(edges: str, samples: int, cuts: list[int], silence: int) -> None:
    sound = np.random.default_rng(samples).standard_normal(samples).astype(np.float32)
    sound[samples - silence :] = 0
    maker = FrameMaker(STEPS[edges], RATE)
    parts = [maker.add(block) for block in np.split(sound, sorted(cut for cut in cuts if cut < samples))]
    frames = np.concatenate([*parts, maker.end()])
    whole: Any = spectrum_transform(STEPS[edges], RATE)(sound)
    assert frames.shape == whole.shape
    np.testing.assert_allclose(frames, whole, atol=2e-5)
    if not silence:
        full = len(frames) // 256 * 256
        assert frames[:full].tobytes() == whole[:full].tobytes()


def test_nothing_has_no_frames() -> None:
    assert FrameMaker(STEP, RATE).end().shape == (0, 16)
