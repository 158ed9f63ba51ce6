"""Windows of speech as Whisper learns from them: sentences in noise one after another, what is written of them, with
times and without, and which part of a window each token is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from training.speech import NOISES, PEAKS, RATE, VOICES, Spoken, noise, utter
from training.speech import WORDS as _WORDS

#: Seconds of a window, and steps of its times in it.
WINDOW_S, STEP_S = 5, 0.02
STEPS = round(WINDOW_S / STEP_S)

#: Digits and ten commands, and who speaks them.
WORDS = _WORDS[:20]
SPEAKERS = (*VOICES[::2], VOICES[-1])

#: The seed of the sentences to train on, and how many there are.
_SEED, _SENTENCES = 77, 2_400

#: Kinds of noise, and samples of each.
_NOISES, _OF_NOISE = 40, 20 * RATE

#: Of how many windows nothing is said in one; one sentence; some, and the sound ends; as many as there is room for.
_KINDS = (("nothing", 0.03), ("sentence", 0.3), ("some", 0.17), ("full", 0.5))

#: By how much a sentence is faster or slower than it was spoken, and higher or lower, as a share.
_SPEED = 0.08

#: Seconds of silence before the first sentence and between two; of what is seen of one that counts as there.
_BEFORE, _BETWEEN, _SEEN = (0.0, 1.2), (0.3, 1.2), 0.1


@dataclass(frozen=True, slots=True)
class Window:
    """A sound of at most `WINDOW_S`, float32 (samples,) at `RATE`. `sentences`: words and when each begins and ends,
    in seconds. `follows`: when a sentence begins that does not end here."""

    samples: NDArray[np.float32]
    sentences: Sequence[Sequence[tuple[str, float, float]]]
    follows: float | None


class Speakers:
    """Sentences that were spoken once, of which windows are made without end."""

    def __init__(self) -> None:
        generator = np.random.default_rng(_SEED)
        self._spoken = [utter(generator, WORDS, SPEAKERS) for _ in range(_SENTENCES)]
        self._noises = [noise(generator, _OF_NOISE).astype(np.float32) for _ in range(_NOISES)]

    def window(self, rng: Random) -> Window:
        """The next window that is drawn."""
        kinds, weights = zip(*_KINDS, strict=True)
        (kind,) = rng.choices(kinds, weights)
        track, sentences, end = np.zeros(WINDOW_S * RATE, np.float32), [], rng.uniform(*_BEFORE)
        follows = None
        most = {"nothing": 0, "sentence": 1, "some": rng.randint(2, 3), "full": 99}[kind]
        while len(sentences) < most and end < WINDOW_S - _SEEN:
            spoken = self._varied(rng.choice(self._spoken), rng)
            start = round(end * RATE)
            heard = spoken.samples[: len(track) - start]
            track[start : start + len(heard)] += heard
            words = [
                (word, end + first, end + last)
                for word, (first, last) in zip(spoken.text.split(), spoken.times, strict=True)
            ]
            if words[-1][2] > WINDOW_S:
                follows = words[0][1]
                if not sentences:  # what is whole of it is a segment, and the rest begins another
                    sentences = [[word for word in words if word[2] <= WINDOW_S]]
                    follows = sentences[0][-1][2] if sentences[0] else follows
                    sentences = sentences if sentences[0] else []
                break
            sentences.append(words)
            end = words[-1][2] + rng.uniform(*_BETWEEN)
        length = WINDOW_S if kind == "full" or follows is not None else rng.uniform(0.2, WINDOW_S)
        if sentences and length < WINDOW_S:
            length = min(sentences[-1][-1][2] + rng.uniform(0.0, 0.6), WINDOW_S)
        return Window(self._in_noise(track[: round(length * RATE)], rng), sentences, follows)

    def _varied(self, spoken: Spoken, rng: Random) -> Spoken:
        factor = 1 + rng.uniform(-_SPEED, _SPEED)
        count = round(len(spoken.samples) / factor)
        samples = np.interp(np.arange(count) * factor, np.arange(len(spoken.samples)), spoken.samples)
        samples *= 0.1 / max(float(samples.std()), 1e-9)
        times = [(start / factor, end / factor) for start, end in spoken.times]
        return Spoken(samples.astype(np.float32), spoken.text, times)

    def _in_noise(self, track: NDArray[np.float32], rng: Random) -> NDArray[np.float32]:
        """At some loudness; one in twenty without noise."""
        first = rng.randrange(_OF_NOISE - len(track))
        level = 0.1 * rng.uniform(*NOISES) * (rng.random() < 0.95)
        mixed = track + level * rng.choice(self._noises)[first : first + len(track)]
        loudest = float(np.abs(mixed).max())
        scaled: NDArray[np.float32] = mixed * np.float32(rng.uniform(*PEAKS) / loudest if loudest else 1.0)
        return scaled
