"""automatic-speech-recognition of models that write what they hear, such as Whisper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

from onnxpress.engine.stopping import within
from onnxpress.errors import InputError
from onnxpress.format.sounds import FitSamples
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.common import Common
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.sounds import SoundOptions, SoundProcessor, call_sounds, sounds_of
from onnxpress.pipelines.writing import ROWS, SETTINGS
from onnxpress.pipelines.written_speech import USUAL, WrittenSpeech
from onnxpress.samples import Collator, Sample
from onnxpress.speech.settings import NAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions(SoundOptions):
    """transformers' arguments of a call; others are settings of generation, or of transformers' Whisper.

    Of every model: `generate_kwargs`, `max_new_tokens` (of each window; also in `generate_kwargs`), `channel`,
    `allow_urls`.
    Of Whisper: `return_timestamps`: True (segments) or "word". `return_language`: each chunk says which language it is
    in. `prompt`: a text that is taken for what was said before, such as names as they are spelled.
    Whisper hears a sound of any length window after window, each beginning where the text of the one before ended;
    other models hear it whole. `chunk_length_s` cuts it before it is heard instead, into windows of at most so many
    seconds, where it is quiet, of which `batch_size` are heard side by side, each like a sound of its own. `vad`: those
    hold what is said, and no long silences: True, the file of silero's model, or {"threshold", "min_silence",
    "min_speech", "pad", "model"}. `stride_length_s`: of no use, these windows do not overlap.
    `batch_size`: that of every call. `seconds_bar`: draw a bar in seconds of sound if it takes more than 2 s, as
    `progress` does, which also tells of inputs.
    """

    return_timestamps: bool | str | None = None
    return_language: bool | None = None
    max_new_tokens: int | None = None
    chunk_length_s: float | None = None
    stride_length_s: float | Sequence[float] | None = None
    vad: Any = None
    batch_size: int | None = None
    seconds_bar: bool = False
    prompt: str | None = None
    ignore_warning: bool | None = None
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        SoundOptions.__post_init__(self)
        if self.return_timestamps not in (None, False, True, "word"):
            raise InputError(
                f"return_timestamps is {self.return_timestamps!r:.60}; it may be True (segments) or 'word'."
            )
        if not isinstance(self.generate_kwargs, Mapping):
            raise InputError("generate_kwargs must be a dictionary.")
        if self.max_new_tokens is not None and "max_new_tokens" in self.generate_kwargs:
            raise InputError("max_new_tokens is an argument, and one of generate_kwargs too: pass it once.")
        if self.prompt is not None and not isinstance(self.prompt, str):
            raise InputError(f"prompt is {self.prompt!r:.60}; it must be a text.")
        length = self.chunk_length_s
        if length is not None and (isinstance(length, bool) or not isinstance(length, (int, float)) or length < 0):
            raise InputError(f"chunk_length_s is {length!r:.60}; it must be a number of seconds.")


class Speech(Protocol):
    """What a kind of models makes of sounds."""

    @property
    def collator(self) -> Collator:
        """Which sounds are heard together."""

    def check(self, options: SpeechOptions) -> None:
        """Refuse options with which no sound can be answered.

        Raises:
            InputError: which.
        """

    def prepare(self, item: Any, options: SpeechOptions) -> Prepared[Any]:
        """One sound as a sample.

        Raises:
            InputError: it is no sound, or the options are wrong.
        """

    def compute(self, samples: Sequence[Sample], options: SpeechOptions) -> Sequence[Any]:
        """Hear sounds side by side."""

    def finish(self, context: None, values: list[Any], options: SpeechOptions) -> dict[str, Any]:
        """The result of one sound."""

    def stream(self, item: Any, options: SpeechOptions) -> Iterator[dict[str, Any]]:
        """The chunks of one sound as they are known."""


def _speech(model: LoadedModel, processor: SoundProcessor) -> Speech:
    """Windows of one length are heard one after the other; other models hear a sound whole."""
    if any(isinstance(step, FitSamples) for step in processor.settings.steps):
        return WrittenSpeech(model)
    from onnxpress.pipelines.whole_speech import WholeSpeech

    return WholeSpeech(model, processor, USUAL)


class AutomaticSpeechRecognition(Pipeline[SpeechOptions, SoundProcessor]):
    """`pipe(sound)` -> {"text"}; with `return_timestamps` also "chunks" of {"text", "timestamp": (start, end)}, in
    seconds. A list of sounds gives a list of these.

    A sound is a path, bytes, a file object, a data URI, an array at the model's rate, or {"array", "sampling_rate"}: of
    any length for Whisper, of ten minutes at most for other models. `stream` hands the chunks of one out as they are
    known.
    """

    options_type = SpeechOptions
    processor_type = SoundProcessor
    __call__ = call_sounds
    #: The `return_timestamps` of which a transcript's lines are made.
    line_times: ClassVar[bool | str] = True
    collects: ClassVar[str | None] = "generate_kwargs"
    collected = SETTINGS | NAMES
    rows = ROWS
    window = 8 * ROWS

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        self._speech = _speech(model, self.processor)
        self.processor.collator = self._speech.collator
        self.check(self.options)

    def stream(self, inputs: Any = None, **options: Any) -> Iterator[dict[str, Any]]:
        """The chunks of one sound, each as soon as it is known: {"text", "timestamp"}; its times are those of segments
        unless `return_timestamps="word"`.

        Raises:
            InputError: as a call does.
        """
        item = sounds_of(inputs, options)
        chosen, common = self._arguments(options)
        self.check(chosen)

        def chunks() -> Iterator[dict[str, Any]]:
            with within(common.stop):
                yield from self._speech.stream(item, chosen)

        return chunks()

    def _arguments(self, options: dict[str, Any]) -> tuple[SpeechOptions, Common]:
        chosen, common = super()._arguments(options)
        bar = chosen.seconds_bar or common.progress
        return replace(chosen, batch_size=common.batch_size, seconds_bar=bar), common

    def check(self, options: SpeechOptions) -> None:
        self._speech.check(options)

    def prepare(self, item: Any, options: SpeechOptions) -> Prepared[Any]:
        return self._speech.prepare(item, options)

    def compute(self, samples: Sequence[Sample], options: SpeechOptions) -> Sequence[Any]:
        """Hear sounds side by side."""
        return self._speech.compute(samples, options)

    def finish(self, context: Any, values: list[Any], options: SpeechOptions) -> dict[str, Any]:
        return self._speech.finish(context, values, options)
