"""OpenAI's protocol: /v1/models and /v1/embeddings."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.pipelines.beside_vectors import DENSE, SPARSE, TOKENS, check_kinds
from onnxpress.pipelines.files import read_json
from onnxpress.pipelines.sentence_similarity import SentenceSimilarity
from onnxpress.pipelines.token_roles import ROLES
from onnxpress.pipelines.vector_kinds import KINDS
from onnxpress.serve import shapes
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import Response, json_response
from onnxpress.serve.protocols.fields import FOREIGN, is_token_ids, optional, texts, whole_number
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import ANY, COUNT, OBJECT, TEXT, TEXTS, TRUTH, array, fields
from onnxpress.serve.served import ServedModel
from onnxpress.serve.service import Exchange, task_of
from onnxpress.serve.versions import AnyPipeline, Version

EMBEDDERS = ("sentence-similarity",)

_ENCODINGS = ("float", "base64")


async def list_models(exchange: Exchange) -> Response:
    """Every model, open or not."""
    models = exchange.service.registry.models.values()
    return json_response({"object": "list", "data": [_described(exchange, model) for model in models]})


async def show_model(exchange: Exchange) -> Response:
    """One of them."""
    model = exchange.service.registry.named(exchange.params["model"])
    return json_response(_described(exchange, model))


async def embed(exchange: Exchange) -> Response:
    """Vectors of texts."""
    body = await exchange.request.fields()
    encoding = optional(body, "encoding_format", str, "float")
    if encoding not in _ENCODINGS:
        raise RequestError(f"encoding_format is {encoding[:40]!r}; it must be one of {', '.join(_ENCODINGS)}.")
    model = exchange.model(EMBEDDERS, body.get("model"))
    truncate = optional(body, "truncate", bool, False)
    inputs = _inputs(exchange, body)
    async with exchange.service.registry.use(model) as version:
        task = task_of(version, EMBEDDERS)
        options = embedding_options(version.pipelines[task], body, any_dimensions=exchange.settings.any_dimensions)
        vectors = await exchange.answer(version, task, inputs, options, truncate=truncate)
    data = [
        {"object": "embedding", "index": place, **_as_fields(vector, encoding)} for place, vector in enumerate(vectors)
    ]
    used = exchange.figures.tokens
    usage = {"prompt_tokens": used, "total_tokens": used}
    return json_response({"object": "list", "data": data, "model": model.name, "usage": usage})


def encoded(vector: NDArray[np.float32], encoding: str) -> Any:
    """A vector as numbers, or as base64 of float32, the lowest byte first."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii") if encoding == "base64" else vector


def as_asked(vector: Any, encoding: str) -> Any:
    """A text's vector; of a request that says which kinds it wants, each under its name."""
    if not isinstance(vector, Mapping):
        return encoded(vector, encoding)
    named = dict(vector)
    if DENSE in named:
        named[DENSE] = encoded(named[DENSE], encoding)
    if TOKENS in named:
        named[TOKENS] = [encoded(row, encoding) for row in named[TOKENS]]
    return named


def _as_fields(vector: Any, encoding: str) -> dict[str, Any]:
    """The same, the dense one where OpenAI's clients read it whatever they asked for: empty where there is none."""
    asked = as_asked(vector, encoding)
    return {"embedding": asked.pop(DENSE, []), **asked} if isinstance(asked, dict) else {"embedding": asked}


def embedder(pipe: AnyPipeline) -> SentenceSimilarity:
    """A pipeline that makes vectors, as what it is."""
    if not isinstance(pipe, SentenceSimilarity):
        raise RequestError(f"{pipe.task} makes no vectors of texts.")
    return pipe


def embedding_options(made_by: AnyPipeline, body: Any, *, any_dimensions: bool) -> dict[str, Any]:
    """The options of a call that a body asks for: `dimensions`, `normalize`, and what `asked_options` has.

    Raises:
        RequestError: the model was not trained for vectors that are cut, or makes no dense ones.
    """
    pipe = embedder(made_by)
    options = asked_options(pipe, body)
    if "kinds" not in options and pipe.embedding.kind != DENSE:
        kind = pipe.embedding.kind
        raise RequestError(
            f'This model makes no dense vectors, but others: say "kinds": ["{kind}"] in /v1/embeddings'
            + (", or POST /embed_sparse." if kind == SPARSE else ".")
        )
    size = pipe.get_embedding_dimension()
    dimensions = whole_number(body, "dimensions", 1, size)
    if (normalize := optional(body, "normalize", bool)) is not None:
        # Vectors that the checkpoint normalizes are as it makes them: once more would change their last bits.
        options["normalize"] = None if normalize and pipe.embedding.normalize else normalize
    if dimensions is None or dimensions == size:
        return options
    if not (any_dimensions or _is_matryoshka(pipe)):
        raise RequestError(
            f"dimensions is {dimensions}, and nothing says that this model's vectors of {size} may be cut: leave it "
            "out, or start the server with --any-dimensions.",
            code="dimensions",
        )
    return {**options, "dimensions": dimensions, "normalize": True}


def asked_options(pipe: SentenceSimilarity, body: Any) -> dict[str, Any]:
    """What a body says of how a text is read, and which of its vectors are wanted: `prompt_name`, `role`, `kinds`."""
    options: dict[str, Any] = {}
    if (role := optional(body, "role", str)) is not None:
        options |= pipe.as_role(role)
    if (prompt := optional(body, "prompt_name", str)) is not None:
        options["prompt_name"] = prompt
    if (kinds := optional(body, "kinds", list)) is not None:
        check_kinds(kinds, pipe.embedding)
        options["kinds"] = tuple(kinds)
    return options


def _is_matryoshka(pipe: SentenceSimilarity) -> bool:
    if pipe.embedding.truncate_dimensions is not None:
        return True
    config = read_json(pipe.artifact, "config.json")
    return bool(config.get("is_matryoshka") or config.get("matryoshka_dimensions"))


def _inputs(exchange: Exchange, body: Any) -> list[Any]:
    value = body.get("input")
    if isinstance(value, list) and value and is_token_ids(value):
        raise RequestError(f"input {FOREIGN}", code="token_ids")
    inputs, _ = texts(body, "input", exchange.settings.most_rows)
    return list(inputs)


def _described(exchange: Exchange, model: ServedModel) -> dict[str, Any]:
    version: Version | None = model.version
    created = int(exchange.service.started) if version is None else version.created
    entry: dict[str, Any] = {"id": model.name, "object": "model", "created": created, "owned_by": "onnxpress"}
    return entry | {"onnxpress": model.status()}


_EMBED = fields(
    ("input",),
    input=TEXTS,  # token ids are refused
    model=TEXT,
    dimensions=COUNT,
    encoding_format={"type": "string", "enum": list(_ENCODINGS)},
    truncate=TRUTH,
    prompt_name=TEXT,
    role={"type": "string", "enum": list(ROLES)},
    kinds=array({"type": "string", "enum": list(KINDS)}, least=1),
    user=ANY,
)

ROUTES = (
    Route("GET", "/v1/models", list_models, "Every model.", shapes.openai, reply=OBJECT),
    Route("GET", "/v1/models/{model}", show_model, "One model.", shapes.openai, reply=OBJECT),
    Route("POST", "/v1/embeddings", embed, "Vectors of texts.", shapes.openai, _EMBED, OBJECT),
    Route("POST", "/models/{model}/v1/embeddings", embed, "Vectors of texts.", shapes.openai, _EMBED, OBJECT),
    Route("POST", "/embeddings", embed, "Vectors of texts.", shapes.openai, _EMBED, OBJECT),
)
