"""What a model that writes what it hears makes of sounds: of features windows, of windows segments, of them results."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.audio.opening import Samples, SoundSource
from onnxpress.audio.transform import Floats, SoundTransform, long_program
from onnxpress.errors import ArtifactError, InputError
from onnxpress.format.sounds import FitSamples, SoundSettings
from onnxpress.generation.decoders.models import encoder_decoder_model
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.progress_of_sound import SecondsBar
from onnxpress.pipelines.sounds import TOKENS_OF_A_SECOND, Transcribed, sound_sample
from onnxpress.pipelines.writing import ROWS, Writer
from onnxpress.samples import Batch, Sample
from onnxpress.speech.features import LongFeatures, LongSound, WholeFeatures, checked, surveyed
from onnxpress.speech.segments import SpokenSegment, moved
from onnxpress.speech.settings import SpeechSettings, of_call
from onnxpress.speech.tokens import SpeechTokens
from onnxpress.speech.transcribing import FRAME, Alignment, Hearing, Sound, SpeechCall, transcribe
from onnxpress.speech.transcripts import Chunks, SpokenChunk, TranscriptForm, entries, transcript

if TYPE_CHECKING:
    from onnxpress.pipelines.automatic_speech_recognition import SpeechOptions
    from onnxpress.speech.windows import CutWindow, VoiceActivity

#: transformers' own for this task, where the checkpoint says nothing.
USUAL = {"max_new_tokens": 256, "num_beams": 5}


@dataclass(frozen=True, slots=True)
class _Any:
    """Windows of all sounds may be heard together: each is of one length. What can be read only once is heard alone:
    it could not be heard again where another's fault ends the batch."""

    def key(self, sample: Sample) -> Hashable:
        sound = sample.context
        source = sound if isinstance(sound, SoundSource) else sound.source if isinstance(sound, LongSound) else None
        return id(source) if source is not None and source.once else None

    def collate(self, samples: Sequence[Sample]) -> Batch:
        raise AssertionError("windows are cut while sounds are heard")


