"""The speech that models are calibrated on and judged by: nothing is in both, and each sentence is heard twice."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np

from onnxpress_exporter.judging import items, speech

RATE = 16_000


def test_each_sentence_is_heard_plain_and_in_noise() -> None:
    judged, watched = speech.judged_speech(RATE), speech.calibration_speech(RATE)
    table = tomllib.loads((files("onnxpress_exporter.judging") / "spoken" / "sentences.toml").read_text())
    assert len(judged) == 1 + 2 * len(table["judged"]) and len(watched) == 2 * len(table["calibration"])
    assert len(judged[0]) == 11 * RATE, "the real speech is heard whole"
    for plain, noisy in zip(watched[::2], watched[1::2], strict=True):
        assert plain.dtype == noisy.dtype == np.float32 and len(plain) != len(noisy)
        assert 1.5 * RATE < len(plain) < 8 * RATE and 0.2 < np.abs(plain).max() <= 1 and np.isfinite(noisy).all()
        begin = slice(RATE // 10)
        assert np.abs(noisy[begin]).mean() > 3 * np.abs(plain[begin]).mean(), "noise fills the pause before it"


def test_no_sentence_is_watched_and_judged() -> None:
    table = tomllib.loads((files("onnxpress_exporter.judging") / "spoken" / "sentences.toml").read_text())
    watched, judged = ({sentence["text"] for sentence in table[name]} for name in ("calibration", "judged"))
    assert len(watched) == len(table["calibration"]) and len(judged) == len(table["judged"])
    assert not watched & judged


def test_what_is_shipped_is_small() -> None:
    folder = files("onnxpress_exporter.judging") / "spoken"
    assert sum(len(file.read_bytes()) for file in folder.iterdir()) < 200_000


def test_what_hears_words_is_judged_on_speech_and_nothing_else_is() -> None:
    from onnxpress_exporter.tasks import ROWS

    of_speech = {kind.name for row in ROWS for kind in (row, *row.kinds) if kind.sounds is items.SPEECH}
    of_sounds = {kind.name for row in ROWS for kind in (row, *row.kinds) if kind.sounds is items.SOUNDS}
    assert of_speech == {"automatic-speech-recognition"} and not of_speech & of_sounds
