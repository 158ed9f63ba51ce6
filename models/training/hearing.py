"""How a small Whisper is taught: what to write, when it is said, and where to look for it; and how it is judged."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperTokenizer

from onnxpress.audio.transform import SoundTransform
from training.loop import Batch, Schedule, fit
from training.speech import RATE, Spoken
from training.windows import STEP_S, STEPS, WORDS, Speakers, Window

#: Not a label.
_NONE = -100

#: Of features, whose deviation is about 0.4, what is added while learning.
_NOISE = 0.08

#: How much counts, beside what is written: where it is looked for, and what the encoder knows of each moment.
_OF_PLACES, _OF_MOMENTS = 0.4, 0.3

#: Of how many windows the text is written without times, and follows other text.
_WITHOUT_TIMES, _PROMPTED = 0.3, 0.15

#: Heads that are taught to look at what is written next, and those that look at what was read last: layer, head.
NEXT, LAST = ((1, 0), (1, 1)), ((0, 0), (0, 1))

#: Moments aside that the heads of each layer of the encoder look at in the beginning.
_OFFSETS = ((-2, 2), (-5, 5), (-9, 9), (-4, 4))

#: Of each moment the encoder learns which word is said, and which part of so many; nothing is the first.
_PARTS = 3
_MOMENTS = 1 + _PARTS * len(WORDS)

Span = tuple[float, float]


@dataclass(slots=True)
class Lesson:
    """What a decoder reads, and for each token of it what it should write next, and the seconds that this, and the
    token itself, are about. A label `_NONE` is not judged."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    next_spans: list[Span | None] = field(default_factory=list)
    spans: list[Span | None] = field(default_factory=list)

    def read(self, token: int, span: Span | None = None, *, judged: bool = True, looked: bool = False) -> None:
        """One more token. `judged`: the one before should have written it; `looked`: and should have looked there."""
        if self.ids:
            self.labels[-1] = token if judged else _NONE
            self.next_spans[-1] = span if looked else None
        self.ids.append(token)
        self.labels.append(_NONE)
        self.next_spans.append(None)
        self.spans.append(span)


class Teacher:
    """Lessons of windows, with the tokens of a tokenizer."""

    def __init__(self, tokenizer: WhisperTokenizer) -> None:
        def number(name: str) -> int:
            return int(tokenizer.convert_tokens_to_ids(f"<|{name}|>"))

        names = ("startoftranscript", "endoftext", "en", "transcribe", "nospeech", "notimestamps", "startofprev")
        self._special = {name: number(name) for name in names}
        self._first_time = number("0.00")
        self._ids = {word: tokenizer(f" {word}", add_special_tokens=False).input_ids for word in WORDS}
        self._lengths = {
            number: len(tokenizer.decode([number]).strip()) or 1 for ids in self._ids.values() for number in ids
        }

    def time(self, seconds: float) -> int:
        """The token of a time."""
        return self._first_time + min(max(round(seconds / STEP_S), 0), STEPS)

    def lesson(self, window: Window, rng: Random) -> Lesson:
        """What is to be written of a window, in one of the ways in which it may be asked for."""
        lesson = Lesson()
        timed = window.follows is not None or rng.random() >= _WITHOUT_TIMES
        if rng.random() < _PROMPTED:
            lesson.read(self._special["startofprev"])
            for _ in range(rng.randint(1, 6)):
                for token in self._ids[rng.choice(WORDS)]:
                    lesson.read(token, judged=False)
            if rng.random() < 0.5:
                lesson.read(self.time(rng.uniform(0, STEPS * STEP_S)), judged=False)
        lesson.read(self._special["startoftranscript"], judged=False)
        silent = not window.sentences and window.follows is None
        lesson.read(self._special["en"])
        if silent:
            lesson.labels[-2] = self._special["nospeech"]
        lesson.read(self._special["transcribe"], judged=False)
        if not timed:
            lesson.read(self._special["notimestamps"], judged=False)
        end = 0.0
        for sentence in window.sentences:
            start, last = sentence[0][1], sentence[-1][2]
            if timed:
                lesson.read(self.time(start), (end, start), looked=end > 0)
            for word, span in zip(sentence, _touching(sentence), strict=True):
                self._read_word(lesson, word[0], span)
            following = self._gap_behind(window, last)
            if timed:
                lesson.read(self.time(last), (last, following), looked=True)
            end = following
        if window.follows is not None:
            lesson.read(self.time(window.follows), (window.follows, window.follows + STEP_S))
        elif silent and timed:
            lesson.read(self._first_time)
        lesson.read(self._special["endoftext"], (end, end + 2 * STEP_S) if end else None, looked=bool(window.sentences))
        return lesson

    @staticmethod
    def _gap_behind(window: Window, last: float) -> float:
        """Half way to what is said next, or to the end of the sound."""
        starts = [sentence[0][1] for sentence in window.sentences]
        if window.follows is not None:
            starts.append(window.follows)
        following = min((start for start in starts if start >= last), default=STEPS * STEP_S)
        return (last + following) / 2

    def _read_word(self, lesson: Lesson, word: str, span: Span) -> None:
        """A word's tokens, each of which takes as long as it has letters."""
        ids, start = self._ids[word], span[0]
        letters = sum(self._lengths[token] for token in ids)
        for token in ids:
            end = start + (span[1] - span[0]) * self._lengths[token] / letters
            lesson.read(token, (start, end), looked=True)
            start = end


