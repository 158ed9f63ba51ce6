"""OpenAI's /v1/audio: what is said in a sound, as text, as subtitles, or with the times of segments and words.

Sounds that a model hears at once are answered among others; longer ones, and those whose text is to come as it is
heard, window after window (`serve/hearing.py`).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.audio.limits import SoundLimits
from onnxpress.audio.opening import open_sound
from onnxpress.engine.stopping import Cancel
from onnxpress.format.sounds import FitSamples
from onnxpress.pipelines.automatic_speech_recognition import AutomaticSpeechRecognition
from onnxpress.serve import shapes
from onnxpress.serve.errors import RequestError, TooLarge
from onnxpress.serve.hearing import HeardSound, hear
from onnxpress.serve.http import Response, json_response
from onnxpress.serve.jobs import Terms
from onnxpress.serve.multipart import FORM, SentForm
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import NUMBER, OBJECT, TEXT, array, fields
from onnxpress.serve.service import Exchange, task_of
from onnxpress.serve.sse import MEDIA_TYPE, streamed
from onnxpress.serve.versions import AnyPipeline, Version
from onnxpress.speech.subtitles import Cue, cues_of, gathered, written

LISTENERS = ("automatic-speech-recognition",)

_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_GRANULARITIES = ("segment", "word")
_READ = frozenset(
    ("model", "language", "prompt", "response_format", "temperature", "stream", "chunking_strategy",
     "timestamp_granularities", "timestamp_granularities[]")
)  # fmt: skip
_PLAIN = "text/plain; charset=utf-8"

#: As OpenAI calls a language that nobody named and the model does not tell.
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class SpeechRequest:
    """What a form asks for. `times`: which of them the answer needs, as `return_timestamps` has them."""

    content: bytes
    translates: bool
    form: str
    granularities: Sequence[str]
    language: str | None
    prompt: str | None
    temperature: float | None
    streams: bool

    @property
    def times(self) -> Sequence[bool | str]:
        """True: of segments; "word": of words; empty: none are needed."""
        if self.form in ("srt", "vtt"):
            return (True,)
        if self.form != "verbose_json":
            return ()
        return [name if name == "word" else True for name in self.granularities]


@dataclass(frozen=True, slots=True)
class Recording:
    """A sound that was opened: float32 (samples,) at `rate`."""

    samples: NDArray[np.float32]
    rate: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    @property
    def item(self) -> Mapping[str, Any]:
        """As pipelines take it."""
        return {"array": self.samples, "sampling_rate": self.rate}


async def transcribe(exchange: Exchange) -> Response:
    """What is said, in the language in which it is said."""
    return await _answer(exchange, translates=False)


async def translate(exchange: Exchange) -> Response:
    """What is said, in English."""
    return await _answer(exchange, translates=True)


async def _answer(exchange: Exchange, *, translates: bool) -> Response:
    settings = exchange.settings
    form = await exchange.request.form(max(settings.body_bytes, settings.sound_bytes))
    asked = _asked(form, translates=translates)
    model = exchange.model(LISTENERS, form.text("model"))
    terms = exchange.request.terms(settings.writing_timeout_s)
    using = exchange.service.registry.use(model)
    if asked.streams:

        async def begin(version: Version) -> AsyncIterator[Any]:
            pipe = version.pipelines[task_of(version, LISTENERS)]
            options = options_of(pipe, asked)
            return _events(exchange, version, await _opened(exchange, pipe, asked), options, terms)

        return await streamed(exchange, using, begin, shapes.openai)
    async with using as version:
        pipe = version.pipelines[task_of(version, LISTENERS)]
        options = options_of(pipe, asked)
        recording = await _opened(exchange, pipe, asked)
        results = [
            await _heard(exchange, version, recording, _with_times(pipe, options, times), terms)
            for times in asked.times or (None,)
        ]
    return _response(asked, pipe, recording, results)


def _asked(form: SentForm, *, translates: bool) -> SpeechRequest:
    if (content := form.files.get("file")) is None:
        raise RequestError('file is missing: the sound, as a part of the form with a name and a filename, "file".')
    if unknown := sorted(name[:40] for name in form.texts.keys() - _READ if any(form.texts[name])):
        raise RequestError(f"{', '.join(unknown)}: not answered here.")
    chosen = form.text("response_format") or "json"
    if chosen not in _FORMATS:
        raise RequestError(f"response_format is {chosen[:40]!r}; it must be one of {', '.join(_FORMATS)}.")
    granularities = form.several("timestamp_granularities")
    if wrong := [name for name in granularities if name not in _GRANULARITIES]:
        raise RequestError(
            f"timestamp_granularities has {wrong[0][:40]!r}; it may have {' and '.join(_GRANULARITIES)}."
        )
    if granularities and chosen != "verbose_json":
        raise RequestError("timestamp_granularities: only response_format=verbose_json tells times.")
    streams = form.truth("stream")
    if streams and (translates or chosen not in ("json", "text")):
        raise RequestError("stream: only transcriptions come as they are heard, with response_format json or text.")
    if form.text("chunking_strategy") not in (None, "auto"):
        raise RequestError('chunking_strategy may be "auto" alone: sounds of any length are heard.')
    return SpeechRequest(
        content, translates, chosen, tuple(dict.fromkeys(granularities)) or ("segment",), form.text("language"),
        form.text("prompt"), form.number("temperature", 0.0, 1.0), streams,
    )  # fmt: skip


def options_of(pipe: AnyPipeline, asked: SpeechRequest) -> dict[str, Any]:
    """The options of a call, without those of times.

    Raises:
        RequestError: the model does not do what is asked.
    """
    if not isinstance(pipe, AutomaticSpeechRecognition):  # it finds a token for each moment
        if asked.translates:
            raise RequestError("This model writes what it hears, and translates nothing: ask /v1/audio/transcriptions.")
        if asked.prompt is not None:
            raise RequestError("prompt: this model takes no text for what was said before.")
        if asked.temperature:
            raise RequestError("temperature: this model draws nothing; leave it out.")
        return {}
    settings: dict[str, Any] = {}
    if asked.translates:
        settings["task"] = "translate"
    if asked.language is not None:
        settings["language"] = asked.language
    if asked.temperature is not None and (asked.temperature or window_of(pipe)):
        settings["temperature"] = asked.temperature
        if not window_of(pipe):
            settings["do_sample"] = True
    options: dict[str, Any] = {} if asked.prompt is None else {"prompt": asked.prompt}
    if settings:  # over those that the server's settings have
        options["generate_kwargs"] = {**pipe.options.generate_kwargs, **settings}
    return options


def window_of(pipe: AnyPipeline) -> int | None:
    """Samples of a window of a model that hears window after window, and tells times and languages; None: it hears
    sounds otherwise."""
    fits = [step for step in pipe.processor.settings.steps if isinstance(step, FitSamples)]
    return fits[0].samples if fits and isinstance(pipe, AutomaticSpeechRecognition) else None


def _with_times(pipe: AnyPipeline, options: Mapping[str, Any], times: bool | str | None) -> dict[str, Any]:
    """The options of a call that needs times, as far as the model tells any."""
    if window_of(pipe) is not None:
        return {**options, "return_timestamps": times, "return_language": True}
    if times == "word" and isinstance(pipe, AutomaticSpeechRecognition):
        raise RequestError("timestamp_granularities: this model does not tell when words were spoken.")
    if times and not isinstance(pipe, AutomaticSpeechRecognition):
        return {**options, "return_timestamps": "word"}
    return dict(options)


async def _opened(exchange: Exchange, pipe: AnyPipeline, asked: SpeechRequest) -> Recording:
    """The sound at the model's rate, opened beside the event loop; no more of it than may be heard.

    Raises:
        InputError: it is none. TooLarge: it is too long.
    """
    rate, most_s = pipe.processor.settings.rate, exchange.settings.sound_s
    limits = SoundLimits(enough=most_s + 1.0)
    samples = await asyncio.get_running_loop().run_in_executor(
        exchange.service.pool, lambda: open_sound(asked.content, rate, limits=limits)
    )
    if len(samples) > most_s * rate:
        raise TooLarge(f"The sound lasts longer than the {most_s:g} seconds that are heard: send its parts.")
    return Recording(samples, rate)


async def _heard(
    exchange: Exchange, version: Version, recording: Recording, options: Mapping[str, Any], terms: Terms
) -> Mapping[str, Any]:
    """The result of one sound: at once among others, or window after window."""
    window = window_of(version.main)
    if window is None or len(recording.samples) <= window:
        (result,) = await exchange.answer(version, LISTENERS[0], [recording.item], options, terms=terms)
        answered: Mapping[str, Any] = result
        return answered
    chunks = [chunk async for chunk in _chunks(exchange, version, recording, options, terms)]
    return {"text": "".join(chunk["text"] for chunk in chunks), "chunks": chunks}


async def _chunks(
    exchange: Exchange, version: Version, recording: Recording, options: Mapping[str, Any], terms: Terms
) -> AsyncIterator[Mapping[str, Any]]:
    """The chunks of a sound as they are heard; what it took is noted."""
    lane, pipe, cancel = version.hearing, version.main, Cancel()
    assert lane is not None, "its pipeline hears sounds of any length"
    assert isinstance(pipe, AutomaticSpeechRecognition)
    lane.check(recording.seconds)
    figures = exchange.figures
    figures.model, figures.task, figures.variant = version.name, pipe.task, pipe.precision
    sound = HeardSound(terms, recording.seconds, pipe.stream(recording.item, **options, cancel=cancel), cancel)
    try:
        async for chunk in hear(lane, sound, exchange.request.left):
            yield chunk
    finally:
        figures.rows += 1
        figures.batch_rows = max(figures.batch_rows, 1)
        figures.queue_s += 0.0 if sound.begun is None else sound.begun - sound.arrived
        figures.compute_s += sound.computed_s


async def _events(
    exchange: Exchange, version: Version, recording: Recording, options: Mapping[str, Any], terms: Terms
) -> AsyncIterator[Any]:
    """A transcript as OpenAI's events: its pieces, and then all of it."""
    text = ""
    if version.hearing is None:
        (result,) = await exchange.answer(version, LISTENERS[0], [recording.item], options, terms=terms)
        pieces = _once(result)
    else:
        pieces = _chunks(exchange, version, recording, options, terms)
    async for chunk in pieces:
        piece = chunk["text"] if text else chunk["text"].lstrip()
        text += piece
        if piece:
            yield {"type": "transcript.text.delta", "delta": piece}
    yield {"type": "transcript.text.done", "text": text, "usage": _usage(recording)}


