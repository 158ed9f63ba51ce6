"""Sounds are opened from all that callers have, and what is none is refused by name."""

from __future__ import annotations

import base64
import io
import itertools
import os
import sys
import tracemalloc
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from onnxpress.audio.limits import SoundLimits
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


@pytest.mark.parametrize("kind", ["MP3", "OGG", "WAV", "FLAC"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_cut_off_gives_its_beginning_or_says_what_it_is(kind: str, share: float) -> None:
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, 2 * RATE).astype(np.float32)
    content = file_of(noise, kind=kind)
    whole = open_sound(content, RATE)
    try:
        part = open_sound(content[: int(len(content) * share)], RATE)
    except InputError as error:
        assert "is damaged, or no sound" in str(error) or "holds no sound" in str(error)
    else:
        assert 0 < len(part) < len(whole)
        same = len(part) - 2_400  # the last frame of a codec is what is cut
        assert same <= 0 or np.abs(part[:same] - whole[:same]).max() < 0.02


def silence(path: Path, hours: float) -> Path:
    """A file of so many hours that takes no place on the disk."""
    samples = int(hours * 3600 * RATE)
    content = bytearray(file_of(np.zeros(0), subtype="PCM_16"))[:44]
    content[4:8], content[40:44] = (2 * samples + 36).to_bytes(4, "little"), (2 * samples).to_bytes(4, "little")
    path.write_bytes(content)
    os.truncate(path, 44 + 2 * samples)
    return path


def test_twelve_hours_of_silence_take_no_more_memory_than_what_is_read_of_them(tmp_path: Path) -> None:
    path = silence(tmp_path / "silence.wav", 12)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"lasts 43200 seconds or longer.*600 are read.*max_seconds"):
            open_sound(path, RATE, limits=SoundLimits(seconds=600))
        assert tracemalloc.get_traced_memory()[1] < 1e6
        beginning = open_sound(path, 48_000, limits=SoundLimits(seconds=600, enough=10))
        assert 480_000 <= len(beginning) <= 500_000 and not beginning.any()
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def endless() -> Iterator[NDArray[np.float32]]:
    """A microphone."""
    for number in itertools.count():
        yield np.full(1_600, number / 1_000, np.float32)


def test_blocks_that_follow_each_other() -> None:
    blocks = np.array_split(TONE, 7)
    np.testing.assert_array_equal(open_sound({"blocks": iter(blocks), "sampling_rate": RATE}, RATE), TONE)
    stereo = [np.stack([block, block], axis=1) for block in blocks]
    np.testing.assert_allclose(open_sound({"blocks": stereo, "sampling_rate": RATE}, RATE), TONE, atol=1e-7)
    heard = open_sound({"blocks": endless(), "sampling_rate": RATE}, RATE, limits=SoundLimits(enough=1.0))
    assert RATE <= len(heard) <= 1.3 * RATE and heard[1_600] == np.float32(0.001)
    with pytest.raises(InputError, match="lasts 3 seconds or longer"):
        open_sound({"blocks": endless(), "sampling_rate": RATE}, RATE, limits=SoundLimits(seconds=3.0))
    with pytest.raises(InputError, match="no numbers"):
        open_sound({"blocks": [TONE, np.array([np.nan])], "sampling_rate": RATE}, RATE)
    for wrong in ({"blocks": "a"}, {"blocks": 5, "sampling_rate": RATE}, {"blocks": [TONE]}):
        with pytest.raises(InputError, match="arrays that follow each other"):
            open_sound(wrong, RATE)
    with pytest.raises(InputError, match="holds no sound"):
        open_sound({"blocks": [], "sampling_rate": RATE}, RATE)


@given(st.integers(8_000, 48_000), st.floats(0.2, 1.5))
def test_the_beginning_is_that_of_the_whole(rate: int, seconds: float) -> None:
    noise = np.random.default_rng(rate).uniform(-0.5, 0.5, 2 * rate).astype(np.float32)
    whole = open_sound({"array": noise, "sampling_rate": rate}, RATE)
    beginning = open_sound({"array": noise, "sampling_rate": rate}, RATE, limits=SoundLimits(enough=seconds))
    count = int(seconds * RATE)
    assert len(beginning) >= count
    np.testing.assert_allclose(beginning[:count], whole[:count], atol=1e-4)


@pytest.mark.parametrize("channel", [-1, True, "left", 1.5])
def test_channels_are_numbers(channel: Any) -> None:
    with pytest.raises(InputError, match="channel is"):
        open_sound(TONE, RATE, channel)


def test_a_channel_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"channel=1: the array has 1"):
        open_sound(TONE, RATE, channel=1)
    with pytest.raises(InputError, match=r"channel=1: the sound has 1"):
        open_sound(WAV, RATE, channel=1)


@pytest.mark.parametrize(("kind", "codec"), [("ipod", "aac"), ("webm", "libopus")])
def test_containers_that_libsndfile_does_not_open(kind: str, codec: str) -> None:
    av = pytest.importorskip("av")
    buffer, rate = io.BytesIO(), 48_000
    tone = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=rate)
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, stream.layout, rate, stream.codec_context.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None), None):
            for packet in stream.encode(part):
                container.mux(packet)
    sound = open_sound(buffer.getvalue(), RATE)
    assert abs(len(sound) - RATE) < 1_500
    assert abs(np.abs(np.fft.rfft(sound, n=RATE)).argmax() - 440) <= 1
    with pytest.raises(InputError, match="Cut it, or pass max_seconds"):
        open_sound(buffer.getvalue(), RATE, limits=SoundLimits(seconds=0.5))
    assert len(open_sound(buffer.getvalue(), RATE, limits=SoundLimits(seconds=0.5, enough=0.5))) < 0.9 * RATE


def test_without_av_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"MP4, M4A and WebM with `pip install 'onnxpress\[audio-av\]'`"):
        open_sound(b"\0\0\0\x18ftypM4A \0\0\0\0" + b"\0" * 64, RATE)
