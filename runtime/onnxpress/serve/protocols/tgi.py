"""The routes of text-generation-inference, /generate and /generate_stream, which the Hub's clients speak, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from onnxpress.serve import shapes
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import Response, json_response
from onnxpress.serve.protocols.fields import WRITERS, needed, optional, whole_number
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import OBJECT, TEXT, fields
from onnxpress.serve.served import ServedModel
from onnxpress.serve.service import Exchange
from onnxpress.serve.sse import MEDIA_TYPE, streamed
from onnxpress.serve.texts import MOST_TOKENS, TextPiece, WrittenTexts, number, open_texts, stop_texts
from onnxpress.serve.versions import Version

_REFUSED = ("best_of", "decoder_input_details", "top_n_tokens", "adapter_id", "watermark", "truncate")

#: TGI's names of why a text ended.
#: Parameters that have these names here alone.
OF_TGI = ("stop", "stop_sequences", "typical_p", "watermark", "decoder_input_details", "best_of", "grammar")

_FINISHES = {"length": "length", "stop": "eos_token"}


async def generate(exchange: Exchange) -> Response:
    """The text that follows a prompt."""
    body = await exchange.request.fields()
    return await generated(exchange, exchange.model(WRITERS, body.pop("model", None)), body)


async def generate_stream(exchange: Exchange) -> Response:
    """The same, token by token."""
    body = await exchange.request.fields()
    return await generated(exchange, exchange.model(WRITERS, body.pop("model", None)), {**body, "stream": True})


async def generated(exchange: Exchange, model: ServedModel, body: Mapping[str, Any]) -> Response:
    """Answer a body of these routes.

    Raises:
        OnnxpressError: as of `open_texts`; RequestError: a field is not what it should be.
    """
    prompt = needed(body, "inputs", str)
    parameters = optional(body, "parameters", dict, {})
    settings = _settings(parameters)
    details = optional(parameters, "details", bool, False)
    whole = prompt if optional(parameters, "return_full_text", bool, False) else ""

    def opened(version: Version) -> WrittenTexts:
        return open_texts(exchange, version, [prompt], settings, {}, logprobs=True)

    if optional(body, "stream", bool, False):

        async def begin(version: Version) -> AsyncIterator[Any]:
            return events(opened(version))

        def events(texts: WrittenTexts) -> AsyncIterator[Any]:
            return events_of(texts, settings, whole)

        return await streamed(exchange, exchange.service.registry.use(model), begin, shapes.tei)
    async with exchange.service.registry.use(model) as version:
        texts = opened(version)
        pieces = [piece async for piece in texts.pieces()]
    content: dict[str, Any] = {"generated_text": whole + "".join(piece.text for piece in pieces)}
    if details:
        tokens = [_token(texts, piece) for piece in pieces if piece.token is not None]
        content["details"] = _details(pieces[-1], texts, settings) | {"prefill": [], "tokens": tokens}
    return json_response(content)


async def events_of(texts: WrittenTexts, settings: Mapping[str, Any], begun: str = "") -> AsyncIterator[Any]:
    """The events of one text; `begun`: what stands before it in `generated_text`."""
    text, count = begun, 0
    async for piece in texts.pieces():
        text, count = text + piece.text, count + 1
        ends = piece.finish is not None
        yield {
            "index": count,
            "token": _token(texts, piece) | {"text": piece.text},
            "generated_text": text if ends else None,
            "details": _details(piece, texts, settings) if ends else None,
        }


def _settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    for name in _REFUSED:
        if parameters.get(name):
            raise RequestError(f"{name} is not answered here: leave it out.")
    settings: dict[str, Any] = {
        "max_new_tokens": whole_number(parameters, "max_new_tokens", 1, MOST_TOKENS) or 100,
        "do_sample": optional(parameters, "do_sample", bool, False),
    }
    for name, least, most in (
        ("temperature", 0.001, 100.0),
        ("top_p", 0.001, 1.0),
        ("typical_p", 0.001, 1.0),
        ("repetition_penalty", 0.01, 10.0),
        ("frequency_penalty", -2.0, 2.0),
    ):
        if (value := number(parameters, name, least, most)) is not None:
            settings[name] = value
            # As TGI does: who sets one of these wants a text that is drawn.
            settings["do_sample"] |= name in ("temperature", "top_p", "typical_p")
    if (top_k := whole_number(parameters, "top_k", 1, MOST_TOKENS)) is not None:
        settings |= {"top_k": top_k, "do_sample": True}
    if (seed := whole_number(parameters, "seed", 0, 2**64 - 1)) is not None:
        settings["seed"] = seed
    stops = [
        *stop_texts(parameters.get("stop"), "stop"), *stop_texts(parameters.get("stop_sequences"), "stop_sequences")
    ]  # fmt: skip
    if stops:
        settings["stop_strings"] = stops
    if (grammar := optional(parameters, "grammar", dict)) is not None:
        kinds = {"json": "json_schema", "json_schema": "json_schema", "regex": "regex"}
        if grammar.get("type") not in kinds:
            raise RequestError(f"grammar.type must be one of {', '.join(kinds)}.")
        value = grammar.get("value")
        named = isinstance(value, dict) and grammar["type"] == "json_schema" and "schema" in value
        settings[kinds[grammar["type"]]] = value["schema"] if named and isinstance(value, dict) else value
    return settings


def _token(texts: WrittenTexts, piece: TextPiece) -> dict[str, Any]:
    logprob = piece.logprob
    ends = piece.token is not None and piece.token in texts.requests[0].config.ends
    return {
        "id": piece.token or 0,
        "text": piece.text if logprob is None else logprob.text,
        "logprob": 0.0 if logprob is None else logprob.logprob,
        "special": ends,
    }


def _details(last: TextPiece, texts: WrittenTexts, settings: Mapping[str, Any]) -> dict[str, Any]:
    finish = _FINISHES.get(last.finish or "", "eos_token")
    if finish == "eos_token" and last.token not in texts.requests[0].config.ends and texts.stops:
        finish = "stop_sequence"
    return {
        "finish_reason": finish,
        "generated_tokens": texts.completion_tokens,
        "input_length": texts.prompt_tokens,
        "seed": settings.get("seed"),
    }


_BODY = fields(("inputs",), inputs=TEXT, parameters=OBJECT)
_ABOUT = "The text that follows a prompt"

ROUTES = (
    Route("POST", "/generate", generate, f"{_ABOUT}.", shapes.tei, _BODY, OBJECT, other_replies=(MEDIA_TYPE,)),
    Route(
        "POST",
        "/models/{model}/generate",
        generate,
        f"{_ABOUT}.",
        shapes.tei,
        _BODY,
        OBJECT,
        other_replies=(MEDIA_TYPE,),
    ),
    Route(
        "POST",
        "/generate_stream",
        generate_stream,
        f"{_ABOUT}, token by token.",
        shapes.tei,
        _BODY,
        reply_type=MEDIA_TYPE,
    ),
    Route(
        "POST",
        "/models/{model}/generate_stream",
        generate_stream,
        f"{_ABOUT}, token by token.",
        shapes.tei,
        _BODY,
        reply_type=MEDIA_TYPE,
    ),
)
