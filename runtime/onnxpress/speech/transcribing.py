"""Writes what is said in sounds, window after window, by transformers' rules for long sounds.

Each sound goes its own way: what stands beside it in a batch changes nothing. Knows features and token ids alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.generation.decoder import Decoder, EncoderDecoderModel, Perceived
from onnxpress.generation.decoders.graph import ALIGNING_QUERIES
from onnxpress.generation.events import Generated, Hooks
from onnxpress.generation.generate import complete
from onnxpress.generation.rules import Rule, Written
from onnxpress.generation.sampling import rules_of
from onnxpress.generation.settings import GenerationConfig
from onnxpress.math import softmax
from onnxpress.speech.features import Features, Floats
from onnxpress.speech.rules import times_rule
from onnxpress.speech.segments import SpokenSegment, cut
from onnxpress.speech.settings import SpeechSettings
from onnxpress.speech.tokens import SpeechTokens

#: Of the tokens that a decoder may have, so many of earlier text at most; of the rest it writes.
_SHARE = 2

#: Tokens that are left for a window's own text, at least.
_LEAST = 16

#: From this temperature on a text is too random for the next one to go on from it.
_RANDOM = 0.5

#: Seconds of a frame of features.
FRAME = 0.01

#: Room that is made for new tokens at first.
_ROOM_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Alignment:
    """`heads`: (layer, head) in the order of the graph's queries, whose attention tells when a token was spoken;
    `width`: of the median filter."""

    heads: tuple[tuple[int, int], ...]
    width: int


@dataclass(frozen=True, slots=True)
class Hearing:
    """A model that hears: its graphs, its tokens, and how it is asked.

    takes: the encoder's input. frames: of a window. vocabulary: how many tokens there are. limit: the most of a row.
    """

    model: EncoderDecoderModel
    tokens: SpeechTokens
    takes: str
    frames: int
    vocabulary: int
    limit: int
    alignment: Alignment | None = None


@dataclass(frozen=True, slots=True)
class SpeechCall:
    """How a call wants it. `times`: whether times are written; `words`: whether each token's time is found."""

    config: GenerationConfig
    settings: SpeechSettings
    times: bool
    words: bool = False
    cancelled: Callable[[], bool] | None = None


@dataclass(slots=True)
class Sound:
    """One sound while it is heard.

    seek: the frame that it was heard to. frames: of the window that is heard now. segments: what was said so far.
    language: the token of its language; leader: the sound whose language it has, where it is a part of another.
    """

    features: Features
    seek: int = 0
    frames: int = 0
    window: int = 0
    language: int | None = None
    leader: Sound | None = None
    segments: list[SpokenSegment] = field(default_factory=list)
    goes_on: bool = False


def transcribe(
    hearing: Hearing, sounds: Sequence[Sound], call: SpeechCall
) -> Iterator[tuple[int, list[SpokenSegment]]]:
    """Hear sounds side by side: after each window, the number of its sound, and the segments that it adds."""
    while waiting := [number for number, sound in enumerate(sounds) if sound.features.goes_on(sound.seek)]:
        perceived = hearing.model.perceive(
            {hearing.takes: np.stack([_window(sounds[number], hearing.frames) for number in waiting])}
        )
        for row, number in enumerate(waiting):
            sound = sounds[number]
            if sound.language is None and sound.leader is not None:
                sound.language = sound.leader.language
            elif sound.language is None:
                sound.language = _language(hearing, perceived, row, call)
        prompts = [_prompt(hearing, sounds[number], call) for number in waiting]
        written = _write(hearing, perceived, prompts, call)
        for row, number in enumerate(waiting):
            yield number, _heard(hearing, perceived, row, sounds[number], prompts[row], written[row], call)
        del perceived  # or it would be held beside the next windows'


def _window(sound: Sound, frames: int) -> Floats:
    """float32 (bands, frames) from where the sound was heard to; zeros after its end."""
    window = sound.features.window(sound.seek, frames)
    sound.frames = window.shape[1]
    return np.pad(window, ((0, 0), (0, frames - window.shape[1])))


def _language(hearing: Hearing, perceived: Perceived, row: int, call: SpeechCall) -> int | None:
    """The token of the language: the caller's, or the likeliest; None: the model has none, or its file forces one."""
    tokens, settings = hearing.tokens, call.settings
    if settings.language is not None:
        return tokens.language_id(settings.language)
    single = settings.is_multilingual is False or (settings.is_multilingual is None and tokens.multilingual is False)
    if not tokens.languages or single:
        return None
    if len(tokens.languages) == 1:
        return next(iter(tokens.languages.values()))
    decoder = perceived.decoder([row], 1)
    try:
        scores = decoder.prefill(0, [tokens.start])[0]
    finally:
        decoder.close()
    known = np.array(list(tokens.languages.values()), np.int64)
    return int(known[scores[known].argmax()])


