"""OpenAI's protocol: /v1/chat/completions, whole or as server-sent events."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxpress.serve import shapes
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import Response, json_response
from onnxpress.serve.protocols.fields import WRITERS, needed, optional, whole_number
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import ANY, COUNT, NUMBER, OBJECT, TEXT, TRUTH, array, fields
from onnxpress.serve.service import Exchange
from onnxpress.serve.sse import DONE, MEDIA_TYPE, streamed
from onnxpress.serve.texts import (
    MOST_BEST,
    MOST_TEXTS,
    Logprob,
    TextPiece,
    WrittenTexts,
    open_texts,
    settings_of,
)
from onnxpress.serve.tools import Tools, calls_in, tools_of
from onnxpress.serve.versions import Version

#: Fields that ask for something that would be missing from the answer.
_REFUSED = ("functions", "function_call", "audio", "web_search_options", "chat_template")

_BIAS = 100.0


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A body that was read."""

    model: str
    messages: Sequence[Mapping[str, Any]]
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    tools: Tools
    texts: int
    logprobs: bool
    best: int
    bias: Mapping[int, float]
    tells_usage: bool


@dataclass(slots=True)
class _Choice:
    """One text as far as it is written."""

    text: list[str] = field(default_factory=list)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    finish: str | None = None


async def chat(exchange: Exchange) -> Response:
    """The assistant's next message."""
    body = await exchange.request.fields()
    model = exchange.model(WRITERS, body.get("model"))
    call = read_call(body, model.name)
    head = {"id": f"chatcmpl-{exchange.request.id}", "created": int(time.time()), "model": model.name}

    def texts_of(version: Version) -> WrittenTexts:
        return open_texts(
            *(exchange, version, [call.messages], call.settings, call.options),
            texts=call.texts,
            logprobs=call.logprobs,
            best=call.best,
            bias=call.bias,
        )

    if optional(body, "stream", bool, False):

        async def begin(version: Version) -> AsyncIterator[Any]:
            return _chunks(texts_of(version), call, head)

        return await streamed(exchange, exchange.service.registry.use(model), begin, shapes.openai, DONE)
    async with exchange.service.registry.use(model) as version:
        texts = texts_of(version)
        choices = [_Choice() for _ in range(call.texts)]
        async for piece in texts.pieces():
            choice = choices[piece.number]
            choice.text.append(piece.text)
            if piece.logprob is not None:
                choice.logprobs.append(entry(piece.logprob))
            choice.finish = piece.finish
    content = [_whole(place, choice, call) for place, choice in enumerate(choices)]
    return json_response({**head, "object": "chat.completion", "choices": content, "usage": usage(texts)})


def read_call(body: Mapping[str, Any], model: str) -> ChatCall:
    """Read a body.

    Raises:
        RequestError: a field is not what it should be.
    """
    for name in _REFUSED:
        if body.get(name) is not None:
            raise RequestError(f"{name} is not answered here: leave it out.", code="unsupported")
    messages = [_message(message, place) for place, message in enumerate(needed(body, "messages", list))]
    if not messages:
        raise RequestError("messages is empty; a chat has at least one message.")
    tools = tools_of(body)
    settings = settings_of(body)
    if tools.form is not None:
        if "response_format" in settings:
            raise RequestError("response_format and a tool_choice that demands a call exclude each other.")
        settings["json_schema"] = tools.form
    best = whole_number(body, "top_logprobs", 0, MOST_BEST) or 0
    logprobs = optional(body, "logprobs", bool, False)
    if best and not logprobs:
        raise RequestError("top_logprobs needs logprobs: true.")
    options: dict[str, Any] = {"tools": list(tools.schemas)} if tools.schemas else {}
    if variables := optional(body, "chat_template_kwargs", dict):
        if {"chat_template", "tokenize"} & set(variables):
            raise RequestError("chat_template_kwargs has variables of the template; the template is the model's.")
        options["tokenizer_encode_kwargs"] = variables
    streaming = optional(body, "stream_options", dict, {})
    return ChatCall(
        *(model, messages, settings, options, tools),
        texts=whole_number(body, "n", 1, MOST_TEXTS) or 1,
        logprobs=logprobs,
        best=best,
        bias=bias_of(body),
        tells_usage=optional(streaming, "include_usage", bool, False),
    )


def bias_of(body: Mapping[str, Any]) -> dict[int, float]:
    """`logit_bias`: {"token id": number}.

    Raises:
        RequestError: it is not.
    """
    bias: dict[int, float] = {}
    for token, value in optional(body, "logit_bias", dict, {}).items():
        if not token.isdecimal() or isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RequestError('logit_bias must be {"token id": number}.')
        if not -_BIAS <= value <= _BIAS:
            raise RequestError(f"logit_bias of {token[:20]} is {value}; it must be from {-_BIAS} to {_BIAS}.")
        bias[int(token[:18])] = float(value)
    return bias


