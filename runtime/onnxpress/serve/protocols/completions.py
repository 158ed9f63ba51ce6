"""OpenAI's protocol: /v1/completions, the texts that follow prompts."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from onnxpress.serve import shapes
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import Response, json_response
from onnxpress.serve.protocols.chat import bias_of, finish_of, usage
from onnxpress.serve.protocols.fields import WRITERS, optional, texts, whole_number
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import ANY, COUNT, NUMBER, OBJECT, TEXT, TEXTS, TRUTH, fields
from onnxpress.serve.service import Exchange
from onnxpress.serve.sse import DONE, MEDIA_TYPE, streamed
from onnxpress.serve.texts import MOST_TEXTS, Logprob, TextPiece, WrittenTexts, open_texts, settings_of
from onnxpress.serve.versions import Version

#: New tokens where a body does not say: OpenAI's.
_TOKENS = 16

_MOST_PROMPTS, _MOST_BEST = 64, 5


async def complete(exchange: Exchange) -> Response:
    """The texts that follow prompts."""
    body = await exchange.request.fields()
    model = exchange.model(WRITERS, body.get("model"))
    prompts, _ = texts(body, "prompt", _MOST_PROMPTS)
    for name in ("suffix", "chat_template"):
        if body.get(name):
            raise RequestError(f"{name} is not answered here: leave it out.", code="unsupported")
    count = whole_number(body, "n", 1, MOST_TEXTS) or 1
    if (whole_number(body, "best_of", 1, MOST_TEXTS) or count) != count:
        raise RequestError("best_of must be n: texts are not chosen from others.")
    settings = {"max_new_tokens": _TOKENS, **settings_of(body)}
    best = whole_number(body, "logprobs", 0, _MOST_BEST)
    echo = optional(body, "echo", bool, False)
    tells_usage = optional(optional(body, "stream_options", dict, {}), "include_usage", bool, False)
    head = {
        "id": f"cmpl-{exchange.request.id}", "object": "text_completion", "created": int(time.time()),
        "model": model.name,
    }  # fmt: skip

    def opened(version: Version) -> WrittenTexts:
        return open_texts(
            *(exchange, version, prompts, settings, {}),
            texts=count,
            logprobs=best is not None,
            best=best or 0,
            bias=bias_of(body),
        )

    def prompt_of(place: int) -> str:
        return prompts[place // count] if echo else ""

    if optional(body, "stream", bool, False):

        async def begin(version: Version) -> AsyncIterator[Any]:
            return chunks(opened(version))

        async def chunks(written: WrittenTexts) -> AsyncIterator[Any]:
            if echo:
                for place in range(len(prompts) * count):
                    yield {**head, "choices": [_choice(place, prompt_of(place), None, None)]}
            async for piece in written.pieces():
                if piece.text or piece.finish is not None or piece.logprob is not None:
                    yield {**head, "choices": [_choice(piece.number, piece.text, _logprobs([piece]), piece.finish)]}
            if tells_usage:
                yield {**head, "choices": [], "usage": usage(written)}

        return await streamed(exchange, exchange.service.registry.use(model), begin, shapes.openai, DONE)
    async with exchange.service.registry.use(model) as version:
        written = opened(version)
        pieces: list[list[TextPiece]] = [[] for _ in range(written.texts)]
        async for piece in written.pieces():
            pieces[piece.number].append(piece)
    choices = [
        _choice(place, prompt_of(place) + "".join(piece.text for piece in text), _logprobs(text), text[-1].finish)
        for place, text in enumerate(pieces)
    ]
    return json_response({**head, "choices": choices, "usage": usage(written)})


def _choice(place: int, text: str, logprobs: Mapping[str, Any] | None, finish: str | None) -> dict[str, Any]:
    reason = None if finish is None else finish_of(finish)
    return {"index": place, "text": text, "logprobs": logprobs, "finish_reason": reason}


def _logprobs(pieces: list[TextPiece]) -> dict[str, Any] | None:
    tokens: list[Logprob] = [piece.logprob for piece in pieces if piece.logprob is not None]
    if not tokens:
        return None
    offsets, end = [], 0
    for token in tokens:
        offsets.append(end)
        end += len(token.text)
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [{other.text: other.logprob for other in token.best} for token in tokens],
        "text_offset": offsets,
    }


_BODY = fields(
    ("prompt",),
    prompt=TEXTS,
    model=TEXT,
    stream=TRUTH,
    n=COUNT,
    max_tokens=COUNT,
    temperature=NUMBER,
    top_p=NUMBER,
    seed={"type": "integer"},
    stop=ANY,
    echo=TRUTH,
    logprobs={"type": "integer", "minimum": 0, "maximum": _MOST_BEST},
    logit_bias=OBJECT,
)


def _route(path: str) -> Route:
    return Route(
        "POST",
        path,
        complete,
        "The texts that follow prompts.",
        shapes.openai,
        _BODY,
        OBJECT,
        other_replies=(MEDIA_TYPE,),
    )


ROUTES = (_route("/v1/completions"), _route("/models/{model}/v1/completions"))
