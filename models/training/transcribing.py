"""How a model with a CTC head is taught to write down what is said, and when; and how it is judged."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from transformers import Wav2Vec2CTCTokenizer

from onnxpress.audio.transform import SoundTransform
from onnxpress_exporter.source.feature_extractors import read_feature_extractor
from training.loop import Batch, Schedule, fit
from training.recipe import Example
from training.speech import RATE, VOICES, WORDS, Spoken, speak

#: Numbers that the sentences to train on begin with, and those that are held out.
_TRAIN, _HELD_OUT = 10_000, 900_000
_TRAINED, HELD = 12_000, 200

#: Letters, and what CTC needs beside them; the blank is the first.
BLANK, DELIMITER = "<pad>", "|"
TOKENS = (BLANK, "<s>", "</s>", "<unk>", DELIMITER, *"abcdefghijklmnopqrstuvwxyz")

#: Not a label.
_NONE = -100

#: Of features, which have a deviation of 1, what is added while learning.
_NOISE = 0.2

#: How much the labels of frames count beside CTC's own loss.
_OF_FRAMES = 0.5


@dataclass(frozen=True, slots=True)
class Frames:
    """Which samples a frame of a model is about: it begins `hop` samples after the last, and is `width` long."""

    hop: int
    width: int

    def labels(self, spoken: Spoken, count: int) -> NDArray[np.int64]:
        """int64 (count,): the letter that is spoken in the middle of each frame, as if all took equally long; the
        delimiter at the end of each word; the blank in pauses, and between a letter and the same again."""
        labels = np.zeros(count, np.int64)
        middles = (np.arange(count) * self.hop + self.width / 2) / RATE
        for word, (start, end) in zip(spoken.text.split(), spoken.times, strict=True):
            inside = np.flatnonzero((middles >= start) & (middles < end))
            if len(inside) < 3:
                continue
            ends = 1 + (len(inside) > 2 * len(word))
            letters, last = inside[:-ends].tolist(), inside[-ends:]
            places = np.minimum(len(word) * np.arange(len(letters)) // max(len(letters), 1), len(word) - 1)
            for frame, place in zip(letters, places.tolist(), strict=True):
                labels[frame] = TOKENS.index(word[place])
            for at, following in zip(range(len(letters) - 1), places[1:].tolist(), strict=True):
                if following != places[at] and word[following] == word[places[at]]:
                    labels[letters[at]] = 0
            labels[last] = TOKENS.index(DELIMITER)
        return labels


def tokenizer(folder: Path) -> Wav2Vec2CTCTokenizer:
    """A tokenizer of the letters; its vocabulary is written into `folder`."""
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: number for number, token in enumerate(TOKENS)}), encoding="utf-8")
    return Wav2Vec2CTCTokenizer(str(vocabulary))


def train(model: Any, extractor: Any, frames: Frames, schedule: Schedule, rng: Random, title: str) -> None:
    """Teach a model with a CTC head. Sentences of a batch are of about the same length."""
    transform = SoundTransform(read_feature_extractor(extractor))  # the same numbers, sooner
    rows = [_row(transform, frames, speak(_TRAIN + number)) for number in range(_TRAINED)]
    rows.sort(key=lambda row: len(row["input_features"]))

    def source() -> Iterator[Batch]:
        while True:
            first = rng.randrange(len(rows) - schedule.batch_rows)
            yield _padded(rows[first : first + schedule.batch_rows])

    def loss(model: Any, batch: Batch) -> torch.Tensor:
        places = batch.pop("frames")
        features = batch["input_features"].float()
        answer = model(**{**batch, "input_features": features + _NOISE * torch.randn_like(features)})
        of_frames = torch.nn.functional.cross_entropy(answer.logits.transpose(1, 2), places, ignore_index=_NONE)
        total: torch.Tensor = answer.loss + _OF_FRAMES * of_frames
        return total

    fit(model, source(), schedule, title, loss)


def _row(transform: SoundTransform, frames: Frames, spoken: Spoken) -> dict[str, NDArray[Any]]:
    features = transform(spoken.samples).values
    text = [TOKENS.index(DELIMITER if letter == " " else letter) for letter in spoken.text]
    return {
        "input_features": features.astype(np.float16),
        "labels": np.array(text),
        "frames": frames.labels(spoken, len(features)),
    }


def _padded(rows: Sequence[dict[str, NDArray[Any]]]) -> Batch:
    def stacked(arrays: Sequence[NDArray[Any]], filler: float) -> torch.Tensor:
        longest = max(map(len, arrays))
        widths = [((0, longest - len(array)), *((0, 0),) * (array.ndim - 1)) for array in arrays]
        padded = [np.pad(array, width, constant_values=filler) for array, width in zip(arrays, widths, strict=True)]
        return torch.from_numpy(np.stack(padded))

    return {
        "input_features": stacked([row["input_features"] for row in rows], 0.0),
        "attention_mask": stacked([np.ones(len(row["input_features"]), np.int64) for row in rows], 0),
        "labels": stacked([row["labels"] for row in rows], _NONE),
        "frames": stacked([row["frames"] for row in rows], _NONE),
    }


def held_out(known: Sequence[str] = WORDS, voices: Sequence[str] = VOICES) -> Iterator[Spoken]:
    """Sentences that nothing is trained on, in noise."""
    return (speak(number, known, voices) for number in range(_HELD_OUT, _HELD_OUT + HELD))


@torch.no_grad()
def judge(
    pipe: Any, sentences: Iterable[Spoken], kept: int, *, begins: bool = True, **options: Any
) -> tuple[dict[str, float], Sequence[Example]]:
    """What a pipeline of transformers hears in sentences, as small files: the share of words that are wrong, and how
    far from the synthesizer's own the times of those are that stand in a right text, in seconds, at the most and in the
    middle; and the first sentences as examples.

    Args:
        begins: whether the pipeline knows when the first word begins: Whisper's begins with its window, always.
        options: of the pipeline's calls.
    """
    wrong = words = 0
    apart: list[float] = []
    examples = []
    for spoken in sentences:
        file = _ogg(spoken.samples)
        samples = soundfile.read(BytesIO(file), dtype="float32")[0]
        heard = pipe(samples, return_timestamps="word", **options)
        right = spoken.text.split()
        wrong += _edits(right, heard["text"].split())
        words += len(right)
        if heard["text"].split() == right:
            chunks = [chunk["timestamp"] for chunk in heard["chunks"]]
            times = [abs(a - b) for pair in zip(chunks, spoken.times, strict=True) for a, b in zip(*pair, strict=True)]
            apart += times if begins else times[1:]
        if len(examples) < kept:
            rounded = [[round(start, 3), round(end, 3)] for start, end in spoken.times]
            data = base64.b64encode(file).decode()
            examples.append({"audio": f"data:audio/ogg;base64,{data}", "text": spoken.text, "times": rounded})
    metrics = {
        "word_error": wrong / words,
        "word_times_seconds": float(np.median(apart)),
        "word_times_seconds_of_95_percent": float(np.quantile(apart, 0.95)),
    }
    return metrics, examples


def _edits(right: Sequence[str], heard: Sequence[str]) -> int:
    """The least number of words to insert, delete or replace."""
    row = list(range(len(heard) + 1))
    for place, word in enumerate(right, start=1):
        before, row[0] = row[0], place
        for at, other in enumerate(heard, start=1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (word != other))
    return row[-1]


def _ogg(samples: NDArray[np.float32]) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, RATE, format="OGG", subtype="OPUS", compression_level=0.9)
    return file.getvalue()
