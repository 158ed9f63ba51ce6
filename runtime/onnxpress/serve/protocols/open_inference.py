"""KServe's Open Inference Protocol, version 2, with the extension for binary tensors that Triton's client uses unasked.

A model takes its task's inputs by name, BYTES of shape [n]: `text` of most, the fields of the others. It gives
embeddings as FP32 [n, dimensions], labels as BYTES [n] with scores FP32 [n], and of anything else JSON as BYTES [n].
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

import onnxpress
from onnxpress.pipelines.table import TASKS
from onnxpress.serve import media
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import Response, json_response, parse_json
from onnxpress.serve.protocols.fields import check_count, needed, optional, whole_number
from onnxpress.serve.protocols.openai import embedder
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import OBJECT, TEXT, array, fields
from onnxpress.serve.served import ServedModel, State
from onnxpress.serve.service import Exchange, check_options
from onnxpress.serve.versions import AnyPipeline

_HEADER = "inference-header-content-length"

#: Tasks whose result is a label with a score, and options with which it is one.
_LABELLED: Mapping[str, Mapping[str, Any]] = {
    "text-classification": {"top_k": 1},
    "image-classification": {"top_k": 1},
    "audio-classification": {"top_k": 1},
}

_NUMBERS = {
    "BOOL": "?", "INT8": "<i1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8", "UINT8": "<u1", "UINT16": "<u2",
    "UINT32": "<u4", "UINT64": "<u8", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """A tensor of an answer: `values`, BYTES as a list of texts."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    values: NDArray[Any] | Sequence[str]


async def server(exchange: Exchange) -> Response:
    """Who serves, and what it can."""
    extensions = ["binary_tensor_data", "model_repository"]
    return json_response({"name": "onnxpress", "version": onnxpress.__version__, "extensions": extensions})


async def live(exchange: Exchange) -> Response:
    """The event loop answers."""
    return json_response({"live": True})


async def ready(exchange: Exchange) -> Response:
    """Every model that is not lazy is open."""
    is_ready = exchange.service.registry.ready and not exchange.service.draining
    return json_response({"ready": is_ready}, 200 if is_ready else 503)


async def model_ready(exchange: Exchange) -> Response:
    """A model is open, or is opened when it is asked for."""
    model = _model(exchange)
    is_ready = model.state is State.READY or (model.asked.lazy and model.state is State.CLOSED)
    return json_response({"name": model.name, "ready": is_ready}, 200 if is_ready else 503)


async def model_metadata(exchange: Exchange) -> Response:
    """A model's tensors."""
    model = _model(exchange)
    async with exchange.service.registry.use(model) as version:
        pipe = version.main
        content = {
            "name": model.name,
            "versions": ["1"],
            "platform": "onnxpress",
            "inputs": [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in _names(pipe)],
            "outputs": _declared(pipe),
        }
    return json_response(content)


async def model_config(exchange: Exchange) -> Response:
    """What Triton's clients read of a model's configuration."""
    model = _model(exchange)
    async with exchange.service.registry.use(model) as version:
        pipe = version.main
        kinds = {"BYTES": "TYPE_STRING", "FP32": "TYPE_FP32"}
        content = {
            "name": model.name,
            "platform": "onnxpress",
            "backend": "onnxpress",
            "max_batch_size": 0,
            "input": [{"name": name, "data_type": "TYPE_STRING", "dims": [-1]} for name in _names(pipe)],
            "output": [
                {"name": output["name"], "data_type": kinds[output["datatype"]], "dims": output["shape"]}
                for output in _declared(pipe)
            ],
        }
    return json_response(content)


async def repository(exchange: Exchange) -> Response:
    """Every model and whether it is open."""
    models = exchange.service.registry.models.values()
    states = {State.READY: "READY", State.LOADING: "LOADING"}
    return json_response(
        [{"name": model.name, "version": "1", "state": states.get(model.state, "UNAVAILABLE")} for model in models]
    )


async def infer(exchange: Exchange) -> Response:
    """Answers of a model's task."""
    request = exchange.request
    header, binary = await _parts(exchange)
    parameters = dict(optional(header, "parameters", dict, {}))
    binary_output = bool(parameters.pop("binary_data_output", False))
    timeout_us = parameters.pop("timeout", None)
    parameters.pop("priority", None)
    tensors = _tensors(header, binary)
    check_options(parameters)
    model = _model(exchange)
    async with exchange.service.registry.use(model) as version:
        pipe = version.main
        items = _items(pipe, tensors)
        check_count(items, "inputs", exchange.settings.most_rows)
        options = {**_LABELLED.get(pipe.task, {}), **parameters}
        timeout_s = timeout_us / 1e6 if isinstance(timeout_us, int) and timeout_us > 0 else None
        terms = exchange.terms(timeout_s)
        results = await exchange.answer(version, pipe.task, items, options, terms=terms)
        outputs = _outputs(pipe, results)
    wanted = header.get("outputs")
    asked = (
        {entry.get("name"): entry for entry in wanted if isinstance(entry, dict)} if isinstance(wanted, list) else {}
    )
    if asked:
        known = {output.name for output in outputs}
        for name in asked:
            if name not in known:
                raise RequestError(f"There is no output {name!r:.60}; there are: {', '.join(sorted(known))}.")
        outputs = [output for output in outputs if output.name in asked]
    return _reply(request, model.name, header.get("id"), outputs, asked, binary_output=binary_output)


