"""Minutes in which somebody speaks now and then, in noise and music, and which moments are speech."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import soxr
from numpy.typing import NDArray

from onnxpress.audio.frames import FrameMaker
from onnxpress.audio.voice import BANDS, PLACES, RATE
from training.speech import synthesizer

Samples = NDArray[np.float32]

#: Seconds of a scene.
SECONDS = 12.0

_LANGUAGES = (
    *("en-us", "en-gb-x-rp", "en-gb-scotland", "en-029", "de", "fr", "es", "pt-br", "pl", "cs", "hu", "tr", "fi", "da"),
    *("ro", "el", "id", "vi", "hr", "lv", "ca", "eo"),
)
_VARIANTS = (
    "",
    "+m1",
    "+m2",
    "+m3",
    "+m4",
    "+m6",
    "+m7",
    "+f1",
    "+f2",
    "+f3",
    "+f5",
    "+croak",
    "+whisper",
    "+Annie",
    "+john",
)

#: Voices that only scenes that are held out have.
_HELD_LANGUAGES = ("en-gb-x-gbcwmd", "nl", "it", "sv", "nb")
_HELD_VARIANTS = ("+m5", "+f4", "+klatt3", "+m8")

_TEXT = """
about after again along another answer asked away because before began between birds both bring brother called
came carry change children city close country could cut day different does door down each earth eat enough
every example eyes face family far father feet few find first follow food for found four friend from garden
gave girl give good great group grow hand hard have head hear help here high home house how idea important
into just keep kind know land large last late learn leave left letter life light line list little live long
look made make man many may mean might mile money morning most mother mountain move much music must name near
need never next night nothing number off often old once only open other our over own page paper part people
picture place plant play point put question quick quite rain read really red right river room run said same
saw say school sea second see seem sentence set she should show side six small some something song soon sound
spell stand start state still stop story street study such sun take talk tell than that their them then there
these they thing think this those thought three through time together too took tree try turn two under until
walk want was watch water way well went were what when where which while white who why will wind with without
word work world would write year young
"""

_SPEED, _PITCH, _RANGE = 1, 3, 4

#: A moment is speech where a voice is at most so many decibels below its loudest, or such moments are this near.
_QUIETEST_DB, _NEAR_S = 32.0, 0.16


def scene(number: int, *, held_out: bool = False) -> tuple[Samples, NDArray[np.bool_]]:
    """float32 (samples,) at `RATE`, and of each moment whether somebody speaks: bool (moments,)."""
    generator = np.random.default_rng([number, held_out])
    voice, count = np.zeros(round(RATE * SECONDS), np.float32), 0
    place = round(generator.exponential(1.0) * RATE)
    silent = generator.random() < 0.15
    while place < len(voice) and not silent:
        said = _filtered(generator, _sentence(int(generator.integers(120)), held_out))
        said *= generator.uniform(0.4, 1.0)
        said = said[: len(voice) - place]
        voice[place : place + len(said)] += said
        place += len(said) + round(generator.choice([0.15, 0.4, 1.0, 2.5]) * generator.exponential(1.0) * RATE)
        count += 1
    speech = _moments_of_speech(voice)
    loudness = 10 ** (generator.uniform(-45.0, -3.0) / 20)
    around = _surroundings(generator, len(voice), held_out)
    ratio = 10 ** (-generator.uniform(2.0, 40.0) / 20)
    deviation = voice[np.repeat(speech, BANDS.hop)[: len(voice)]].std() if count and speech.any() else 1.0
    mixed = voice / max(float(deviation), 1e-6) + ratio * around
    mixed *= loudness / max(float(np.abs(mixed).max()), 1e-6)
    if generator.random() < 0.2:  # as a telephone
        spectrum = np.fft.rfft(mixed)
        hertz = np.fft.rfftfreq(len(mixed), 1 / RATE)
        spectrum[(hertz < 250) | (hertz > generator.uniform(3200, 4000))] *= 0.001
        mixed = np.fft.irfft(spectrum, len(mixed))
    if generator.random() < 0.15:  # as 16-bit files that are not loud
        mixed = np.round(mixed * 2**15) / 2**15
    return mixed.astype(np.float32), speech


@lru_cache(maxsize=1024)
def _sentence(number: int, held_out: bool) -> Samples:
    generator = np.random.default_rng([number, held_out, 7])
    languages, variants = (_HELD_LANGUAGES, _HELD_VARIANTS) if held_out else (_LANGUAGES, _VARIANTS)
    voice = str(generator.choice(languages)) + str(generator.choice(variants))
    settings = {
        _SPEED: int(generator.integers(100, 230)),
        _PITCH: int(generator.integers(15, 85)),
        _RANGE: int(generator.integers(20, 90)),
    }
    text = " ".join(generator.choice(_TEXT.split(), int(generator.integers(1, 9))))
    samples = synthesizer().speak(text, settings, voice).samples
    stretch = generator.uniform(0.85, 1.15)  # another throat
    samples = soxr.resample(samples, RATE, RATE * stretch)
    return np.asarray(samples / max(float(np.abs(samples).max()), 1e-6), np.float32)


def _filtered(generator: np.random.Generator, samples: Samples) -> Samples:
    """A voice in a room, at another microphone."""
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE), 60.0) / 1000.0)
    tilt = generator.uniform(-6.0, 6.0) * octaves
    waves = sum(generator.uniform(0, 5) * np.sin(octaves * k + generator.uniform(0, 6.3)) for k in (1.1, 2.3, 4.1))
    spectrum *= 10 ** ((tilt + waves) / 20)
    said = np.fft.irfft(spectrum, len(samples))
    if generator.random() < 0.5:
        length = round(generator.uniform(0.05, 0.4) * RATE)
        echo = generator.standard_normal(length) * np.exp(-np.arange(length) * (6.0 / length))
        echo[0] = generator.uniform(3.0, 20.0)
        said = np.fft.irfft(np.fft.rfft(said, len(said) + length) * np.fft.rfft(echo, len(said) + length))
        said = said[: len(samples)]
    return np.asarray(said / max(float(np.abs(said).max()), 1e-6), np.float32)


def _moments_of_speech(voice: Samples) -> NDArray[np.bool_]:
    moments = len(voice) // BANDS.hop
    power = np.square(voice[: moments * BANDS.hop]).reshape(moments, BANDS.hop).mean(axis=1)
    loud = power > power.max(initial=1e-12) * 10 ** (-_QUIETEST_DB / 10)
    near = round(_NEAR_S * RATE / BANDS.hop)
    reach = np.convolve(loud, np.ones(2 * near + 1), "same") > 0
    quiet = np.convolve(~reach, np.ones(2 * near + 1), "same") > 0
    return np.asarray(~quiet | loud)


def _surroundings(generator: np.random.Generator, count: int, held_out: bool) -> NDArray[np.float64]:
    """What is heard beside voices, with deviation 1: noise, and now and then music, hum, clicks or a stream of air."""
    time = np.arange(count) / RATE
    noise = _coloured(generator, count, generator.uniform(0.0, 1.2))
    if generator.random() < 0.15:
        noise *= 0.0
    kinds: Sequence[Callable[..., NDArray[np.float64]]] = (_music, _hum, _clicks, _gusts, _chirps)
    for kind in kinds:
        if generator.random() < 0.3:
            heard = kind(generator, time, held_out)
            noise = noise + generator.uniform(0.3, 3.0) * heard / max(float(heard.std()), 1e-9)
    return np.asarray(noise / max(float(noise.std()), 1e-3))


def _coloured(generator: np.random.Generator, count: int, falls: float) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(generator.standard_normal(count))
    noise = np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 50.0) ** -falls, count)
    return np.asarray(noise / noise.std())


def _music(generator: np.random.Generator, time: NDArray[np.float64], held_out: bool) -> NDArray[np.float64]:
    """Chords of plucked or held tones, with a drum."""
    beat = generator.uniform(0.2, 1.0)
    sound = np.zeros(len(time))
    scale = 110.0 * 2 ** (np.array([0, 3, 5, 7, 10, 12, 15, 17] if held_out else [0, 2, 4, 5, 7, 9, 11, 12, 14]) / 12)
    partials, held, drum = int(generator.integers(1, 9)), generator.random() < 0.5, generator.random() < 0.5
    for start in np.arange(0.0, time[-1], beat):
        first = round(start * RATE)
        part = time[first : first + round((beat * 1.5) * RATE)] - start
        envelope = np.minimum(part / 0.02, 1.0) * np.exp(-part * (0.5 if held else generator.uniform(2.0, 8.0)))
        for tone in generator.choice(scale, int(generator.integers(1, 5))) * generator.choice([1, 2, 4]):
            for partial in range(1, partials + 1):
                if tone * partial < RATE / 2:
                    sound[first : first + len(part)] += envelope * np.sin(2 * np.pi * tone * partial * part) / partial
        if drum:
            hit = generator.standard_normal(len(part)) * np.exp(-part * 40.0)
            sound[first : first + len(part)] += 2.0 * hit
    return sound


def _hum(generator: np.random.Generator, time: NDArray[np.float64], held_out: bool) -> NDArray[np.float64]:
    """A machine."""
    base = generator.uniform(45.0, 62.0) * generator.choice([1, 2, 7])
    tones = [generator.uniform(0.1, 1.0) * np.sin(2 * np.pi * base * k * time) for k in range(1, 7)]
    slow = 1.0 + generator.uniform(0.0, 0.9) * np.sin(2 * np.pi * generator.uniform(0.2, 9.0) * time)
    return np.asarray(sum(tones) * slow)


def _clicks(generator: np.random.Generator, time: NDArray[np.float64], held_out: bool) -> NDArray[np.float64]:
    """Keys, steps, a door."""
    hits = np.zeros(len(time))
    hits[generator.integers(0, len(time), int(generator.integers(3, 60)))] = generator.uniform(0.2, 1.0)
    length = round(generator.uniform(0.005, 0.2) * RATE)
    ring = generator.standard_normal(length) * np.exp(-np.arange(length) * (6.0 / length))
    return np.asarray(np.fft.irfft(np.fft.rfft(hits, 2 * len(time)) * np.fft.rfft(ring, 2 * len(time)))[: len(time)])


def _gusts(generator: np.random.Generator, time: NDArray[np.float64], held_out: bool) -> NDArray[np.float64]:
    """Noise that comes and goes, as breath, wind and waves do; also about as often as syllables."""
    slow = np.sin(2 * np.pi * generator.uniform(0.1, 5.0) * time + generator.uniform(0, 6.3))
    return np.asarray(_coloured(generator, len(time), generator.uniform(0.0, 1.0)) * np.maximum(slow, 0.0) ** 2)


def _chirps(generator: np.random.Generator, time: NDArray[np.float64], held_out: bool) -> NDArray[np.float64]:
    """Birds, sirens, and tones that machines make."""
    hertz = generator.uniform(300, 4000) * 2 ** (
        generator.uniform(0, 1) * np.sin(2 * np.pi * generator.uniform(0.1, 8) * time)
    )
    gate = np.sin(2 * np.pi * generator.uniform(0.3, 6.0) * time) > generator.uniform(-1.0, 0.9)
    return np.asarray(np.sin(2 * np.pi * np.cumsum(hertz) / RATE) * gate)


def frames_of(samples: Samples) -> Samples:
    """float32 (moments and what is about them, bands), as the runtime hears a sound."""
    maker = FrameMaker(BANDS, RATE)
    frames = np.concatenate([maker.add(samples), maker.end()])
    return np.pad(frames, ((PLACES[-1], PLACES[-1]), (0, 0)), mode="edge")