def _beginning(hearing: Hearing, sound: Sound, call: SpeechCall) -> list[int]:
    """The tokens that say what is wanted: language, task, and whether times are."""
    tokens = hearing.tokens
    ids = [tokens.start]
    if sound.language is not None:
        ids.append(sound.language)
        # Without a task, transformers would let the model choose one, which it never learned.
        task = tokens.tasks.get(call.settings.task or "transcribe")
        ids.extend([] if task is None else [task])
    elif call.settings.task is not None:
        ids.append(tokens.tasks[call.settings.task])
    if not call.times and tokens.no_times is not None:
        ids.append(tokens.no_times)
    return ids


@dataclass(frozen=True, slots=True)
class _Prompt:
    """`ids`: what the decoder begins with; `start`: the place of the token that begins the window's own text."""

    ids: tuple[int, ...]
    start: int


def _prompt(hearing: Hearing, sound: Sound, call: SpeechCall) -> _Prompt:
    begin, settings, most = _beginning(hearing, sound, call), call.settings, hearing.limit // _SHARE - 1
    before = [] if hearing.tokens.before is None else [hearing.tokens.before]
    asked = list(settings.prompt_ids)
    said = asked[1:] if asked[:1] == before else asked
    if len(said) > most:
        # A prompt that leaves no room loses its beginning, as OpenAI's does; transformers refuses it.
        said = said[-most:]
        asked = [*before, *said]
    earlier = asked
    if sound.goes_on:
        spoken = [token for segment in sound.segments for token in _without_double_end(segment, hearing.tokens)]
        if settings.prompts_all and sound.segments:
            room = hearing.limit - len(begin) - len(asked or before) - _LEAST
            earlier = [*(asked or before), *spoken[-min(most, max(room, 1)) :]]
        elif said or sound.segments:
            earlier = [*before, *[*said, *spoken][-most:]]
    return _Prompt((*earlier, *begin), len(earlier))


def _without_double_end(segment: SpokenSegment, tokens: SpeechTokens) -> Sequence[int]:
    ids = segment.tokens
    return ids[:-1] if len(ids) > 2 and tokens.is_time(ids[-2]) else ids


@dataclass(frozen=True, slots=True)
class _Text:
    """`ids`: new tokens, with the one that ended them; `skips`: nothing is said in the window; `random`: whether it was
    drawn at a temperature from which the next window does not go on."""

    ids: tuple[int, ...]
    skips: bool = False
    random: bool = False


def _write(hearing: Hearing, perceived: Perceived, prompts: Sequence[_Prompt], call: SpeechCall) -> list[_Text]:
    """The text of each window. Those whose prompts are of one length are written together."""
    texts: list[_Text | None] = [None] * len(prompts)
    lengths = sorted({len(prompt.ids) for prompt in prompts})
    for rows in ([row for row, prompt in enumerate(prompts) if len(prompt.ids) == length] for length in lengths):
        for attempt, temperature in enumerate(call.settings.temperatures):
            config = _config(call, hearing, len(prompts[rows[0]].ids), temperature)
            generated = _search(hearing, perceived, rows, [prompts[row].ids for row in rows], config, call)
            last = attempt + 1 == len(call.settings.temperatures)
            falling_short = []
            for row, text in zip(rows, generated, strict=True):
                short, skips = _judge(hearing, perceived, row, prompts[row], text, config, call)
                texts[row] = _Text(text.ids, skips, temperature >= _RANDOM)
                falling_short.extend([row] if short and not last else [])
            rows = falling_short
            if not rows:
                break
    return [text for text in texts if text is not None]


