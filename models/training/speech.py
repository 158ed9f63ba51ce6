"""Sentences spoken by espeak-ng, with the times of their words, in noise: `speak(number)`.

The library is called, not its command line, because it tells when each word begins and where a pause does.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import soxr
from numpy.typing import NDArray

#: Samples a second of what is made.
RATE = 16_000

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_OTHERS = (
    *("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "red", "green", "blue"),
    *("open", "close", "start", "light", "door", "music", "time", "please", "water"),
)
WORDS = (*_DIGITS, *_OTHERS)

#: Men's and women's voices of two accents.
VOICES = (
    *("en-us", "en-us+m2", "en-us+m3", "en-us+m7", "en-us+f1", "en-us+f2", "en-us+f3", "en-us+f5"),
    *("en-gb-scotland", "en-gb-scotland+f4"),
)

#: Words of a sentence, words a minute, pitch in espeak's hundredths, and tenths of seconds of silence around it.
_LENGTHS, _SPEEDS, _PITCHES, _SILENCES = (1, 6), (110, 180), (25, 75), (0, 5)

#: The loudest sample of a sentence, and what the noise about it has of its loudness.
PEAKS, NOISES = (0.05, 0.9), (0.01, 0.25)

_WORD_EVENT, _PHONEME_EVENT, _SYNCHRONOUS, _UTF8, _CHARACTERS = 1, 7, 2, 1, 1
_SPEED, _PITCH, _GAP = 1, 3, 7


@dataclass(frozen=True, slots=True)
class Spoken:
    """A sentence: float32 (samples,) at `RATE`, its text, and when each word begins and ends, in seconds."""

    samples: NDArray[np.float32]
    text: str
    times: Sequence[tuple[float, float]]


class _Value(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("phoneme", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("milliseconds", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("value", _Value),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Synthesizer:
    """espeak-ng, in this process."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self._rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, None, 1)
        self._blocks: list[NDArray[np.int16]] = []
        self._events: list[tuple[int, int, str]] = []
        self._callback = _CALLBACK(self._hear)  # kept: the library holds no reference
        self._library.espeak_SetSynthCallback(self._callback)

    def _hear(self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if wave and count > 0:
            self._blocks.append(np.ctypeslib.as_array(wave, (count,)).copy())
        place = 0
        while events[place].kind:
            event = events[place]
            phoneme = event.value.phoneme.decode("latin-1") if event.kind == _PHONEME_EVENT else ""
            self._events.append((event.kind, event.sample, phoneme))
            place += 1
        return 0

    def speak(self, text: str, settings: Mapping[int, int], voice: str) -> Spoken:
        """A text in a voice, with these of espeak's parameters. Words have the times of their sounds, not of the events
        that tell of words, which come early."""
        self._blocks.clear()
        self._events.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice}.")
        for parameter, value in settings.items():
            self._library.espeak_SetParameter(parameter, value, 0)
        content = text.encode() + b"\0"
        self._library.espeak_Synth(content, len(content), 0, _CHARACTERS, 0, _UTF8, None, None)
        wave = np.concatenate(self._blocks).astype(np.float32) / 2**15
        samples = soxr.resample(wave, self._rate, RATE, quality="soxr_hq")
        return Spoken(samples, text, self._times(len(text.split())))

    def _times(self, words: int) -> list[tuple[float, float]]:
        """A word begins with its first sound, behind a pause that it may have before it, and ends where what follows
        its last sound begins. Behind the last, espeak may tell of another."""
        phonemes = [(word, at, name) for word, at, name in self._phonemes() if 0 <= word <= words]
        times: list[tuple[float, float]] = []
        for number in range(words):
            places = [
                place for place, (word, _, name) in enumerate(phonemes) if word == number and not name.startswith("_")
            ]
            if places and places[-1] + 1 < len(phonemes):
                start, end = phonemes[places[0]][1], phonemes[places[-1] + 1][1]
                times.append((start / self._rate, end / self._rate))
        return times

    def _phonemes(self) -> Iterator[tuple[int, int, str]]:
        """Of each: the number of its word, where it begins, in samples, and its name, "_" first if it is a pause."""
        word = -1
        for kind, at, name in self._events:
            word += kind == _WORD_EVENT
            if kind == _PHONEME_EVENT:
                yield word, at, name


@lru_cache(maxsize=1)
def synthesizer() -> Synthesizer:
    """The one that this process has: the library holds one state."""
    return Synthesizer()


def utter(generator: np.random.Generator, known: Sequence[str] = WORDS, voices: Sequence[str] = VOICES) -> Spoken:
    """A sentence without noise: words of those that are known, voice, speed, pitch and pauses are drawn.

    The waves also depend on what was spoken before in this process: the library goes on where its generators were.
    """
    settings = {
        _SPEED: int(generator.integers(*_SPEEDS)),
        _PITCH: int(generator.integers(*_PITCHES)),
        _GAP: int(generator.choice([0, 0, 1, 4, 10])),
    }
    voice = voices[generator.integers(len(voices))]
    while True:  # some words that stand together espeak says as one
        words = [known[place] for place in generator.integers(0, len(known), generator.integers(*_LENGTHS))]
        spoken = synthesizer().speak(" ".join(words), settings, voice)
        if len(spoken.times) == len(words):
            return spoken


def speak(number: int, known: Sequence[str] = WORDS, voices: Sequence[str] = VOICES) -> Spoken:
    """The sentence of a number in noise, with silence around it, as loud as the number says."""
    generator = np.random.default_rng(number)
    spoken = utter(generator, known, voices)
    before, after = (int(count) * RATE // 10 for count in generator.integers(*_SILENCES, 2))
    samples = np.pad(spoken.samples, (before, after))
    mixed = samples + noise(generator, len(samples)) * generator.uniform(*NOISES) * spoken.samples.std()
    mixed *= generator.uniform(*PEAKS) / np.abs(mixed).max()
    shift = before / RATE
    times = [(start + shift, end + shift) for start, end in spoken.times]
    return Spoken(mixed.astype(np.float32), spoken.text, times)


def noise(generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Noise with deviation 1, whose power falls with the frequency as that of rooms and streets."""
    spectrum = np.fft.rfft(generator.standard_normal(count))
    falling = np.maximum(np.arange(len(spectrum)), 8) ** -generator.uniform(0.0, 0.7)
    sound = np.fft.irfft(spectrum * falling, count)
    return np.asarray(sound / sound.std())