def _touching(sentence: Sequence[tuple[str, float, float]]) -> Sequence[Span]:
    """When words are said, each as far as the middle of the pauses around it."""
    edges = [(end + start) / 2 for (_, _, end), (_, start, _) in pairwise(sentence)]
    return list(zip([sentence[0][1], *edges], [*edges, sentence[-1][2]], strict=True))


def _places(spans: Sequence[Span | None]) -> NDArray[np.float32]:
    """float32 (tokens, `STEPS`): evenly over the moments of each span; nothing where there is none."""
    rows = np.zeros((len(spans), STEPS), np.float32)
    for row, span in zip(rows, spans, strict=True):
        if span is not None:
            first = min(round(span[0] / STEP_S), STEPS - 1)
            last = min(max(round(span[1] / STEP_S), first + 1), STEPS)
            row[first:last] = 1.0 / (last - first)
    return rows


def _moments(window: Window) -> NDArray[np.int64]:
    """int64 (`STEPS`,): the part of a word that is said at each moment."""
    said = np.zeros(STEPS, np.int64)
    for sentence in window.sentences:
        for word, start, end in sentence:
            first, last = round(start / STEP_S), min(round(end / STEP_S), STEPS)
            parts = _PARTS * np.arange(max(last - first, 0)) // max(last - first, 1)
            said[first:last] = 1 + _PARTS * WORDS.index(word) + parts
    if window.follows is not None:
        said[round(window.follows / STEP_S) :] = _NONE
    return said


def _batches(
    speakers: Speakers, teacher: Teacher, transform: SoundTransform, rows: int, rng: Random
) -> Iterator[Batch]:
    while True:
        windows = [speakers.window(rng) for _ in range(rows)]
        lessons = [teacher.lesson(window, rng) for window in windows]
        longest = max(len(lesson.ids) for lesson in lessons)

        def padded(values: Sequence[Any], filler: Any, longest: int = longest) -> list[Any]:
            return [*values, *[filler] * (longest - len(values))]

        yield {
            "input_features": torch.from_numpy(np.stack([transform(window.samples).values for window in windows])),
            "decoder_input_ids": torch.tensor([padded(lesson.ids, 0) for lesson in lessons]),
            "labels": torch.tensor([padded(lesson.labels, _NONE) for lesson in lessons]),
            "next": torch.from_numpy(np.stack([_places(padded(lesson.next_spans, None)) for lesson in lessons])),
            "last": torch.from_numpy(np.stack([_places(padded(lesson.spans, None)) for lesson in lessons])),
            "moments": torch.from_numpy(np.stack([_moments(window) for window in windows])),
        }


class _Loss:
    """What is judged while learning. Times that are a step beside the right one are a little right."""

    def __init__(self, model: Any, first_time: int) -> None:
        self._first_time = first_time
        self.moments = torch.nn.Linear(model.config.d_model, _MOMENTS)

    def heard(self, model: Any, batch: Batch) -> tuple[Any, torch.Tensor]:
        """What the encoder makes of windows, and how far it is from knowing what is said when."""
        features = batch["input_features"]
        heard = model.model.encoder(features + _NOISE * torch.randn_like(features))
        moments = self.moments(heard.last_hidden_state).transpose(1, 2)
        return heard, torch.nn.functional.cross_entropy(moments, batch["moments"], ignore_index=_NONE)

    def __call__(self, model: Any, batch: Batch) -> torch.Tensor:
        """Of all that is taught."""
        heard, said = self.heard(model, batch)
        answer = model(
            encoder_outputs=heard,
            decoder_input_ids=batch["decoder_input_ids"],
            output_attentions=True,
            use_cache=False,
        )
        scores = torch.log_softmax(answer.logits, dim=-1)
        labels = batch["labels"]
        judged = labels != _NONE
        right = scores.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        times = labels >= self._first_time
        aside = torch.stack(
            [
                scores.gather(-1, (labels + step).clamp(self._first_time, scores.shape[-1] - 1)[..., None])[..., 0]
                for step in (-1, 1)
            ]
        ).mean(0)
        written = -torch.where(times, 0.7 * right + 0.3 * aside, right)[judged].mean()
        seen = answer.cross_attentions
        places = _apart(seen, NEXT, batch["next"]) + 0.5 * _apart(seen, LAST, batch["last"])
        total: torch.Tensor = written + _OF_PLACES * places + _OF_MOMENTS * said
        return total


