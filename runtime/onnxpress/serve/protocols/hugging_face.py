"""The Hub's task shapes, as `huggingface_hub.InferenceClient(model=".../models/NAME")` sends and parses them.

The body is what `onnxpress run` takes: {"inputs", "parameters"}, or the fields of an input beside its options; or a
picture or a sound as it is. The task is the model's, unless the address or the body says another that it serves. Where
the Hub's clients expect another form than transformers' pipelines give, a row of a table says which.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxpress.pipelines.payload import INPUTS, Call
from onnxpress.pipelines.table import TASKS, find_task
from onnxpress.serve import media, shapes
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import HttpRequest, Response, json_response
from onnxpress.serve.protocols.fields import FOREIGN, WRITERS, check_count, is_token_ids, optional
from onnxpress.serve.protocols.openai import as_asked, asked_options, embedder, embedding_options
from onnxpress.serve.protocols.tgi import OF_TGI, events_of, generated
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import ANY, OBJECT, fields
from onnxpress.serve.served import ServedModel
from onnxpress.serve.service import Exchange, check_options, task_of
from onnxpress.serve.sse import MEDIA_TYPE, streamed
from onnxpress.serve.texts import open_stream
from onnxpress.serve.versions import Version


@dataclass(frozen=True, slots=True)
class ReplyForm:
    """What the Hub's clients expect of a task. `usual`: options where a body does not say. `alone`: the reply of one
    input, made of its result; `each`: of one of several."""

    usual: Mapping[str, Any]
    alone: Callable[[Any], Any]
    each: Callable[[Any], Any]


def _same(result: Any) -> Any:
    return result


def _listed(result: Any) -> Any:
    return [result]


def _in_list(result: Any) -> Any:
    return result if isinstance(result, list) else [result]


def _zero_shot(result: Any) -> Any:
    """{"labels", "scores"} as a list of labels with their scores."""
    return [{"label": label, "score": score} for label, score in zip(result["labels"], result["scores"], strict=True)]


_PLAIN = ReplyForm({}, _same, _same)

_FORMS: Mapping[str, ReplyForm] = {
    "text-classification": ReplyForm({"top_k": 5}, lambda result: [_in_list(result)], _in_list),
    "zero-shot-classification": ReplyForm({}, _zero_shot, _zero_shot),
    "token-classification": ReplyForm({"aggregation_strategy": "simple"}, _same, _same),
}


async def answer(exchange: Exchange) -> Response:
    """One request of any task."""
    request = exchange.request
    raw = request.media_type.startswith(media.RAW) or await _untold(request)
    body: Any = {INPUTS: await request.body()} if raw else await request.json()
    name = body.pop("model", None) if isinstance(body, dict) else None
    model = exchange.model(tuple(TASKS), name)
    if isinstance(body, dict) and not raw:
        if await _is_of_tgi(exchange, model, body):
            return await generated(exchange, model, body)
        if body.pop("stream", False):
            return await _streamed(exchange, model, body)
    async with exchange.service.registry.use(model) as version:
        task = _task(exchange, version, body)
        pipe = version.pipelines[task]
        if media.takes_media(pipe):
            body = _with_media(body, allow_urls=exchange.settings.allow_urls)
        truncate = False
        if task == "sentence-similarity" and isinstance(body, dict):
            return await _vectors(exchange, version, body)
        if isinstance(body, dict) and task == "text-ranking":
            truncate = bool(optional(body, "truncate", bool, False))
            body = {field: value for field, value in body.items() if field != "truncate"}
        form = _FORMS.get(task, _PLAIN)
        call = find_task(task)[0].call(_nonempty(body), form.usual)
        _check(exchange, call)
        options = {option: value for option, value in call.options.items() if value is not None or option == "top_k"}
        if exchange.settings.allow_urls and media.takes_media(pipe):
            options["allow_urls"] = True
        results = await exchange.answer(version, task, call.inputs, options, truncate=truncate)
    if not call.many:
        return _response(form.alone(results[0]))
    return _response([form.each(result) for result in results])


async def _streamed(exchange: Exchange, model: ServedModel, body: dict[str, Any]) -> Response:
    """The one text of a task, in the events of text-generation-inference."""

    async def begin(version: Version) -> AsyncIterator[Any]:
        task = _task(exchange, version, body)
        content = body
        if media.takes_media(version.pipelines[task]):
            content = _with_media(body, allow_urls=exchange.settings.allow_urls)
        call = find_task(task)[0].call(_nonempty(content), {})
        _check(exchange, call)
        if call.many:
            raise RequestError("stream: one input is answered in one stream, not several.")
        options = {option: value for option, value in call.options.items() if value is not None}
        if exchange.settings.allow_urls and media.takes_media(version.pipelines[task]):
            options["allow_urls"] = True
        return events_of(await open_stream(exchange, version, task, call.inputs[0], options), {})

    return await streamed(exchange, exchange.service.registry.use(model), begin, shapes.tei)


async def _is_of_tgi(exchange: Exchange, model: ServedModel, body: dict[str, Any]) -> bool:
    """Whether a body asks for what text-generation-inference alone answers: events, details of tokens, or by a name
    that it alone has, as LangChain's client does."""
    parameters = body.get("parameters")
    asked = parameters if isinstance(parameters, dict) else {}
    if not (body.get("stream") or asked.get("details") or any(asked.get(name) is not None for name in OF_TGI)):
        return False
    async with exchange.service.registry.use(model) as version:
        return version.writing is not None and version.serves(WRITERS[0])


