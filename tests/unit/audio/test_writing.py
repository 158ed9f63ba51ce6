"""Sounds that are written are read as they were."""

from __future__ import annotations

import numpy as np
import pytest

from onnxpress.audio.opening import open_sound
from onnxpress.audio.writing import wav_data_uri, wav_of
from onnxpress.errors import InputError


def test_a_file_holds_what_was_written() -> None:
    sound = np.random.default_rng(0).uniform(-1, 1, 800).astype(np.float32)
    for raw in (wav_of(sound, 8_000), wav_data_uri(sound, 8_000)):
        np.testing.assert_allclose(open_sound(raw, 8_000), sound, atol=1e-4)
    assert np.abs(open_sound(wav_of(5 * sound, 8_000), 8_000)).max() <= 1


@pytest.mark.parametrize("samples", [np.zeros((2, 2)), np.array([np.nan])])
def test_what_is_no_sound_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(InputError, match="finite numbers"):
        wav_of(samples, 8_000)
