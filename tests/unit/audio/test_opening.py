"""Sounds are opened from all that callers have, and what is none is refused by name."""

from __future__ import annotations

import base64
import io
import os
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.audio.opening import open_sound
from onnxpress.errors import InputError

RATE = 16_000
TONE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE)).astype(np.float32)


def file_of(samples: Any, rate: int = RATE, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


WAV = file_of(TONE, subtype="FLOAT")


def test_every_way_to_have_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    path.write_bytes(WAV)
    uri = "data:audio/wav;base64," + base64.b64encode(WAV).decode()
    with path.open("rb") as file:
        ways: list[Any] = [path, str(path), WAV, bytearray(WAV), memoryview(WAV), io.BytesIO(WAV), file, uri]
        ways += [{"path": str(path)}, {"bytes": WAV, "path": None}]
        for raw in ways:
            np.testing.assert_array_equal(open_sound(raw, RATE), TONE)


@pytest.mark.parametrize(
    ("kind", "subtype"), [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("AIFF", "PCM_24")]
)
def test_formats(kind: str, subtype: str | None) -> None:
    sound = open_sound(file_of(TONE, kind=kind, subtype=subtype), RATE)
    assert abs(len(sound) - len(TONE)) <= 1200
    assert abs(np.abs(np.fft.rfft(sound, n=RATE)).argmax() - 440) <= 1
    assert np.abs(sound[1000:-1000]).max() == pytest.approx(0.5, abs=0.05)


def test_arrays() -> None:
    stereo = np.stack([TONE, np.zeros_like(TONE)], axis=1)
    for raw in (stereo, stereo.T, {"array": stereo, "sampling_rate": RATE}, {"raw": stereo.T, "sampling_rate": RATE}):
        np.testing.assert_allclose(open_sound(raw, RATE), TONE / 2, atol=1e-7)
        np.testing.assert_array_equal(open_sound(raw, RATE, channel=0), TONE)
        assert not open_sound(raw, RATE, channel=1).any()
    assert open_sound(TONE.astype(np.float64), RATE).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int8, np.uint8])
def test_integers_are_parts_of_the_greatest_of_their_kind(dtype: Any) -> None:
    info = np.iinfo(dtype)
    middle = 0 if info.min < 0 else 128
    quarter = (info.max - middle) // 4
    expected = [-1.0, 0.0, 0.25]
    np.testing.assert_allclose(
        open_sound(np.array([info.min, middle, middle + quarter], dtype), RATE), expected, atol=0.01
    )


@given(st.integers(8_000, 48_000), st.integers(1, 4_000))
def test_another_rate_has_as_many_samples_as_the_duration(rate: int, samples: int) -> None:
    sound = open_sound({"array": np.full(samples, 0.25, np.float32), "sampling_rate": rate}, RATE)
    assert len(sound) == -(-samples * RATE // rate)
    assert np.isfinite(sound).all()


def test_a_file_of_another_rate_keeps_its_tone() -> None:
    time = np.arange(44_100) / 44_100
    sound = open_sound(file_of(0.5 * np.sin(2 * np.pi * 440 * time), 44_100), RATE)
    assert len(sound) == RATE
    assert np.abs(np.fft.rfft(sound)).argmax() == 440


def header(rate: int, channels: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(b"\0" * 64)
    content = bytearray(buffer.getvalue())
    content[22:24], content[24:28] = channels.to_bytes(2, "little"), rate.to_bytes(4, "little")
    return bytes(content)


HOSTILE: dict[str, tuple[Any, str]] = {
    "nothing": (b"", "is damaged, or no sound"),
    "a text": (b"a text that is no sound, long enough for a header of any kind", "is damaged, or no sound"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "is damaged, or no sound"),
    "a rate of 0": (header(0, 1), "is damaged, or no sound|samples a second"),
    "a rate of 4e9": (header(4_000_000_000, 1), "is damaged, or no sound|samples a second"),
    "60,000 channels": (header(RATE, 60_000), "is damaged, or no sound|channels"),
    "100 channels": (file_of(np.zeros((4, 100))), "100 channels; at most 64"),
    "OGG cut in half": (file_of(TONE, kind="OGG")[:900], "is damaged, or no sound|holds no sound"),
    "no samples": (file_of(np.zeros(0)), "holds no sound"),
    "NaN in a file": (file_of(np.array([0, np.nan]), subtype="FLOAT"), "no numbers"),
    "NaN": (np.array([0.0, np.nan]), "The array has samples that are no numbers"),
    "infinite": (np.array([np.inf]), "no numbers"),
    "an empty array": (np.zeros(0), "holds no sound"),
    "an empty matrix": (np.zeros((0, 2)), "holds no sound"),
    "several sounds": (np.zeros((16, 100)), r"at most 8 channels, not \(16, 100\)"),
    "a cube": (np.zeros((2, 2, 2)), r"not \(2, 2, 2\)"),
    "words": (np.array(["a"]), "not <U1"),
    "complex": (np.zeros(4, complex), "not complex128"),
    "truth": (np.zeros(4, bool), "not bool"),
    "a number": (7, "not int"),
    "None": (None, "not NoneType"),
    "an address": ("https://example.org/a.wav", "is an address"),
    "no file": ("nowhere.wav", "there is no such file"),
    "a folder": (os.curdir, "it is not a file"),
    "a long text": ("word " * 2000, "there is no such file"),
    "bad base64": ("data:audio/wav;base64,%%%", "is no base64"),
    "no base64": ("data:audio/wav,abc", "no data URI of base64"),
    "no rate": ({"array": TONE}, "no 'sampling_rate'"),
    "a rate of words": ({"array": TONE, "sampling_rate": "16k"}, "sampling_rate is '16k'"),
    "a rate of nothing": ({"array": TONE, "sampling_rate": 0}, "sampling_rate is 0"),
    "another mapping": ({"text": "a"}, "the mapping has 'text'"),
    "an empty mapping": ({}, "the mapping has nothing"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_sound_is_refused_by_name(name: str) -> None:
    raw, message = HOSTILE[name]
    with pytest.raises(InputError, match=message):
        open_sound(raw, RATE)


def test_a_header_that_claims_more_than_there_is() -> None:
    content = bytearray(file_of(TONE, subtype="PCM_16"))
    content[40:44] = (0xFFFFFFF0).to_bytes(4, "little")
    assert len(open_sound(bytes(content), RATE)) == len(TONE)


@pytest.mark.parametrize("channel", [-1, True, "left", 1.5])
def test_channels_are_numbers(channel: Any) -> None:
    with pytest.raises(InputError, match="channel is"):
        open_sound(TONE, RATE, channel)


def test_a_channel_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"channel=1: the array has 1"):
        open_sound(TONE, RATE, channel=1)
    with pytest.raises(InputError, match=r"channel=1: the sound has 1"):
        open_sound(WAV, RATE, channel=1)
