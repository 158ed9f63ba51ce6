"""Texts that are written for clients: what a request asks of the decode loop, and pieces of text as they come.

What OpenAI's clients call `stop` is not part of the text: what may be its beginning is held back.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxpress.generation.events import Event
from onnxpress.generation.requests import Request
from onnxpress.pipelines.collators import token_ids
from onnxpress.pipelines.text_generation import TextGeneration
from onnxpress.pipelines.writing import WritesTexts
from onnxpress.serve.errors import RequestError
from onnxpress.serve.jobs import Terms
from onnxpress.serve.lengths import check_lengths
from onnxpress.serve.protocols.fields import WRITERS, optional, whole_number
from onnxpress.serve.service import Exchange, task_of
from onnxpress.serve.versions import Version
from onnxpress.serve.writing import WritingLane, failure_of, listen
from onnxpress.text.tokenizer import Tokenizer

MOST_TEXTS, MOST_STOPS, MOST_BEST, MOST_TOKENS = 16, 16, 20, 1 << 20

#: Where the fewest best that have `top_p` together are looked for, if no `top_k` says it: a bound on what a token of a
#: flat distribution costs.
_BOUND = 1024


@dataclass(frozen=True, slots=True)
class Logprob:
    """A token, its text, and the natural logarithm of its probability; and those of the likeliest."""

    token: int
    text: str
    logprob: float
    best: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class TextPiece:
    """What came of a text: `text`, which may be empty. `finish`: it is the last."""

    number: int
    text: str
    token: int | None
    logprob: Logprob | None = None
    finish: str | None = None


class StopText:
    """Ends a text before the first of some strings; what may be the beginning of one is held back."""

    def __init__(self, strings: Sequence[str]) -> None:
        self._strings = strings
        self._held = ""
        self.stopped = False

    def step(self, text: str) -> str:
        """The text that is certain with this much more."""
        if self.stopped:
            return ""
        held = self._held + text
        places = [place for string in self._strings if (place := held.find(string)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return held[: min(places)]
        keep = max((_overlap(held, string) for string in self._strings), default=0)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def flush(self) -> str:
        """The rest: nothing follows."""
        held, self._held = self._held, ""
        return "" if self.stopped else held


@dataclass(slots=True)
class WrittenTexts:
    """The texts of one request while they are written. Iterate `pieces`; then the counts are there."""

    exchange: Exchange
    version: Version
    lane: WritingLane
    tokenizer: Tokenizer
    requests: Sequence[Request]
    stops: Sequence[str]
    terms: Terms
    prompt_tokens: int
    completion_tokens: int = 0
    cached_tokens: int = 0
    seconds: float = 0.0
    prompts: list[Sequence[int]] = field(default_factory=list)
    begun: Sequence[int] = ()

    @property
    def texts(self) -> int:
        """How many there are."""
        return sum(request.config.num_return_sequences for request in self.requests)

    async def pieces(self) -> AsyncIterator[TextPiece]:
        """Each piece as it comes.

        Raises:
            OnnxpressError: as of `listen`.
        """
        started = time.perf_counter()
        tokenizer = self.tokenizer
        decoders = [tokenizer.stream_decoder() for _ in range(self.texts)]
        stops = [StopText(self.stops) for _ in range(self.texts)]
        figures = self.exchange.figures
        begun = "".join(decoders[0].step(token) or "" for token in self.begun)
        try:
            if begun:
                yield TextPiece(0, begun, None)
            async for _, event in listen(self.lane, self.requests, self.exchange.request.left, self.terms.deadline):
                if event.error is not None:
                    raise failure_of(event.error)
                text = ""
                if event.token is not None:
                    self.completion_tokens += 1
                    self.cached_tokens += event.cached
                    text = decoders[event.row].step(event.token) or ""
                if event.finish is not None:
                    text += decoders[event.row].flush()
                text = stops[event.row].step(text)
                if event.finish is not None:
                    text += stops[event.row].flush()
                yield TextPiece(event.row, text, event.token, logprob_of(tokenizer, event), event.finish)
        finally:
            self.seconds = time.perf_counter() - started
            figures.tokens = self.prompt_tokens + self.completion_tokens
            figures.rows, figures.compute_s = self.texts, self.seconds


def open_texts(
    exchange: Exchange,
    version: Version,
    prompts: Sequence[Any],
    settings: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    texts: int = 1,
    logprobs: bool = False,
    best: int = 0,
    bias: Mapping[int, float] | None = None,
) -> WrittenTexts:
    """The texts that continue prompts (or chats), `texts` of each, side by side.

    Args:
        settings: of generation. options: of the task.

    Raises:
        OnnxpressError: a setting that is wrong; a prompt that leaves no room; Overloaded: too many wait.
    """
    started = time.perf_counter()
    pipe = version.pipelines[task_of(version, WRITERS)]
    lane = version.writing
    if lane is None or not isinstance(pipe, TextGeneration):
        raise RequestError(f"{version.name} writes no texts.", code="wrong_task")
    lane.check()
    server = exchange.settings
    terms = exchange.request.terms(max(server.writing_timeout_s, server.request_timeout_s))
    # What a client's own client wrote into a message is never a control token; a prompt is taken as it is.
    chosen, _ = pipe.asked({"plain_messages": True, **options, "generate_kwargs": dict(settings)})
    owner = lane.owner(exchange.request.client)
    requests: list[Request] = []
    read: list[Sequence[int]] = []
    for prompt in prompts:
        sample, call = pipe.request(prompt, chosen)
        if call.config.num_beams > 1:
            raise RequestError("num_beams is not for texts that are written side by side: leave it out.")
        tokens = token_ids(sample)
        read.append(tokens)
        hooks = pipe.writer.hooks(call, lambda: time.monotonic() >= terms.deadline)
        call.config.most_new_tokens(len(tokens), pipe.writer.limit)  # before anything is sent
        # Texts of which nothing is drawn are requests of their own.
        each = texts if call.config.do_sample else 1
        config = call.config.merged(num_return_sequences=each)
        for _ in range(texts // each):
            row = sum(request.config.num_return_sequences for request in requests)
            requests.append(Request(tokens, config, None, hooks, logprobs, row, 0, best, bias or {}, owner))
    figures = exchange.figures
    figures.model, figures.task, figures.variant = version.name, pipe.task, pipe.precision
    figures.prepare_s = time.perf_counter() - started
    stops = tuple(settings.get("stop_strings") or ())
    tokenizer = pipe.processor.tokenizer
    count = sum(map(len, read))
    return WrittenTexts(*(exchange, version, lane, tokenizer, requests, stops, terms, count), prompts=read)


async def open_stream(
    exchange: Exchange, version: Version, task: str, item: Any, options: Mapping[str, Any], *, truncate: bool = False
) -> WrittenTexts:
    """The one text about what a task is given, such as its translation.

    Raises:
        OnnxpressError: an option that is wrong, or an input; RequestError: there are several texts, or the task writes
            none; Overloaded: too many wait.
    """
    started = time.perf_counter()
    pipe = version.pipelines[task]
    lane = version.writing
    if lane is None or not isinstance(pipe, WritesTexts):
        raise RequestError(f"stream: {task} writes no texts.")
    lane.check()
    server, figures = exchange.settings, exchange.figures
    terms = exchange.request.terms(max(server.writing_timeout_s, server.request_timeout_s))
    chosen, limits = pipe.asked(options)
    prepared = await exchange.in_pool(lambda: pipe.prepare(item, chosen))
    figures.cut += check_lengths(pipe, [item], [prepared], chosen, truncate=truncate)
    call = pipe.call(chosen, single=True)
    if len(prepared.samples) != 1 or call.config.num_beams > 1 or call.config.num_return_sequences > 1:
        raise RequestError("A stream is one text, of one beam, about an input that is read whole: leave stream out.")
    [sample] = prepared.samples
    hooks = pipe.writer.hooks(call, lambda: time.monotonic() >= terms.deadline)
    owner = lane.owner(exchange.request.client)
    request = pipe.writer.request(sample, call, hooks, logprobs=True, owner=owner, kind=limits.key(sample))
    figures.model, figures.task, figures.variant = version.name, task, pipe.precision
    figures.prepare_s = time.perf_counter() - started
    begun = pipe.begun(sample)
    return WrittenTexts(
        *(exchange, version, lane, pipe.writer.tokenizer, [request], (), terms, sample.cost), begun=begun
    )


def settings_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of generation in a body of OpenAI's protocols, under transformers' names.

    Raises:
        RequestError: one is not what it should be.
    """
    settings: dict[str, Any] = {}
    for name in ("max_tokens", "max_completion_tokens"):
        if (most := whole_number(body, name, 1, MOST_TOKENS)) is not None:
            settings["max_new_tokens"] = most
    temperature = number(body, "temperature", 0.0, 2.0)
    top_p = number(body, "top_p", 0.0, 1.0)
    if temperature == 0 or top_p == 0:
        settings["do_sample"] = False
    elif temperature is not None or top_p is not None:
        settings |= {"do_sample": True, "temperature": 1.0 if temperature is None else temperature}
    if top_p and settings.get("do_sample"):
        settings["top_p"] = top_p
    top_k = whole_number(body, "top_k", -1, MOST_TOKENS)
    if top_k is not None and settings.get("do_sample") is not False:
        settings["top_k"] = top_k if top_k > 0 else _BOUND if top_p is not None and top_p < 1 else 0
    for name, most_of in (("presence_penalty", 2.0), ("frequency_penalty", 2.0)):
        if (value := number(body, name, -most_of, most_of)) is not None:
            settings[name] = value
    if (penalty := number(body, "repetition_penalty", 0.01, 10.0)) is not None:
        settings["repetition_penalty"] = penalty
    if (seed := whole_number(body, "seed", -(2**63), 2**63 - 1)) is not None:
        settings["seed"] = abs(seed)
    if stops := stop_texts(body.get("stop"), "stop"):
        settings["stop_strings"] = stops
    if (form := optional(body, "response_format", dict)) is not None:
        settings["response_format"] = form
    return settings