async def _parts(exchange: Exchange) -> tuple[dict[str, Any], bytes]:
    """The JSON of a request, and the tensors behind it."""
    request = exchange.request
    length = request.headers.get(_HEADER)
    if length is None:
        return await request.fields(), b""
    body = await request.body()
    if not length.isdigit() or int(length) > len(body):
        raise RequestError(f"{_HEADER} is {length[:20]!r}, and the body has {len(body)} bytes.")
    header = parse_json(body[: int(length)])
    if not isinstance(header, dict):
        raise RequestError("The header of the body must be an object of JSON.")
    return header, body[int(length) :]


def _tensors(header: Mapping[str, Any], binary: bytes) -> dict[str, list[Any]]:
    """The inputs by name, each as a flat list."""
    tensors: dict[str, list[Any]] = {}
    place = 0
    for entry in needed(header, "inputs", list):
        if not isinstance(entry, dict):
            raise RequestError(f"An input must be an object, not {entry!r:.60}.")
        name, datatype = needed(entry, "name", str), needed(entry, "datatype", str)
        if datatype != "BYTES" and datatype not in _NUMBERS:
            raise RequestError(f"{name}: datatype {datatype[:20]!r} is not known; texts are BYTES.")
        shape = needed(entry, "shape", list)
        if not all(type(size) is int and size >= 0 for size in shape):
            raise RequestError(f"{name}: shape is {shape!r:.60}; it must be a list of sizes.")
        size = whole_number(optional(entry, "parameters", dict, {}), "binary_data_size", 0, len(binary))
        if size is None:
            values = _flat(needed(entry, "data", list))
        else:
            if place + size > len(binary):
                raise RequestError(f"{name}: {size} bytes are announced, and {len(binary) - place} are there.")
            values = _from_binary(name, datatype, binary[place : place + size])
            place += size
        count = int(np.prod(shape, dtype=np.int64)) if shape else 1
        if len(values) != count:
            raise RequestError(f"{name}: shape {shape} has {count} elements, and there are {len(values)}.")
        tensors[name] = values
    if not tensors:
        raise RequestError("inputs is empty.")
    return tensors


def _flat(values: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        flat.extend(_flat(value) if isinstance(value, list) else [value])
    return flat


def _from_binary(name: str, datatype: str, data: bytes) -> list[Any]:
    if datatype != "BYTES":
        try:
            return np.frombuffer(data, _NUMBERS[datatype]).tolist()  # type: ignore[no-any-return]
        except ValueError as error:
            raise RequestError(f"{name}: {error}.") from None
    values, place = [], 0
    while place < len(data):
        if place + 4 > len(data):
            raise RequestError(f"{name}: an element's length is cut off.")
        (length,) = struct.unpack_from("<I", data, place)
        place += 4
        if place + length > len(data):
            raise RequestError(f"{name}: an element of {length} bytes is cut off.")
        values.append(data[place : place + length])
        place += length
    return values


def _names(pipe: AnyPipeline) -> tuple[str, ...]:
    """What the inputs of a task are called here."""
    payload = TASKS[pipe.task].payload
    if media.takes_media(pipe) and not payload.fields:
        return ("content",)
    return ("text",) if payload.alone else payload.fields


def _items(pipe: AnyPipeline, tensors: Mapping[str, list[Any]]) -> list[Any]:
    """The inputs of a call: element i of every tensor is input i, unless all of a tensor belong together."""
    names, payload = _names(pipe), TASKS[pipe.task].payload
    known = dict.fromkeys((*names, *payload.fields, *payload.optional))
    columns: dict[str, list[Any]] = {}
    for name, values in tensors.items():
        field = names[0] if len(tensors) == 1 and len(names) == 1 else payload.synonyms.get(name, name)
        if field not in known:
            raise RequestError(f"There is no input {name!r:.60}; {pipe.task} takes: {', '.join(known)}.")
        columns[field] = [_value(pipe, field, value) for value in values]
    if payload.together and payload.text is not None and len(columns) > 1:
        return [{name: values if name == payload.text else values[0] for name, values in columns.items() if values}]
    if len(columns) == 1:
        return next(iter(columns.values()))
    if len({len(values) for values in columns.values()}) != 1:
        sizes = ", ".join(f"{name}: {len(values)}" for name, values in columns.items())
        raise RequestError(f"The inputs must have as many elements each ({sizes}).")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _value(pipe: AnyPipeline, field: str, value: Any) -> Any:
    if field in ("content", "image", "audio"):
        return value if isinstance(value, bytes) else media.opened(value, allow_urls=False)
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            raise RequestError(f"{field}: an element is no UTF-8.") from None
    if not isinstance(value, str):
        raise RequestError(f"{field}: {value!r:.40} is no text; send texts as BYTES, not token ids or numbers.")
    if not value:
        raise RequestError(f"{field}: an element is empty.")
    return value


def _declared(pipe: AnyPipeline) -> list[dict[str, Any]]:
    if pipe.task == "sentence-similarity":
        return [{"name": "embedding", "datatype": "FP32", "shape": [-1, embedder(pipe).get_embedding_dimension()]}]
    if pipe.task in _LABELLED:
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
        ]
    return [{"name": "json", "datatype": "BYTES", "shape": [-1]}]


