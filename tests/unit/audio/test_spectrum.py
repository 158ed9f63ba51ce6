"""Spectra: silence behind a sound costs nothing and changes nothing, and tones are where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.audio.spectrum import mel_bank, spectrum_transform, window_of
from onnxpress.format.sounds import MelBank, Spectrum

RATE = 16_000
BANK = MelBank(40, 0.0, 8000.0, "slaney", equal_area=True)
STEP = Spectrum(400, 160, 400, "hann", BANK, edges="mirrored", periodic=True, base="10", floor=1e-10)


def test_windows() -> None:
    periodic, symmetric = window_of("hann", 8, periodic=True), window_of("hann", 8, periodic=False)
    np.testing.assert_allclose(periodic, 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(8) / 8), atol=1e-15)
    np.testing.assert_allclose(symmetric, symmetric[::-1], atol=1e-15)
    np.testing.assert_allclose(window_of("povey", 8, periodic=False), symmetric**0.85, atol=1e-15)


@pytest.mark.parametrize("scale", ["htk", "kaldi", "slaney"])
@pytest.mark.parametrize("in_mels", [False, True])
def test_banks_are_triangles_of_which_two_meet(scale: str, in_mels: bool) -> None:
    bank = mel_bank(MelBank(20, 100.0, 7000.0, scale, in_mels=in_mels), 257, RATE)  # type: ignore[arg-type]
    assert bank.shape == (257, 20)
    assert bank.min() == 0
    assert bank.max() <= 1
    assert (np.count_nonzero(bank, axis=1) <= 2).all()
    assert (np.diff(bank.argmax(axis=0)) > 0).all()


@settings(max_examples=40)
@given(
    sounding=st.integers(1, 3_000),
    silent=st.integers(0, 5_000),
    edges=st.sampled_from(["none", "mirrored", "zeros"]),
    fft=st.sampled_from([400, 512]),
    single=st.booleans(),
    mean=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_frames_of_silence_are_as_computed(
    sounding: int, silent: int, edges: str, fft: int, single: bool, mean: bool, seed: int
) -> None:
    """Against each frame alone, by the discrete transform as its definition is written."""
    step = replace(STEP, edges=edges, fft=fft, single=single, remove_mean=mean)  # type: ignore[arg-type]
    noise = np.random.default_rng(seed).uniform(-1, 1, sounding)
    sound = np.concatenate([noise, np.zeros(silent + 400)]).astype(np.float32)
    transform = spectrum_transform(step, RATE)
    values = transform(sound)
    assert values.shape == (transform.frames_of(len(sound)), 40)
    assert values.dtype == np.float32
    padded = (
        sound.astype(float)
        if edges == "none"
        else np.pad(sound.astype(float), fft // 2, mode="reflect" if edges == "mirrored" else "constant")
    )
    window = window_of("hann", 400, periodic=True)
    before = 0 if edges == "none" else (fft - 400) // 2
    window = np.pad(window, (before, fft - 400 - before)) if edges != "none" else window
    turns = np.exp(-2j * np.pi * np.outer(np.arange(len(window)), np.arange(fft // 2 + 1)) / fft)
    for index in {0, len(values) // 2, len(values) - 1}:
        frame = padded[index * 160 : index * 160 + len(window)]
        frame = (frame - frame.mean() if mean else frame) * window
        power = np.abs(frame @ turns) ** 2 @ mel_bank(BANK, fft // 2 + 1, RATE)
        np.testing.assert_allclose(values[index], np.log10(np.maximum(power, 1e-10)), atol=1e-2 if single else 1e-5)


def test_a_tone_is_in_its_band() -> None:
    sound = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    values = spectrum_transform(STEP, RATE)(sound)
    loudest = mel_bank(BANK, 201, RATE)[25].argmax()  # 1000 Hz is the 25th of 201 frequencies to 8000
    assert (values[5:-5].argmax(axis=1) == loudest).all()


@pytest.mark.parametrize("bands", [40, 80, 128])
def test_no_product_is_large_enough_for_threads(bands: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenBLAS makes a larger product by several threads, which spin for a while when they are done."""
    sizes: list[int] = []
    multiply = np.matmul

    def counted(powers: np.ndarray, bank: np.ndarray, out: np.ndarray) -> np.ndarray:
        sizes.append(len(powers) * bank.size)
        return multiply(powers, bank, out=out)

    monkeypatch.setattr(np, "matmul", counted)
    step = replace(STEP, mels=replace(BANK, bands=bands), single=True)
    spectrum_transform(step, RATE)(np.ones(30 * RATE, np.float32))
    assert sizes and max(sizes) <= 65_536 * 4  # SMP_THRESHOLD_MIN * GEMM_MULTITHREAD_THRESHOLD
