"""Measures how far spoken answers are from a reference's: how they sound, and how long they are. Knows no model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.spectrum import spectrum_transform
from onnxpress.format.sounds import MelBank, Spectrum
from onnxpress_exporter.judging.figures import Answers, Figures

#: Frames of 32 ms, every 16 ms, in bands as an ear has them; power below a millionth is silence.
_FRAME_S, _HOP_S, _BANDS, _FLOOR = 0.032, 0.016, 40, 1e-6


def compare_waves(reference: Answers, answers: Answers) -> Figures:
    """{"audio", "sampling_rate"} for each text: the mean difference of the logarithms of their spectra, in bels (ten
    decibels); of sounds of unlike lengths those of the beginnings are compared. And how many are of one length."""
    distances, same = [], []
    for a, b in zip(reference, answers, strict=True):
        first, second = np.asarray(a["audio"]), np.asarray(b["audio"])
        same.append(len(first) == len(second))
        distances.append(_distance(first, second, int(a["sampling_rate"])))
    return {"spectral distance": float(np.mean(distances)), "length agreement": float(np.mean(same))}


def wave_disagreement(alone: Answers, together: Answers) -> Figures:
    """The share of texts that sound otherwise in a batch."""
    same = [np.array_equal(a["audio"], b["audio"]) for a, b in zip(alone, together, strict=True)]
    return {"batch disagreement": 1 - float(np.mean(same))}


def _distance(first: NDArray[Any], second: NDArray[Any], rate: int) -> float:
    frame = round(rate * _FRAME_S)
    mels = MelBank(_BANDS, 0.0, rate / 2, "htk")
    transform = spectrum_transform(
        Spectrum(frame, round(rate * _HOP_S), frame, "hann", mels, base="10", floor=_FLOOR, periodic=True), rate
    )
    if not np.isfinite(second).all():
        return float("inf")
    count = max(frame, min(len(first), len(second)))
    spectra = [
        transform(np.pad(sound[:count], (0, max(0, count - len(sound)))).astype(np.float32))
        for sound in (first, second)
    ]
    return float(np.abs(spectra[0] - spectra[1]).mean())