async def _untold(request: HttpRequest) -> bool:
    """Whether a body that is not said to be of any kind is no JSON: the Hub's clients send pictures so."""
    return not request.media_type and (await request.body()).lstrip()[:1] not in (b"{", b"[", b'"')


async def _vectors(exchange: Exchange, version: Version, body: dict[str, Any]) -> Response:
    """feature-extraction and sentence-similarity of a model that makes vectors: the inputs' form says which."""
    content = {**body, **optional(body, "parameters", dict, {})}
    encoding = optional(content, "encoding_format", str, "float")
    if encoding not in ("float", "base64"):
        raise RequestError(f"encoding_format is {encoding[:40]!r}; it must be float or base64.")
    if str(optional(content, "truncation_direction", str, "right")).lower() != "right":
        raise RequestError("truncation_direction can only be 'right' here.")
    truncate = optional(content, "truncate", bool, False)
    task = "sentence-similarity"
    inputs = {field: value for field, value in body.items() if field in (INPUTS, "source_sentence", "sentences")}
    if is_list_of_ids(inputs.get(INPUTS)):
        raise RequestError(f"inputs {FOREIGN}", code="token_ids")
    call = TASKS[task].call(_nonempty(inputs), {})
    _check(exchange, call)
    pipe = embedder(version.pipelines[task])
    if isinstance(call.inputs[0], Mapping):  # compared, whatever their vectors are
        options = asked_options(pipe, content)
    else:
        options = embedding_options(pipe, content, any_dimensions=exchange.settings.any_dimensions)
    results = await exchange.answer(version, task, call.inputs, options, truncate=truncate)
    if isinstance(call.inputs[0], Mapping):
        return json_response(results if call.many else results[0])
    return json_response([as_asked(vector, encoding) for vector in results])


def is_list_of_ids(value: Any) -> bool:
    """Whether inputs are token ids."""
    return isinstance(value, list) and bool(value) and is_token_ids(value)


def _task(exchange: Exchange, version: Version, body: Any) -> str:
    """The task that is asked for: by the address, by what the body has, or the model's own."""
    if (asked := exchange.params.get("task") or exchange.request.query.get("task")) is not None:
        name = find_task(asked)[0].name
        if name == "feature-extraction" and version.serves("sentence-similarity"):
            name = "sentence-similarity"  # a vector for each text, as the Hub answers of such a model
        return task_of(version, (name,))
    main: str = version.main.task
    parameters = body.get("parameters") if isinstance(body, dict) else None
    content = {**body, **(parameters if isinstance(parameters, dict) else {})} if isinstance(body, dict) else {}
    if "candidate_labels" in content and version.serves("zero-shot-classification"):
        return "zero-shot-classification"
    return main


def _with_media(body: Any, *, allow_urls: bool) -> Any:
    if isinstance(body, dict):
        return {
            name: media.opened(value, allow_urls=allow_urls) if name in (INPUTS, "image", "images", "audio") else value
            for name, value in body.items()
        }
    return media.opened(body, allow_urls=allow_urls)


def _nonempty(body: Any) -> Any:
    if body in ("", [], {}, None):
        raise RequestError("The body is empty.")
    if not isinstance(body, (str, bytes, dict, list)):
        raise RequestError(f"The body must be a text, an object or a list, not {body!r:.60}.")
    return body


def _check(exchange: Exchange, call: Call) -> None:
    check_options(call.options)
    check_count(call.inputs, "inputs", exchange.settings.most_rows)


def _response(result: Any) -> Response:
    if media.is_picture(result):
        return Response(media.png(result), media_type="image/png")
    if media.is_sound(result):
        return Response(media.wav(result), media_type="audio/wav")
    return json_response(result)


async def model_health(exchange: Exchange) -> Response:
    """Whether a model can be asked: the Hub's clients ask before they do."""
    model = exchange.service.registry.named(exchange.params["model"])
    async with exchange.service.registry.use(model):
        return json_response({"status": "ok"})


_BODY = fields((), inputs=ANY, parameters=OBJECT)
#: What answers are of text that is streamed, of tasks that make pictures, and of those that make sounds.
_REPLIES = (MEDIA_TYPE, "image/png", "audio/wav")
_MEDIA: Sequence[str] = ("image/png", "image/jpeg", "audio/wav", "application/octet-stream")


def _route(path: str) -> Route:
    about = "One request of a model's task, as the Hub's clients send it."
    return Route("POST", path, answer, about, shapes.tei, _BODY, media_types=tuple(_MEDIA), other_replies=_REPLIES)


ROUTES = (
    Route("GET", "/models/{model}/health", model_health, "Whether a model can be asked.", shapes.tei, reply=OBJECT),
    _route("/models/{model}/pipeline/{task}"),
    _route("/pipeline/{task}"),
    _route("/models/{model}"),
    _route("/"),
)