def _outputs(pipe: AnyPipeline, results: Sequence[Any]) -> list[Output]:
    if pipe.task == "sentence-similarity" and not isinstance(results[0], list):
        vectors = np.stack(results).astype("<f4")
        return [Output("embedding", "FP32", vectors.shape, vectors)]
    if pipe.task in _LABELLED and all(isinstance(result, list) and len(result) == 1 for result in results):
        labels = [str(result[0]["label"]) for result in results]
        scores = np.array([result[0]["score"] for result in results], "<f4")
        return [Output("label", "BYTES", (len(labels),), labels), Output("score", "FP32", scores.shape, scores)]
    texts = [json_response(result).body for result in results]
    decoded = [text.decode() for text in texts if isinstance(text, bytes)]
    return [Output("json", "BYTES", (len(decoded),), decoded)]


def _reply(
    request: Any,
    model: str,
    request_id: Any,
    outputs: Sequence[Output],
    asked: Mapping[Any, Mapping[str, Any]],
    *,
    binary_output: bool,
) -> Response:
    listed, chunks = [], []
    for output in outputs:
        parameters = asked.get(output.name, {}).get("parameters")
        said = parameters.get("binary_data") if isinstance(parameters, dict) else None
        is_binary = binary_output if said is None else bool(said)
        entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": list(output.shape)}
        if is_binary:
            chunk = _to_binary(output)
            entry["parameters"] = {"binary_data_size": len(chunk)}
            chunks.append(chunk)
        else:
            entry["data"] = output.values.reshape(-1) if isinstance(output.values, np.ndarray) else list(output.values)
        listed.append(entry)
    content: dict[str, Any] = {"model_name": model, "model_version": "1", "outputs": listed}
    if isinstance(request_id, str):
        content["id"] = request_id
    if not chunks:
        return json_response(content)
    header: bytes = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    body = b"".join([header, *chunks])
    return Response(body, media_type="application/octet-stream", headers={_HEADER: str(len(header))})


def _to_binary(output: Output) -> bytes:
    if isinstance(output.values, np.ndarray):
        return output.values.tobytes()
    encoded = [text.encode() for text in output.values]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _model(exchange: Exchange) -> ServedModel:
    return exchange.service.registry.named(exchange.params["model"])


_TENSOR = fields(
    ("name", "datatype", "shape"), name=TEXT, datatype=TEXT, shape=array({"type": "integer"}), data=array({})
)
_INFER = fields(("inputs",), id=TEXT, inputs=array(_TENSOR), outputs=array(OBJECT), parameters=OBJECT)
_BASES = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")

ROUTES = (
    Route("GET", "/v2", server, "Who serves.", reply=OBJECT),
    Route("GET", "/v2/health/live", live, "Whether the server answers.", reply=OBJECT),
    Route("GET", "/v2/health/ready", ready, "Whether every model is open.", reply=OBJECT),
    Route("POST", "/v2/repository/index", repository, "Every model and its state.", reply=array(OBJECT)),
    *(
        route
        for base in _BASES
        for route in (
            Route("GET", f"{base}/ready", model_ready, "Whether a model is open.", reply=OBJECT),
            Route("GET", f"{base}/config", model_config, "A model's configuration.", reply=OBJECT),
            Route(
                "POST", f"{base}/infer", infer, "Answers of a model.", body=_INFER, reply=OBJECT,
                media_types=("application/octet-stream",),
            ),
            Route("GET", base, model_metadata, "A model's tensors.", reply=OBJECT),
        )
    ),
)  # fmt: skip