def entry(logprob: Logprob) -> dict[str, Any]:
    """A token's probability, as OpenAI's clients read it."""
    return _single(logprob) | {"top_logprobs": [_single(other) for other in logprob.best]}


def usage(texts: WrittenTexts) -> dict[str, Any]:
    """The counts of tokens."""
    prompt, completion = texts.prompt_tokens, texts.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": texts.cached_tokens},
    }


def finish_of(reason: str | None) -> str:
    """OpenAI's name of why a text ended."""
    return "length" if reason == "length" else "stop"


async def _chunks(texts: WrittenTexts, call: ChatCall, head: Mapping[str, Any]) -> AsyncIterator[Any]:
    def chunk(number: int, delta: Mapping[str, Any], piece: TextPiece | None = None, finish: str | None = None) -> Any:
        choice: dict[str, Any] = {"index": number, "delta": delta, "logprobs": None, "finish_reason": finish}
        if piece is not None and piece.logprob is not None:
            choice["logprobs"] = {"content": [entry(piece.logprob)], "refusal": None}
        return {**head, "object": "chat.completion.chunk", "choices": [choice]}

    for number in range(call.texts):
        yield chunk(number, {"role": "assistant", "content": ""})
    held: dict[int, list[str]] = {number: [] for number in range(texts.texts)}
    async for piece in texts.pieces():
        if call.tools.schemas:  # whether it is a call, its end tells
            held[piece.number].append(piece.text)
            if piece.finish is None:
                continue
            text, calls = calls_in("".join(held[piece.number]), call.tools)
            delta: dict[str, Any] = {"content": text} if text else {}
            if calls:
                delta["tool_calls"] = [{"index": place, **each} for place, each in enumerate(calls)]
            yield chunk(piece.number, delta, piece)
            yield chunk(piece.number, {}, None, _finish(piece.finish, calls))
            continue
        if piece.text or piece.logprob is not None:
            yield chunk(piece.number, {"content": piece.text}, piece)
        if piece.finish is not None:
            yield chunk(piece.number, {}, None, finish_of(piece.finish))
    if call.tells_usage:
        yield {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage(texts)}


def _whole(place: int, choice: _Choice, call: ChatCall) -> dict[str, Any]:
    text, calls = calls_in("".join(choice.text), call.tools)
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
    if calls:
        message["tool_calls"] = calls
    logprobs = {"content": choice.logprobs, "refusal": None} if call.logprobs else None
    return {
        "index": place,
        "message": message,
        "logprobs": logprobs,
        "finish_reason": _finish(choice.finish, calls),
    }


def _finish(reason: str | None, calls: Sequence[Any]) -> str:
    return "tool_calls" if calls and reason != "length" else finish_of(reason)


def _single(logprob: Logprob) -> dict[str, Any]:
    return {"token": logprob.text, "logprob": logprob.logprob, "bytes": list(logprob.text.encode())}


def _message(message: Any, place: int) -> Mapping[str, Any]:
    """A message, with the parts of its content as one text."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise RequestError(f'messages[{place}] must be {{"role": ..., "content": ...}}.')
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, dict) or not isinstance(part.get("text"), str):
                kind = part.get("type") if isinstance(part, dict) else part
                raise RequestError(f"messages[{place}] has a part of the kind {kind!r:.40}; this model reads texts.")
        return {**message, "content": "".join(part["text"] for part in content)}
    if not isinstance(content, (str, type(None))):
        raise RequestError(f"messages[{place}].content is {content!r:.60}; it must be a text.")
    return message


_BODY = fields(
    ("messages",),
    messages=array(OBJECT),
    model=TEXT,
    stream=TRUTH,
    n=COUNT,
    max_completion_tokens=COUNT,
    max_tokens=COUNT,
    temperature=NUMBER,
    top_p=NUMBER,
    seed={"type": "integer"},
    stop=ANY,
    tools=array(OBJECT),
    tool_choice=ANY,
    response_format=OBJECT,
    logprobs=TRUTH,
    top_logprobs={"type": "integer", "minimum": 0, "maximum": MOST_BEST},
    logit_bias=OBJECT,
)


def _route(path: str) -> Route:
    return Route(
        "POST", path, chat, "The assistant's next message.", shapes.openai, _BODY, OBJECT, other_replies=(MEDIA_TYPE,)
    )


ROUTES = (_route("/v1/chat/completions"), _route("/models/{model}/v1/chat/completions"))
