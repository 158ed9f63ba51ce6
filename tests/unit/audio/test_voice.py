"""The net that hears voices: noise and tones are none, how a sound is divided changes nothing, and loudness little."""

from __future__ import annotations

import json
from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.opening import open_sound
from onnxpress.audio.voice import RATE, SmallVoiceNet

MODELS = Path(__file__).parents[3] / "models"


def heard(sound: NDArray[np.float32], parts: int = 1) -> NDArray[np.float32]:
    net = SmallVoiceNet()
    return np.concatenate([*(net.add(part) for part in np.array_split(sound, parts)), net.end()])


def spoken() -> NDArray[np.float32]:
    """4 s of noise, three sentences of a synthesizer, 4 s of noise."""
    lines = (MODELS / "tiny-words-ctc" / "examples.jsonl").read_text(encoding="utf-8").splitlines()[:3]
    files = [BytesIO(b64decode(json.loads(line)["audio"].partition(",")[2])) for line in lines]
    said = np.concatenate([open_sound(file, RATE) for file in files])
    around = 0.003 * np.random.default_rng(0).standard_normal(len(said) + 8 * RATE).astype(np.float32)
    around[4 * RATE : 4 * RATE + len(said)] += said
    return around


def test_speech_is_heard_and_noise_is_not() -> None:
    sound = spoken()
    probabilities = heard(sound)
    assert len(probabilities) == len(sound) // SmallVoiceNet.step
    first, last = 200, len(probabilities) - 200
    assert probabilities[first:last].mean() > 0.6
    assert probabilities[: first - 20].max() < 0.5 and probabilities[last + 40 :].max() < 0.5
    quiet = heard(sound * np.float32(0.05))
    assert np.mean((quiet > 0.5) == (probabilities > 0.5)) > 0.97


def test_noise_silence_and_tones_are_no_speech() -> None:
    time = np.arange(6 * RATE, dtype=np.float32) / RATE
    noise = np.random.default_rng(1).standard_normal(len(time)).astype(np.float32)
    for sound in (0 * time, 0.1 * noise, 0.3 * np.sin(2 * np.pi * 440 * time), np.cumsum(noise) * np.float32(1e-3)):
        assert np.mean(heard(sound.astype(np.float32)) > 0.5) < 0.05


def test_parts_change_nothing() -> None:
    sound = spoken()
    whole = heard(sound)
    np.testing.assert_allclose(heard(sound, 17), whole, atol=1e-5)
    assert len(heard(sound[:1000])) == 3