def _config(call: SpeechCall, hearing: Hearing, prompt: int, temperature: float) -> GenerationConfig:
    """The settings of one attempt: what is drawn follows no beams; a longest text does not count the prompt."""
    config = call.config
    if config.max_new_tokens is None and config.max_length is not None:
        most = min(config.max_length + min(hearing.limit // _SHARE - 1, prompt), hearing.limit) - prompt
        config = replace(config, max_new_tokens=max(most, 1))
    if temperature > 0:
        return replace(config, do_sample=True, temperature=temperature, num_beams=1)
    return replace(config, do_sample=False, temperature=1.0)


def _search(
    hearing: Hearing,
    perceived: Perceived,
    rows: Sequence[int],
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    call: SpeechCall,
) -> list[Generated]:
    most = config.most_new_tokens(len(prompts[0]), hearing.limit)
    room = len(prompts[0]) + min(most, _ROOM_TOKENS)
    decoder: Decoder = perceived.decoder(rows, room, last=_once(call))
    try:
        texts = complete(decoder, prompts, config, hooks=Hooks(call.cancelled, rules=_rules(hearing, call)))
    finally:
        decoder.close()
    return [text[0] for text in texts]


def _once(call: SpeechCall) -> bool:
    """Whether a window is asked for its text and for nothing more: no second attempt, no probabilities, no words."""
    settings = call.settings
    return len(settings.temperatures) == 1 and settings.logprob_threshold is None and not call.words


def _rules(hearing: Hearing, call: SpeechCall) -> list[Rule]:
    return [times_rule(hearing.tokens)] if call.times else []


def _judge(
    hearing: Hearing,
    perceived: Perceived,
    row: int,
    prompt: _Prompt,
    text: Generated,
    config: GenerationConfig,
    call: SpeechCall,
) -> tuple[bool, bool]:
    """Whether a text falls short of the thresholds, and whether nothing is said in its window."""
    settings, short = call.settings, False
    if settings.compression_ratio_threshold is not None:
        short = compression_ratio(text.ids, hearing.vocabulary) > settings.compression_ratio_threshold
    if settings.logprob_threshold is None:
        return short, False
    logits = _follow(perceived, row, (*prompt.ids, *text.ids[:-1]), prompt.start)["logits"]
    mean = _mean_logprob(logits[len(prompt.ids) - 1 - prompt.start :], prompt, text, config, hearing, call)
    short = short or mean < settings.logprob_threshold
    if settings.no_speech_threshold is not None and hearing.tokens.no_speech is not None:
        silent = float(softmax(logits[0])[hearing.tokens.no_speech])
        if mean < settings.logprob_threshold and silent > settings.no_speech_threshold:
            return False, True
    return short, False


def _mean_logprob(
    logits: NDArray[np.float32],
    prompt: _Prompt,
    text: Generated,
    config: GenerationConfig,
    hearing: Hearing,
    call: SpeechCall,
) -> float:
    """Of the text's tokens, the one that ends it too, as the rules leave them."""
    ids, begun = np.array([*prompt.ids, *text.ids], np.int64), len(prompt.ids)
    most = config.most_new_tokens(begun, hearing.limit)
    rules = [*rules_of(config, begun, most, prompt.ids), *_rules(hearing, call)]
    total = 0.0
    for place, token in enumerate(text.ids):
        scores = logits[place]
        for rule in rules:
            rule(Written(ids[: begun + place], begun), scores)
        highest = scores.max()
        total += float(scores[token] - highest - np.log(np.exp(scores - highest).sum()))
    return total / max(len(text.ids), 1)


def compression_ratio(ids: Sequence[int], vocabulary: int) -> float:
    """Bytes of token ids over their compressed bytes: large where a text repeats itself."""
    length = int(log2(vocabulary) / 8) + 1
    data = b"".join(int(token).to_bytes(length, "little") for token in ids)
    return len(data) / len(zlib.compress(data))


def _follow(perceived: Perceived, row: int, ids: Sequence[int], first: int) -> dict[str, Any]:
    """What the decoder returns of a text that is read at once; scores from token `first` on, (tokens, vocabulary)."""
    outputs = dict(perceived.follow(row, ids, first))
    outputs["logits"] = outputs["logits"][0].astype(np.float32, copy=True)[-(len(ids) - first) :]
    return outputs


def _heard(
    hearing: Hearing, perceived: Perceived, row: int, sound: Sound, prompt: _Prompt, text: _Text, call: SpeechCall
) -> list[SpokenSegment]:
    """The segments of a window; the sound goes on to the next one."""
    frames, offset = sound.frames, sound.seek * FRAME
    sound.goes_on = call.settings.condition_on_prev_tokens and not text.random
    window, sound.window = sound.window, sound.window + 1
    if text.skips:
        sound.seek += frames
        return []
    ids = text.ids[:-1] if text.ids[-1:] == (hearing.tokens.end,) else text.ids
    times = _token_times(hearing, perceived, row, sound, prompt, text) if call.words else None
    segments, moved = cut(ids, hearing.tokens, frames, window, offset, times)
    # A window that ends where it began would be heard for ever.
    sound.seek += moved if moved > 0 else frames
    sound.segments.extend(segments)
    return segments


def _token_times(
    hearing: Hearing, perceived: Perceived, row: int, sound: Sound, prompt: _Prompt, text: _Text
) -> list[float]:
    """Seconds from the window's beginning at which each new token was spoken; the last has the time of the one before,
    which it is told by."""
    from onnxpress.speech.alignment import attention_weights, times_of

    alignment, begun = hearing.alignment, len(prompt.ids)
    if alignment is None:
        raise InputError(
            "This model does not tell when words were spoken: its generation_config.json has no alignment_heads."
        )
    if len(text.ids) < 2:
        return [0.0] * len(text.ids)
    outputs = _follow(perceived, row, (*prompt.ids, *text.ids[:-1]), begun + len(text.ids) - 2)
    if ALIGNING_QUERIES not in outputs:
        raise UnsupportedFormat("This artifact's graphs do not tell when words were spoken. Export again.")
    heads = len(alignment.heads)
    queries = outputs[ALIGNING_QUERIES][0, begun:].astype(np.float32, copy=False)
    queries = queries.reshape(len(queries), heads, -1).swapaxes(0, 1)
    layers = {layer: perceived.keys(row, layer) for layer, _ in alignment.heads}
    keys = np.stack([layers[layer][head] for layer, head in alignment.heads])
    times = list(times_of(attention_weights(queries, keys), alignment.width, sound.features.heard - sound.seek))
    return [*times, times[-1]]