def number(body: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    """A number within a range; None: it is missing.

    Raises:
        RequestError: it is none, or outside.
    """
    value: float | None = optional(body, name, float)
    if value is not None and not least <= value <= most:
        raise RequestError(f"{name} is {value}; it must be from {least} to {most}.")
    return value


def stop_texts(value: Any, name: str) -> list[str]:
    """A text or a list of texts.

    Raises:
        RequestError: it is neither, too many, or one is empty.
    """
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or len(texts) > MOST_STOPS or not all(isinstance(t, str) and t for t in texts):
        raise RequestError(f"{name} must be a text or up to {MOST_STOPS} texts, none of them empty.")
    return texts


def logprob_of(tokenizer: Tokenizer, event: Event) -> Logprob | None:
    """What an event tells of its token's probability; None: nothing was asked."""
    if event.token is None or event.logprob is None:
        return None

    def text(token: int) -> str:
        return tokenizer.decode([token], skip_special_tokens=False)

    best = tuple(Logprob(token, text(token), logprob) for token, logprob in event.best)
    return Logprob(event.token, text(event.token), event.logprob, best)


def _overlap(text: str, string: str) -> int:
    """How much of the text's end is the beginning of a string."""
    for length in range(min(len(text), len(string) - 1), 0, -1):
        if text.endswith(string[:length]):
            return length
    return 0
