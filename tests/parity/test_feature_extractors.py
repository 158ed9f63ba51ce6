"""Programs of sounds make transformers' own features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.audio_utils import load_audio

from onnxpress.audio.opening import open_sound
from onnxpress.audio.transform import SoundTransform
from onnxpress.errors import InputError
from onnxpress.format.sounds import StandardizeBands
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed
from onnxpress_exporter.judging.sounds import voice
from onnxpress_exporter.source.feature_extractors import READERS, read_feature_extractor

ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "whisper": ("WhisperFeatureExtractor", {}),
    "whisper of 128 bands": ("WhisperFeatureExtractor", {"feature_size": 128}),
    "whisper of 5 s": ("WhisperFeatureExtractor", {"chunk_length": 5, "return_attention_mask": True}),
    "wav2vec2": ("Wav2Vec2FeatureExtractor", {}),
    "wav2vec2 with a mask": ("Wav2Vec2FeatureExtractor", {"return_attention_mask": True}),
    "moonshine": ("Wav2Vec2FeatureExtractor", {"do_normalize": False}),
    "speecht5": ("SpeechT5FeatureExtractor", {}),
    "ast": ("ASTFeatureExtractor", {}),
    "ast, short, plain": ("ASTFeatureExtractor", {"max_length": 100, "num_mel_bins": 64, "do_normalize": False}),
    "seamless": ("SeamlessM4TFeatureExtractor", {}),
    "seamless by threes": ("SeamlessM4TFeatureExtractor", {"stride": 3}),
    "speech to text": ("Speech2TextFeatureExtractor", {}),
    "speech to text, means alone": ("Speech2TextFeatureExtractor", {"normalize_vars": False}),
    "speech to text, plain": ("Speech2TextFeatureExtractor", {"do_ceptral_normalize": False}),
    "parakeet": ("ParakeetFeatureExtractor", {}),
    "parakeet of 128 bands": ("ParakeetFeatureExtractor", {"feature_size": 128, "preemphasis": None}),
    "clap": ("ClapFeatureExtractor", {}),
    "clap, one piece": ("ClapFeatureExtractor", {"truncation": "rand_trunc", "padding": "pad"}),
}


#: AST and CLAP have bands without a frequency: their classes say so, and their models were trained so.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")


def built(name: str) -> Any:
    kind, arguments = ROWS[name]
    return getattr(transformers, kind)(**arguments)


@pytest.mark.parametrize("name", [name for name in ROWS if "threes" not in name])
def test_a_program_is_the_class(name: str) -> None:
    assert read_feature_extractor(built(name)).rate in (16_000, 48_000)


def test_every_class_that_is_read_is_tried() -> None:
    assert {kind for kind, _ in ROWS.values()} == set(READERS)


def test_a_stride_of_three_is_refused() -> None:
    """transformers pads to two frames and cuts what is left of three: other frames than ours."""
    with pytest.raises(VerificationFailed, match="was read wrong"):
        read_feature_extractor(built("seamless by threes"))


@pytest.mark.parametrize(
    "name", ["whisper of 5 s", "wav2vec2 with a mask", "ast", "seamless", "speech to text", "parakeet"]
)
@settings(max_examples=12)
@given(samples=st.integers(800, 60_000), loudness=st.floats(1e-3, 1.0), seed=st.integers(0, 2**32 - 1))
def test_any_length_and_loudness(name: str, samples: int, loudness: float, seed: int) -> None:
    extractor = built(name)
    program = read_feature_extractor(extractor) if name not in PROGRAMS else PROGRAMS[name]
    PROGRAMS[name] = program
    sound = (loudness * np.random.default_rng(seed).uniform(-1, 1, samples)).astype(np.float32)
    answer = extractor(sound, sampling_rate=16_000, return_tensors="np", return_attention_mask=True)
    heard = SoundTransform(program)(sound)
    expected = np.asarray(answer[program.input_names[0]][0])
    assert heard.values.shape == expected.shape
    assert heard.values.dtype == np.float32
    # Where few frames are standardized, rounding is divided by a small deviation.
    standardized = any(isinstance(step, StandardizeBands) for step in program.steps)
    assert np.abs(heard.values - expected).max() <= (2e-3 if standardized else 1e-4)
    if len(program.input_names) > 1:
        assert heard.count == int(answer[program.input_names[1]][0].sum())


PROGRAMS: dict[str, Any] = {}


def test_what_is_at_random_is_refused() -> None:
    with pytest.raises(UnsupportedCheckpoint, match=r"dither is 0\.1.*set it to 0"):
        read_feature_extractor(transformers.WhisperFeatureExtractor(dither=0.1))
    with pytest.raises(UnsupportedCheckpoint, match="EncodecFeatureExtractor is not read"):
        read_feature_extractor(transformers.EncodecFeatureExtractor())
    with pytest.raises(UnsupportedCheckpoint, match="padding='repeat'"):
        read_feature_extractor(transformers.ClapFeatureExtractor(padding="repeat"))


def test_longer_sounds_of_clap_are_cut_at_their_beginning() -> None:
    program = read_feature_extractor(built("clap, one piece"))
    sound = voice(48_000, 11.1, 0)
    transform = SoundTransform(program)
    assert len(sound) > 480_000
    np.testing.assert_array_equal(transform(sound).values, transform(sound[:480_000]).values)


def test_a_sound_shorter_than_a_frame() -> None:
    few = np.full(100, 0.1, np.float32)
    assert SoundTransform(read_feature_extractor(built("ast")))(few).values.shape == (1024, 128)
    for name in ("seamless", "parakeet"):
        with pytest.raises(InputError, match="too short for this model"):
            SoundTransform(read_feature_extractor(built(name)))(few)


def test_files_are_opened_as_transformers_opens_them(tmp_path: Path) -> None:
    """Two channels of another rate: mixed, and resampled to the same numbers."""
    time = np.arange(30_001) / 44_100
    stereo = np.stack([np.sin(2 * np.pi * 440 * time), np.sin(2 * np.pi * 3000 * time**2)], axis=1)
    path = tmp_path / "stereo.flac"
    soundfile.write(path, 0.4 * stereo, 44_100)
    expected = load_audio(str(path), sampling_rate=16_000, backend="soundfile")
    np.testing.assert_array_equal(open_sound(path, 16_000), expected)
