"""What a model that writes what it hears makes of sounds: of features windows, of windows segments, of them results."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxpress.audio.opening import open_sound
from onnxpress.audio.transform import SoundTransform
from onnxpress.errors import ArtifactError, InputError
from onnxpress.format.sounds import FitSamples, SoundSettings
from onnxpress.generation.decoders.models import encoder_decoder_model
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.sounds import sound_sample
from onnxpress.pipelines.writing import Writer
from onnxpress.samples import Batch, Sample
from onnxpress.speech.settings import SpeechSettings, of_call
from onnxpress.speech.tokens import SpeechTokens
from onnxpress.speech.transcribing import Alignment, Hearing, Sound, SpeechCall, transcribe
from onnxpress.speech.transcripts import Chunks, TranscriptForm, entries, transcript

if TYPE_CHECKING:
    from onnxpress.pipelines.automatic_speech_recognition import SpeechOptions

#: transformers' own for this task, where the checkpoint says nothing.
USUAL = {"max_new_tokens": 256, "num_beams": 5}


@dataclass(frozen=True, slots=True)
class _Any:
    """Windows of all sounds may be heard together: each is of one length."""

    def key(self, sample: Sample) -> Hashable:
        return None

    def collate(self, samples: Sequence[Sample]) -> Batch:
        raise AssertionError("windows are cut while sounds are heard")


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was heard of one sound, and the token of its language."""

    sound: Sound


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
        """One sound as a sample: all its features.

        Raises:
            InputError: it is no sound, or the options are wrong.
        """
        self._call(options, long=False)
        samples = open_sound(item, self._settings.rate, options.channel, options.limits)
        long = len(samples) > self._window_samples
        sample = sound_sample(self._whole if long else self._transform, samples, context=len(samples))
        return Prepared((sample,), None)

    def compute(self, samples: Sequence[Sample], options: SpeechOptions) -> Sequence[Any]:
        """Hear sounds side by side."""
        sounds = [self._sound(sample) for sample in samples]
        for long in (False, True):
            together = [sound for sound in sounds if (sound.frames > self._hearing.frames) is long]
            if together:
                for _ in transcribe(self._hearing, together, self._call(options, long=long)):
                    pass
        return [_Heard(sound) for sound in sounds]

    def finish(self, context: None, values: list[Any], options: SpeechOptions) -> dict[str, Any]:
        """The result of one sound."""
        sound = values[0].sound
        chunks = Chunks(self._tokens, self._special)
        done = [chunk for segment in sound.segments for chunk in chunks.add(segment)]
        return transcript([*done, *chunks.rest()], self._form(options), self._decode, self._language(sound))

    def stream(self, item: Any, options: SpeechOptions) -> Iterator[dict[str, Any]]:
        """The chunks of one sound as they are known."""
        options = replace(options, return_timestamps=options.return_timestamps or True)
        (sample,) = self.prepare(item, options).samples
        sound, chunks = self._sound(sample), Chunks(self._tokens, self._special)
        form = self._form(options)
        for _, segments in transcribe(self._hearing, [sound], self._call(options, long=True)):
            for segment in segments:
                for chunk in chunks.add(segment):
                    yield from entries(chunk, form, self._decode, self._language(sound))
        for chunk in chunks.rest():
            yield from entries(chunk, form, self._decode, self._language(sound))

    def _sound(self, sample: Sample) -> Sound:
        features = sample.arrays[self._hearing.takes]
        hop = self._window_samples // self._hearing.frames
        return Sound(features, -(-sample.context // hop), features.shape[-1])

    def _form(self, options: SpeechOptions) -> TranscriptForm:
        asked = options.return_timestamps or bool(self._file.get("return_timestamps"))
        times = "word" if asked == "word" else "segment" if asked else None
        return TranscriptForm(times, bool(options.return_language))

    def _language(self, sound: Sound) -> str | None:
        return None if sound.language is None else self._tokens.code_of_id(sound.language)

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids, cleans_up=False)

    def _call(self, options: SpeechOptions, *, long: bool) -> SpeechCall:
        """How a call is answered; `long`: whether times are needed to go on from window to window.

        Raises:
            InputError: an option that this model has no use for, or a value that is not allowed.
        """
        if options.chunk_length_s:
            raise InputError(
                "chunk_length_s is of models that hear windows apart. This model hears a sound of any length window "
                "after window, and loses nothing between them: leave it out."
            )
        asked = dict(options.generate_kwargs)
        wanted = asked.pop("return_timestamps", None)
        settings, rest = of_call(asked, self._file, self._tokens)
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