@dataclass(frozen=True, slots=True)
class _Part:
    """What was heard of a part of a sound that was heard by itself, from which second to which (None: to its end), and
    the token of its language."""

    segments: Sequence[SpokenSegment]
    language: int | None
    start: float = 0.0
    stop: float | None = None


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was heard of one sound, part after part, and how long it is, in seconds."""

    parts: Sequence[_Part]
    seconds: float


@dataclass(slots=True)
class _Listened:
    """A sound that is cut while it is heard: its samples and parts so far."""

    samples: int = 0
    parts: list[_Part] = field(default_factory=list)


class WrittenSpeech:
    """The model of an artifact, and its tokens. Thread-safe."""

    collator = _Any()

    def __init__(self, model: LoadedModel) -> None:
        artifact = model.artifact
        settings = artifact.manifest.processors.audio
        assert settings is not None, "the pipeline's processor has looked"
        self._settings = settings
        self._transform = SoundTransform(settings)
        self._whole, self._window_samples = _of_any_length(settings)
        self._long = long_program(settings)
        self._window_seconds = self._window_samples / settings.rate
        self._writer = Writer(artifact, model.session, model.text_tokenizer(), USUAL)
        self._file = read_json(artifact, "generation_config.json")
        self._tokens = SpeechTokens.of_config(self._file)
        self._tokenizer = model.text_tokenizer()
        self._special = frozenset(self._tokenizer.special_ids())
        self._hearing = self._hears(model, read_json(artifact, "config.json"))

    def _hears(self, model: LoadedModel, config: Mapping[str, Any]) -> Hearing:
        manifest = model.artifact.manifest
        takes = self._settings.input_names[0]
        encoder = manifest.graphs[manifest.graph_name("encoder")]
        frames = next((tensor.axes[-1] for tensor in encoder.inputs if tensor.name == takes), None)
        if not isinstance(frames, int):
            raise ArtifactError(
                f"{model.artifact.folder}: its encoder does not say how long a window is. Export again."
            )
        heads = self._file.get("alignment_heads")
        return Hearing(
            encoder_decoder_model(manifest, model.session),
            self._tokens,
            takes,
            frames,
            int(config.get("vocab_size") or self._tokenizer.vocabulary_size(added=True)),
            self._writer.limit or int(config.get("max_target_positions") or 448),
            Alignment(tuple(sorted((int(layer), int(head)) for layer, head in heads)), _filter_width(config))
            if heads
            else None,
        )

    def check(self, options: SpeechOptions) -> None:
        """Refuse options with which no sound can be answered.

        Raises:
            InputError: which.
        """
        self._call(options, long=False)

    def prepare(self, item: Any, options: SpeechOptions) -> Prepared[None]:
        """One sound as a sample: all its features, or what reads it while it is heard.

        Raises:
            InputError: it is no sound, or the options are wrong.
        """
        self._call(options, long=False)
        limits = replace(options.limits, endless=True)
        source = SoundSource(item, self._settings.rate, options.channel, limits)
        if self._cut_length(options) is not None:
            return Prepared((self._unread(source),), None)
        sound = surveyed(source, self._long, self._settings.rate, self._window_samples)
        if isinstance(sound, LongSound):
            return Prepared((self._unread(sound),), None)
        long = len(sound) > self._window_samples
        return Prepared((sound_sample(self._whole if long else self._transform, sound, context=len(sound)),), None)

    def compute(self, samples: Sequence[Sample], options: SpeechOptions) -> Sequence[Any]:
        """Hear sounds side by side."""
        if self._cut_length(options) is not None:
            sources = [sample.context for sample in samples]
            with SecondsBar.of(options.seconds_bar, sources) as bar:
                heard = [_Listened() for _ in sources]
                for number, part in self._hear_cut(sources, heard, options, bar):
                    heard[number].parts.append(part)
            return [_Heard(listened.parts, listened.samples / self._settings.rate) for listened in heard]
        sounds = [self._sound(sample) for sample in samples]
        with SecondsBar.of(options.seconds_bar, [sample.context for sample in samples], self._settings.rate) as bar:
            for long in (False, True):
                together = [sound for sound in sounds if sound.features.goes_on(self._hearing.frames) is long]
                if together:
                    for _ in self._hear(together, self._call(options, long=long), bar):
                        pass
        return [_Heard([_Part(sound.segments, sound.language)], sound.features.seconds or 0.0) for sound in sounds]

    def finish(self, context: None, values: list[Any], options: SpeechOptions) -> dict[str, Any]:
        """The result of one sound."""
        heard: _Heard = values[0]
        done = [chunk for part in heard.parts for chunk in self._chunks_of(part)]
        language = next((part.language for part in heard.parts), None)
        result = transcript(done, self._form(options), self._decode, self._code(language))
        return Transcribed(result, heard.seconds)

    def stream(self, item: Any, options: SpeechOptions) -> Iterator[dict[str, Any]]:
        """The chunks of one sound as they are known."""
        options = replace(options, return_timestamps=options.return_timestamps or True)
        (sample,) = self.prepare(item, options).samples
        form = self._form(options)
        if self._cut_length(options) is not None:
            with SecondsBar.of(options.seconds_bar, [sample.context]) as bar:
                for _, part in self._hear_cut([sample.context], [_Listened()], options, bar):
                    for chunk in self._chunks_of(part):
                        yield from entries(chunk, form, self._decode, self._code(part.language))
            return
        sound, chunks = self._sound(sample), Chunks(self._tokens, self._special)
        with SecondsBar.of(options.seconds_bar, [sample.context], self._settings.rate) as bar:
            for segments in self._hear([sound], self._call(options, long=True), bar):
                for segment in segments:
                    for chunk in chunks.add(segment):
                        yield from entries(chunk, form, self._decode, self._code(sound.language))
        for chunk in chunks.rest():
            yield from entries(chunk, form, self._decode, self._code(sound.language))

    def _unread(self, sound: SoundSource | LongSound) -> Sample:
        """A sound that is read while it is heard, as a sample; it costs what a window does."""
        seconds = (sound.samples or 0) / self._settings.rate if isinstance(sound, LongSound) else 0.0
        return Sample({}, max(1, round(max(seconds, self._window_seconds) * TOKENS_OF_A_SECOND)), sound)

    def _sound(self, sample: Sample) -> Sound:
        if isinstance(sample.context, LongSound):
            return Sound(LongFeatures(sample.context))
        return Sound(self._all_features(sample.arrays[self._hearing.takes], sample.context))

    def _all_features(self, values: Floats, samples: int, *, padded: bool = True) -> WholeFeatures:
        hop = self._window_samples // self._hearing.frames
        return WholeFeatures(values, samples, self._settings.rate, hop, padded)

    def _hear(self, sounds: list[Sound], call: SpeechCall, bar: SecondsBar) -> Iterator[Sequence[SpokenSegment]]:
        """The segments of each window of sounds that are heard to their ends."""
        seeks = [0] * len(sounds)
        for number, segments in transcribe(self._hearing, sounds, call):
            seek = min(sounds[number].seek, sounds[number].features.heard)
            bar.moved((seek - seeks[number]) * FRAME)
            seeks[number] = seek
            yield segments

    def _hear_cut(
        self, sources: Sequence[SoundSource], heard: Sequence[_Listened], options: SpeechOptions, bar: SecondsBar
    ) -> Iterator[tuple[int, _Part]]:
        """The parts of sounds that are cut into windows first, in order, and of which sound each is. So many windows
        are heard side by side as a batch may have rows; each as if it were a sound of its own."""
        call, rate = self._call(options, long=False), self._settings.rate

        def windows() -> Iterator[tuple[int, float, float, Sound]]:
            for number, source in enumerate(sources):
                leader = None
                for window in self._windows(source, heard[number], options):
                    values = self._transform(window.samples).values
                    features = self._all_features(values, len(window.samples), padded=False)
                    sound = Sound(features, leader=leader)
                    leader = leader or sound
                    yield number, window.start / rate, window.stop / rate, sound

        waiting = windows()
        while group := list(islice(waiting, options.batch_size or ROWS)):
            for _ in transcribe(self._hearing, [sound for *_, sound in group], call):
                pass
            for number, start, stop, sound in group:
                bar.moved(stop - start)
                segments = [moved(segment, start) for segment in sound.segments]
                yield number, _Part(segments, sound.language, start, stop)

    def _windows(self, source: SoundSource, heard: _Listened, options: SpeechOptions) -> Iterator[CutWindow]:
        from onnxpress.speech.windows import cut_windows

        def counted() -> Iterator[Samples]:
            for block in checked(source.blocks()):
                heard.samples += len(block)
                yield block

        length = self._cut_length(options)
        assert length is not None
        return cut_windows(counted(), self._settings.rate, length, self._voices(options))

    def _voices(self, options: SpeechOptions) -> VoiceActivity | None:
        """Who listens for voices; None: nobody does.

        Raises:
            InputError: as of `voice_activity`.
        """
        if options.vad is None or options.vad is False:
            return None
        from onnxpress.pipelines.voices import voice_activity

        return voice_activity(options.vad, self._settings.rate)

    def _cut_length(self, options: SpeechOptions) -> int | None:
        """How many samples a window has at most where sounds are cut before they are heard; None: they are not.

        Raises:
            InputError: it is longer than what the model hears at once.
        """
        if not options.chunk_length_s:
            return None if options.vad in (None, False) else self._window_samples
        samples = round(options.chunk_length_s * self._settings.rate)
        if not self._settings.rate <= samples <= self._window_samples:
            raise InputError(
                f"chunk_length_s is {options.chunk_length_s:g}; this model hears windows of 1 to "
                f"{self._window_seconds:g} seconds."
            )
        return samples

    def _chunks_of(self, part: _Part) -> list[SpokenChunk]:
        chunks = Chunks(self._tokens, self._special)
        done = [chunk for segment in part.segments for chunk in chunks.add(segment)]
        done.extend(chunks.rest())
        if part.stop is None:
            return done
        # A window that is a part of a sound ends where it was cut, whatever is written of the silence after it.
        stop = round(part.stop, 2)
        starts = [None if chunk.start is None else min(chunk.start, stop) for chunk in done]
        ends = [stop if chunk.end is None else min(chunk.end, stop) for chunk in done]
        return [replace(chunk, start=start, end=end) for chunk, start, end in zip(done, starts, ends, strict=True)]

    def _form(self, options: SpeechOptions) -> TranscriptForm:
        asked = options.return_timestamps or bool(self._file.get("return_timestamps"))
        times = "word" if asked == "word" else "segment" if asked else None
        return TranscriptForm(times, bool(options.return_language))

    def _code(self, language: int | None) -> str | None:
        return None if language is None else self._tokens.code_of_id(language)

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, cleans_up=False)

    def _call(self, options: SpeechOptions, *, long: bool) -> SpeechCall:
        """How a call is answered; `long`: whether times are needed to go on from window to window.

        Raises:
            InputError: an option that this model has no use for, or a value that is not allowed.
        """
        cut = self._cut_length(options) is not None
        self._voices(options)
        asked = dict(options.generate_kwargs)
        wanted = asked.pop("return_timestamps", None)
        settings, rest = of_call(asked, self._file, self._tokens)
        if cut and settings.condition_on_prev_tokens:
            raise InputError(
                "condition_on_prev_tokens needs windows that are heard one after the other: leave chunk_length_s and "
                "vad out."
            )
        if options.max_new_tokens is not None:
            rest["max_new_tokens"] = options.max_new_tokens
        config = self._writer.call(rest).config
        if config.num_return_sequences > 1:
            raise InputError("num_return_sequences is more than 1: a sound has one text here.")
        times = bool(options.return_timestamps or wanted or self._file.get("return_timestamps") or long)
        if times and self._tokens.no_times is None:
            raise InputError(
                "This model tells no times (its generation_config.json has no no_timestamps_token_id), without which "
                "it hears one window only: leave return_timestamps out, and pass shorter sounds."
            )
        words = options.return_timestamps == "word"
        if words and self._hearing.alignment is None:
            raise InputError(
                "This model does not tell when words were spoken: its generation_config.json has no alignment_heads."
            )
        return SpeechCall(config, self._prompted(settings, options), times, words)

    def _prompted(self, settings: SpeechSettings, options: SpeechOptions) -> SpeechSettings:
        if options.prompt is None:
            return settings
        if settings.prompt_ids:
            raise InputError("prompt and prompt_ids say the same in two ways: pass one.")
        words = self._tokenizer.encode(" " + options.prompt.strip(), special_tokens=False).ids
        before = () if self._tokens.before is None else (self._tokens.before,)
        return replace(settings, prompt_ids=(*before, *words))


def _of_any_length(settings: SoundSettings) -> tuple[SoundTransform, int]:
    """The program without the step that makes all sounds of one length, and that length in samples."""
    fits = [step for step in settings.steps if isinstance(step, FitSamples)]
    if len(fits) != 1:
        raise ArtifactError("The program of sounds does not say how long a window is. Export again.")
    steps = tuple(step for step in settings.steps if step is not fits[0])
    return SoundTransform(replace(settings, steps=steps)), fits[0].samples


def _filter_width(config: Mapping[str, Any]) -> int:
    return int(np.asarray(config.get("median_filter_width", 7)))