def _apart(seen: Sequence[torch.Tensor], heads: Sequence[tuple[int, int]], places: torch.Tensor) -> torch.Tensor:
    """How far heads look from where they should, in nats above the least."""
    looked = places.sum(-1) > 0
    target = places[looked]
    least = -(target * target.clamp(min=1e-9).log()).sum(-1).mean()
    logs = torch.stack([seen[layer][:, head][looked].clamp(min=1e-7).log() for layer, head in heads])
    return -(target * logs).sum(-1).mean() - least


def look_nearby(encoder: Any) -> None:
    """Let each head of an untrained encoder look a few moments aside, which it would have to learn first: its queries
    are turned places, its keys are places, and places are sines and cosines."""
    width, heads = encoder.config.d_model, encoder.config.encoder_attention_heads
    size, half = width // heads, width // 2
    count = size // 2
    frequencies = torch.exp(-torch.arange(count) * (np.log(10_000.0) / (half - 1)))
    rows = torch.arange(count)
    for number, layer in enumerate(encoder.layers):
        for head, offset in enumerate(_OFFSETS[number % len(_OFFSETS)]):
            sine, cosine = torch.sin(frequencies * offset), torch.cos(frequencies * offset)
            first = head * size
            queries, keys = layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight
            queries[first + rows, rows] += cosine
            queries[first + rows, half + rows] += sine
            queries[first + count + rows, half + rows] += cosine
            queries[first + count + rows, rows] -= sine
            keys[first + rows, rows] += 1.0
            keys[first + count + rows, half + rows] += 1.0


def _tell_places(model: Any) -> None:
    """Let the decoder's attention to the sound be computed where it can be told."""
    eager = copy.deepcopy(model.config)
    eager._attn_implementation = "eager"
    for layer in model.model.decoder.layers:
        layer.encoder_attn.config = eager


def train(
    model: Any,
    tokenizer: WhisperTokenizer,
    transform: SoundTransform,
    schedules: tuple[Schedule, Schedule],
    rng: Random,
    title: str,
) -> None:
    """Teach a Whisper of `WINDOW_S`, whose tokens of time begin with 0.00. Its encoder learns to hear first, then all
    of it to write: both take long from the beginning, and a decoder learns nothing of what is not heard."""
    teacher, hearing, writing = Teacher(tokenizer), *schedules
    _tell_places(model)
    loss = _Loss(model, teacher.time(0.0))
    speakers = Speakers()
    source = _batches(speakers, teacher, transform, hearing.batch_rows, rng)
    ears = torch.nn.ModuleList([model.model.encoder, loss.moments])
    fit(ears, source, hearing, f"{title}, hearing", lambda _, batch: loss.heard(model, batch)[1])
    source = _batches(speakers, teacher, transform, writing.batch_rows, rng)
    whole = torch.nn.ModuleList([model, loss.moments])
    fit(whole, source, writing, f"{title}, writing", lambda _, batch: loss(model, batch))


@torch.no_grad()
def judge_segments(pipe: Any, sentences: Iterable[Spoken], **options: Any) -> float:
    """How far from the synthesizer's own a pipeline of transformers hears that sentences begin and end, in seconds: 95
    of a hundred times are nearer. Of those that it hears as one segment."""
    apart: list[float] = []
    for spoken in sentences:
        segments = pipe(spoken.samples.copy(), return_timestamps=True, **options)["chunks"]
        if len(segments) == 1 and None not in segments[0]["timestamp"]:
            right = (spoken.times[0][0], spoken.times[-1][1])
            apart += [abs(a - b) for a, b in zip(segments[0]["timestamp"], right, strict=True)]
    return float(np.quantile(apart, 0.95))


def in_a_row(sentences: Sequence[Spoken], gap: float) -> Spoken:
    """Sentences one after the other, with so many seconds of silence between."""
    silence = np.zeros(round(gap * RATE), np.float32)
    parts, times, end = [], [], 0.0
    for spoken in sentences:
        parts += [spoken.samples, silence]
        times += [(start + end, last + end) for start, last in spoken.times]
        end += len(spoken.samples) / RATE + len(silence) / RATE
    return Spoken(np.concatenate(parts), " ".join(spoken.text for spoken in sentences), times)
