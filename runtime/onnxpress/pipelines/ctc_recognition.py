"""automatic-speech-recognition of models that answer a token for each moment of a sound (CTC)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, NotRequired, TypedDict

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.opening import MAX_SAMPLES, open_sound
from onnxpress.ctc.alignment import align
from onnxpress.ctc.beams import Alphabet, Search, search
from onnxpress.ctc.frames import Tokens, tokens_of, words_of
from onnxpress.ctc.words import Language, Words, read_arpa, read_words
from onnxpress.errors import ArtifactError, InputError
from onnxpress.format.processors import PIECE_SPACE
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.sound_windows import SoundWindow, check_lengths, windows_of
from onnxpress.pipelines.sounds import SoundOptions, SoundProcessor, Transcribed, call_sounds
from onnxpress.samples import Batch

#: Rows that beams keep where there is a list of words or a language and the call does not say.
_USUAL_WIDTH = 32


class Chunk(TypedDict):
    text: str
    timestamp: tuple[float, float]


class Transcript(TypedDict):
    text: str
    chunks: NotRequired[list[Chunk]]


@dataclass(frozen=True, slots=True, kw_only=True)
class CtcOptions(SoundOptions):
    """transformers' arguments of a call, and how tokens are searched.

    `return_timestamps`: "char" or "word" adds chunks, each with its time. `chunk_length_s`: sounds are heard in windows
    of so many seconds, 0: whole; None: whole up to a minute. `stride_length_s`: of each window, what is only heard for
    what is between, on both sides or (left, right); None: a sixth.
    `beam_width`: how many rows of tokens are kept at each moment; 1: the likeliest token of each moment is taken.
    `words`: those that may be written, or a file with one a line. `language_model`: an n-gram file in ARPA form;
    `language_weight` and `word_bonus`: what it counts, and what each word does.
    """

    return_timestamps: str | bool | None = None
    chunk_length_s: float | None = None
    stride_length_s: Any = None
    beam_width: int | None = None
    words: Any = None
    language_model: Any = None
    language_weight: float = 0.5
    word_bonus: float = 1.5

    def __post_init__(self) -> None:
        SoundOptions.__post_init__(self)
        if self.return_timestamps not in (None, False, "char", "word"):
            raise InputError(
                f"return_timestamps is {self.return_timestamps!r}; of a CTC model it may be 'char' or 'word'."
            )
        check_lengths(self.chunk_length_s, self.stride_length_s)
        if self.beam_width is not None and not (type(self.beam_width) is int and 1 <= self.beam_width <= 10_000):
            raise InputError(f"beam_width is {self.beam_width!r}; it must be a number from 1 to 10000, or None.")
        if self.beam_width == 1 and (self.words is not None or self.language_model is not None):
            raise InputError("words and language_model need beams: leave beam_width out, or set it above 1.")
        for name in ("language_weight", "word_bonus"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
                raise InputError(f"{name} is {value!r}; it must be a number.")


class CtcRecognition(Pipeline[CtcOptions, SoundProcessor]):
    """`pipe(sound)` -> {"text": str}, with `return_timestamps` also "chunks"; a list of sounds gives a list of these.

    A sound is a path, bytes, a file object, a data URI, an array at the model's rate, or {"array", "sampling_rate"}.
    """

    options_type = CtcOptions
    processor_type = SoundProcessor
    __call__ = call_sounds
    #: The `return_timestamps` of which a transcript's lines are made.
    line_times: ClassVar[bool | str] = "word"

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        self._text = model.text_tokenizer()
        samples, blank = self.manifest.postprocessing.samples_of_moment, self._text.settings.blank
        if samples is None or blank is None:
            raise ArtifactError(
                f"{self.artifact.folder}: it does not say which moments its answers are of. Export again."
            )
        self._samples_of_moment, self._blank = samples, blank

    def check(self, options: CtcOptions) -> None:
        self._cut(MAX_SAMPLES, options)
        self._search(options)

    def prepare(self, item: Any, options: CtcOptions) -> Prepared[list[SoundWindow]]:
        samples = open_sound(item, self.processor.settings.rate, options.channel, options.limits)
        windows = self._cut(len(samples), options)
        parts = tuple(self.processor.heard(samples[window.start : window.stop]) for window in windows)
        return Prepared(parts, windows)

    def reduce(self, batch: Batch, outputs: Outputs, options: CtcOptions) -> Sequence[NDArray[Any]]:
        """The likeliest token of each moment, int64 (moments,); for beams, logarithms, float32 (moments, tokens)."""
        logits = outputs[self.answer_name]
        if self._search(options) is None:
            return list(logits.argmax(axis=-1))
        return list(_log_softmax(logits))

    def finish(self, context: list[SoundWindow], values: list[Any], options: CtcOptions) -> dict[str, Any]:
        if len(context) > 1 or options.chunk_length_s:
            values = [
                value[window.moments(self._samples_of_moment)] for window, value in zip(context, values, strict=True)
            ]
        heard = np.concatenate(values)
        settings = self._search(options)
        if settings is None:
            tokens = tokens_of(heard, self._blank)
            text = self._text.decode(heard.tolist())
        else:
            heard[:, self._without_text] = -np.inf
            tokens = align(heard, search(heard, self._alphabet, settings), self._blank)
            text = self._text.decode(tokens.ids.tolist(), group_tokens=False)
        result = Transcript(text=text)
        if options.return_timestamps:
            result["chunks"] = list(self._chunks(tokens, by_word=options.return_timestamps == "word"))
        return Transcribed(result, context[-1].stop / self.processor.settings.rate)

    def _cut(self, samples: int, options: CtcOptions) -> list[SoundWindow]:
        rate = self.processor.settings.rate
        return windows_of(samples, rate, self._samples_of_moment, options.chunk_length_s, options.stride_length_s)

    def _chunks(self, tokens: Tokens, *, by_word: bool) -> Iterator[Chunk]:
        texts = [self._names[number] if number < len(self._names) else "" for number in tokens.ids.tolist()]
        places = self._words(tokens) if by_word else [slice(place, place + 1) for place in range(len(texts))]
        rate, samples = self.processor.settings.rate, self._samples_of_moment
        for place in places:
            start, end = int(tokens.starts[place][0]), int(tokens.ends[place][-1])
            yield Chunk(text="".join(texts[place]), timestamp=(start * samples / rate, end * samples / rate))

    def _words(self, tokens: Tokens) -> list[slice]:
        """Where words stand: between delimiters, or each from a token that begins one."""
        alphabet = self._alphabet
        if not alphabet.begins:
            return words_of(np.isin(tokens.ids, sorted(alphabet.delimits)))
        begins = np.flatnonzero(np.isin(tokens.ids, sorted(alphabet.begins))).tolist()
        edges = sorted({0, *begins, len(tokens.ids)})
        return [slice(a, b) for a, b in pairwise(edges)]

    @cached_property
    def _names(self) -> list[str]:
        """What each token is in a result."""
        names, segmentation = self._text.tokens(), self._text.settings.segmentation
        if segmentation is None or segmentation.letters is None:
            return [name.replace(PIECE_SPACE, "") for name in names]
        letters = segmentation.letters
        return [letters.space if name == letters.delimiter else name for name in names]

    @cached_property
    def _alphabet(self) -> Alphabet:
        names, segmentation = self._text.tokens(), self._text.settings.segmentation
        if segmentation is None or segmentation.letters is None:
            begins = frozenset(number for number, name in enumerate(names) if name.startswith(PIECE_SPACE))
            return Alphabet(self._names, self._blank, frozenset(), begins)
        letters = segmentation.letters
        texts = [name.lower() if letters.lower_case else name for name in names]
        between = {number for number, name in enumerate(self._names) if name == letters.space}
        return Alphabet(texts, self._blank, frozenset(between))

    @cached_property
    def _without_text(self) -> list[int]:
        """Tokens that beams do not write: special ones, and rows of scores without a token."""
        tokens = self.graph.outputs[0].axes[-1]
        rows = range(len(self._names), tokens) if isinstance(tokens, int) else ()
        special = self._text.special_ids() - {self._blank} - self._alphabet.delimits
        return sorted({*special, *rows})

    def _search(self, options: CtcOptions) -> Search | None:
        """How beams search; None: there are none."""
        if options.words is None and options.language_model is None and (options.beam_width or 1) == 1:
            return None
        return Search(
            options.beam_width or _USUAL_WIDTH,
            None if options.words is None else _words(options.words),
            None if options.language_model is None else _language(options.language_model),
            options.language_weight,
            options.word_bonus,
        )


def _words(words: Any) -> Words:
    if isinstance(words, (str, Path)):
        return _read_words(Path(words), Path(words).stat().st_mtime_ns if Path(words).exists() else 0)
    if not isinstance(words, (list, tuple, set, frozenset)) or not all(isinstance(word, str) for word in words):
        raise InputError("words must be a list of words, or the path of a file with one a line.")
    return _listed(tuple(words))


def _language(path: Any) -> Language:
    if not isinstance(path, (str, Path)):
        raise InputError(f"language_model is {path!r:.60}; it must be the path of an n-gram file in ARPA form.")
    place = Path(path)
    return _read_language(place, place.stat().st_mtime_ns if place.exists() else 0)


#: Files are read once as long as they do not change.
_read_words = lru_cache(maxsize=4)(lambda path, changed: read_words(path))
_read_language = lru_cache(maxsize=2)(lambda path, changed: read_arpa(path))
_listed = lru_cache(maxsize=4)(Words)


def _log_softmax(logits: NDArray[Any]) -> NDArray[np.float32]:
    shifted = logits.astype(np.float32) - logits.max(axis=-1, keepdims=True)
    scores: NDArray[np.float32] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return scores
