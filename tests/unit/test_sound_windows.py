"""Windows of long sounds: they cover it, and their moments join without a gap."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import InputError
from onnxpress.pipelines.sound_windows import LONG_SECONDS, SoundWindow, check_lengths, windows_of

RATE, STEP = 16_000, 320


@given(st.integers(1, 900_000), st.integers(3, 60), st.integers(0, 10), st.integers(0, 10))
def test_windows_cover_a_sound_and_their_moments_join(samples: int, length: int, left: int, right: int) -> None:
    if length <= left + right:
        with pytest.raises(InputError, match="leaves nothing"):
            windows_of(samples, RATE, STEP, length / 10, (left / 10, right / 10))
        return
    windows = windows_of(samples, RATE, STEP, length / 10, (left / 10, right / 10))
    assert windows[0].start == 0
    assert windows[-1].stop == samples or samples - windows[-1].stop <= right / 10 * RATE
    assert windows[0].left == 0 and windows[-1].stop <= samples
    for before, after in pairwise(windows):
        assert before.stop - before.right == after.start + after.left
        assert before.moments(STEP).stop - before.moments(STEP).start == (
            (before.stop - before.right - before.start - before.left) // STEP
        )


def test_only_long_sounds_are_cut_unasked() -> None:
    edge = int(LONG_SECONDS * RATE)
    assert windows_of(edge, RATE, STEP, None, None) == [SoundWindow(0, edge, 0, 0)]
    assert len(windows_of(edge + 1, RATE, STEP, None, None)) > 1
    assert windows_of(2 * edge, RATE, STEP, 0, None) == [SoundWindow(0, 2 * edge, 0, 0)]


@pytest.mark.parametrize(("length", "stride"), [(-1, None), ("x", None), (True, None), (1, "x"), (1, (1, 2, 3))])
def test_what_are_no_seconds_is_refused(length: Any, stride: Any) -> None:
    with pytest.raises(InputError, match="seconds"):
        check_lengths(length, stride)