async def _once(result: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
    yield result


def _usage(recording: Recording) -> Mapping[str, Any]:
    return {"type": "duration", "seconds": round(recording.seconds, 2)}


def _response(
    asked: SpeechRequest, pipe: AnyPipeline, recording: Recording, results: Sequence[Mapping[str, Any]]
) -> Response:
    text = results[0]["text"].strip()
    if asked.form == "json":
        return json_response({"text": text, "usage": _usage(recording)})
    if asked.form == "text":
        return Response(f"{text}\n".encode(), media_type=_PLAIN)
    cues = [cues_of(result, lambda: recording.seconds) for result in results]
    of_words = not isinstance(pipe, AutomaticSpeechRecognition)
    if asked.form != "verbose_json":
        lines = gathered(cues[0]) if of_words else cues[0]
        return Response(written(results[0], lines, asked.form).encode(), media_type=_PLAIN)
    spoken = next((cue.language for cue in cues[0] if cue.language), None)
    content: dict[str, Any] = {
        "task": "translate" if asked.translates else "transcribe",
        "language": "english" if asked.translates else spoken or asked.language or _UNKNOWN,
        "duration": round(recording.seconds, 2),
        "text": text,
    }
    for granularity, of_result in zip(asked.granularities, cues, strict=True):
        if granularity == "word":
            content["words"] = [{"word": cue.text, "start": cue.start, "end": cue.end} for cue in of_result]
        else:
            content["segments"] = _segments(gathered(of_result) if of_words else of_result)
    return json_response(content | {"usage": _usage(recording)})


def _segments(cues: Sequence[Cue]) -> list[Mapping[str, Any]]:
    """What is known of segments; what a model does not tell (`avg_logprob`, `no_speech_prob`) is not made up."""
    return [
        {
            "id": number,
            "start": cue.start,
            "end": cue.end,
            "text": cue.text,
            "compression_ratio": round(len(cue.text.encode()) / len(zlib.compress(cue.text.encode())), 4),
        }
        for number, cue in enumerate(cues)
    ]


_BODY = fields(
    ("file", "model"),
    file={"type": "string", "format": "binary"},
    model=TEXT,
    language=TEXT,
    prompt=TEXT,
    response_format={"type": "string", "enum": list(_FORMATS)},
    temperature={**NUMBER, "minimum": 0, "maximum": 1},
    stream={"type": "boolean"},
    **{"timestamp_granularities[]": array({"type": "string", "enum": list(_GRANULARITIES)})},
)


def _route(path: str, about: str) -> Route:
    handler = translate if path.endswith("translations") else transcribe
    return Route(
        "POST",
        path,
        handler,
        about,
        shapes.openai,
        _BODY,
        OBJECT,
        body_type=FORM,
        other_replies=(MEDIA_TYPE, "text/plain"),
    )


ROUTES = tuple(
    _route(f"{prefix}/v1/audio/{name}", about)
    for name, about in (
        ("transcriptions", "What is said in a sound."),
        ("translations", "What is said in a sound, in English."),
    )
    for prefix in ("", "/models/{model}")
)
