"""What a model makes of sounds that hears each whole, and writes one text of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxpress.audio.opening import open_sound
from onnxpress.errors import InputError
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.sounds import MAX_SECONDS, SoundProcessor, Transcribed
from onnxpress.pipelines.writing import Writer, WritingSettings
from onnxpress.samples import Collator, Sample

if TYPE_CHECKING:
    from onnxpress.pipelines.automatic_speech_recognition import SpeechOptions

#: What only models have a use for that tell times, or languages, and why a value is refused.
_REFUSED = {
    "return_timestamps": "This model writes one text of a sound, and tells no times",
    "return_language": "This model does not tell which language it hears",
    "prompt": "This model takes no text for what was said before",
    "chunk_length_s": (
        "This model hears a sound whole: transformers writes twice what is in two windows. Cut the sound where nothing "
        "is said, and pass the parts"
    ),
    "vad": "This model hears a sound whole",
    "stride_length_s": "This model hears a sound whole",
}


@dataclass(frozen=True, slots=True)
class _Written:
    """All tokens of a text, the first of which the model was given, and the seconds of its sound."""

    ids: tuple[int, ...]
    seconds: float


class WholeSpeech:
    """The model of an artifact, and its tokens. Implements `Speech`. Thread-safe."""

    def __init__(self, model: LoadedModel, processor: SoundProcessor, usual: dict[str, Any]) -> None:
        self._processor = processor
        self._tokenizer = model.text_tokenizer()
        self._writer = Writer(model.artifact, model.session, self._tokenizer, usual, processor.collator)

    @property
    def collator(self) -> Collator:
        """Only sounds of one length are heard together: the encoder is not told what fills up others."""
        return self._processor.collator

    def check(self, options: SpeechOptions) -> None:
        """As `Speech` says."""
        self._call(options)

    def prepare(self, item: Any, options: SpeechOptions) -> Prepared[None]:
        """As `Speech` says."""
        self._call(options)
        rate = self._processor.settings.rate
        samples = open_sound(item, rate, options.channel, options.limits)
        if len(samples) > MAX_SECONDS * rate:
            raise InputError(
                f"A sound lasts {len(samples) / rate:.0f} seconds, and this model is given all of it at once; "
                f"{MAX_SECONDS:g} are heard. Cut it where nothing is said, and pass the parts."
            )
        return Prepared((self._processor.heard(samples, len(samples) / rate),), None)

    def compute(self, samples: Sequence[Sample], options: SpeechOptions) -> Sequence[Any]:
        """As `Speech` says."""
        call = self._call(options)
        texts = self._writer.write(samples, call)
        return [
            _Written((*self._writer.prompt(sample, call), *some[0].ids), sample.context)
            for sample, some in zip(samples, texts, strict=True)
        ]

    def finish(self, context: None, values: list[Any], options: SpeechOptions) -> dict[str, Any]:
        """As `Speech` says."""
        text = self._tokenizer.decode(values[0].ids, skip_special_tokens=True)
        return Transcribed({"text": text}, values[0].seconds)

    def stream(self, item: Any, options: SpeechOptions) -> Iterator[dict[str, Any]]:
        """As `Speech` says: all of it is one chunk, whose times are not known."""
        prepared = self.prepare(item, options)
        yield self.finish(None, list(self.compute(prepared.samples, options)), options)

    def _call(self, options: SpeechOptions) -> WritingSettings:
        refuse_what_is_lacking(options)
        asked = dict(options.generate_kwargs)
        asked.pop("return_timestamps", None)
        if options.max_new_tokens is not None:
            asked["max_new_tokens"] = options.max_new_tokens
        call = self._writer.call(asked)
        if call.config.num_return_sequences > 1:
            raise InputError("num_return_sequences is more than 1: a sound has one text here.")
        return call


def refuse_what_is_lacking(options: SpeechOptions) -> None:
    """Refuse what needs times, languages or windows.

    Raises:
        InputError: which option, and why.
    """
    for name, reason in _REFUSED.items():
        value = getattr(options, name) or (options.generate_kwargs.get(name) if name == "return_timestamps" else None)
        if value:
            raise InputError(f"{name} is {value!r:.60}. {reason}.")
