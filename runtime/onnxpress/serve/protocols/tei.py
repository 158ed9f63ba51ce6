"""The native routes of text-embeddings-inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnxpress
from onnxpress.errors import InputError
from onnxpress.pipelines.beside_vectors import SPARSE, kinds_of
from onnxpress.serve import shapes
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import Response, json_response
from onnxpress.serve.protocols.fields import check_count, needed, optional, texts
from onnxpress.serve.protocols.openai import EMBEDDERS, asked_options, embedder, embedding_options
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import ANY, COUNT, OBJECT, SCORES, TEXT, TEXTS, TRUTH, VECTORS, array, either, fields
from onnxpress.serve.served import ServedModel
from onnxpress.serve.service import Exchange, task_of
from onnxpress.serve.versions import AnyPipeline

CLASSIFIERS = ("text-classification",)
READERS = ("feature-extraction",)

#: Whose tokenizer is asked where a request names no model: any that has one.
_WITH_TEXTS = (*EMBEDDERS, *CLASSIFIERS, *READERS, "text-ranking", "token-classification", "fill-mask",
               "question-answering", "text-generation", "zero-shot-classification")  # fmt: skip


async def _asked(exchange: Exchange, tasks: Sequence[str]) -> tuple[dict[str, Any], list[str], ServedModel, bool]:
    """A body, its texts, the model that is meant, and whether texts are cut."""
    body = await exchange.request.fields()
    inputs, _ = texts(body, "inputs", exchange.settings.most_rows)
    return body, inputs, exchange.model(tasks, body.get("model")), _truncate(body)


async def embed(exchange: Exchange) -> Response:
    """Vectors of texts, a list even of one; normalized unless the request says otherwise."""
    body, inputs, model, truncate = await _asked(exchange, EMBEDDERS)
    async with exchange.service.registry.use(model) as version:
        task = task_of(version, EMBEDDERS)
        settings = {**body, "normalize": optional(body, "normalize", bool, True), "kinds": None}
        options = embedding_options(version.pipelines[task], settings, any_dimensions=exchange.settings.any_dimensions)
        vectors = await exchange.answer(version, task, inputs, options, truncate=truncate)
    return json_response(vectors)


async def embed_sparse(exchange: Exchange) -> Response:
    """The numbers of sparse vectors that are not 0, a list of them for each text."""
    body, inputs, model, truncate = await _asked(exchange, EMBEDDERS)
    async with exchange.service.registry.use(model) as version:
        task = task_of(version, EMBEDDERS)
        pipe = embedder(version.pipelines[task])
        if SPARSE not in kinds_of(pipe.embedding):
            raise RequestError("This model makes no sparse vectors: POST /embed.")
        options = {**asked_options(pipe, body), "kinds": (SPARSE,)}
        vectors = await exchange.answer(version, task, inputs, options, truncate=truncate)
    return json_response([_weights(vector[SPARSE]) for vector in vectors])


def _weights(vector: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = zip(vector["indices"].tolist(), vector["values"].tolist(), strict=True)
    return [{"index": index, "value": value} for index, value in pairs]


async def embed_all(exchange: Exchange) -> Response:
    """The states of every token of texts."""
    _, inputs, model, truncate = await _asked(exchange, READERS)
    async with exchange.service.registry.use(model) as version:
        task = task_of(version, READERS)
        options = {"return_tensors": "np", **({"truncation": True} if truncate else {})}
        states = await exchange.answer(version, task, inputs, options)
    return json_response([state[0] for state in states])


async def predict(exchange: Exchange) -> Response:
    """The labels of a text, of a pair [a, b], or of several [[a], [a, b]]."""
    body = await exchange.request.fields()
    value = body.get("inputs")
    many = isinstance(value, list) and bool(value) and isinstance(value[0], list)
    items = [_item(item) for item in (value if many and isinstance(value, list) else [value])]
    check_count(items, "inputs", exchange.settings.most_rows)
    options: dict[str, Any] = {"top_k": None}
    if optional(body, "raw_scores", bool, False):
        options["function_to_apply"] = "none"
    if _truncate(body):
        options["truncation"] = True
    model = exchange.model(CLASSIFIERS, body.get("model"))
    async with exchange.service.registry.use(model) as version:
        labels = await exchange.answer(version, task_of(version, CLASSIFIERS), items, options)
    return json_response(labels if many else labels[0])


async def similarity(exchange: Exchange) -> Response:
    """How similar texts are to one."""
    body = await exchange.request.fields()
    compared = needed(body, "inputs", dict)
    source, sentences = (
        needed(compared, "source_sentence", str),
        texts(compared, "sentences", exchange.settings.most_rows),
    )
    parameters = optional(body, "parameters", dict, {})
    options = {"prompt_name": parameters["prompt_name"]} if "prompt_name" in parameters else {}
    model = exchange.model(EMBEDDERS, body.get("model"))
    item = {"source_sentence": source, "sentences": sentences[0]}
    truncate = optional(parameters, "truncate", bool, False)
    async with exchange.service.registry.use(model) as version:
        results = await exchange.answer(version, task_of(version, EMBEDDERS), [item], options, truncate=truncate)
    return json_response(results[0])


async def tokenize(exchange: Exchange) -> Response:
    """The tokens of texts."""
    body = await exchange.request.fields()
    inputs, _ = texts(body, "inputs", exchange.settings.most_rows)
    special = optional(body, "add_special_tokens", bool, True)
    async with exchange.service.registry.use(exchange.model(_WITH_TEXTS, body.get("model"))) as version:
        tokenizer = _tokenizer(version.main)
        encodings = [tokenizer.encode(text, special_tokens=special) for text in inputs]
        listed = [
            [
                {"id": token, "text": tokenizer.decode([token]), "special": bool(is_special),
                 "start": None if is_special else start, "stop": None if is_special else stop}
                for token, is_special, (start, stop) in zip(
                    encoding.ids, encoding.special_tokens_mask, encoding.offsets, strict=True
                )
            ]
            for encoding in encodings
        ]  # fmt: skip
    return json_response(listed)


async def decode(exchange: Exchange) -> Response:
    """The texts of token ids."""
    body = await exchange.request.fields()
    ids = needed(body, "ids", list)
    rows = ids if ids and isinstance(ids[0], list) else [ids]
    for row in rows:
        if not isinstance(row, list) or not all(type(token) is int and 0 <= token < 2**31 for token in row):
            raise RequestError("ids must be a list of token ids, or a list of such lists.")
    skips = optional(body, "skip_special_tokens", bool, True)
    async with exchange.service.registry.use(exchange.model(_WITH_TEXTS, body.get("model"))) as version:
        tokenizer = _tokenizer(version.main)
        for row in rows:
            tokenizer.check_ids(row)
        decoded = [tokenizer.decode(row, skip_special_tokens=skips) for row in rows]
    return json_response(decoded)


async def info(exchange: Exchange) -> Response:
    """What the model is and what the server takes."""
    model = exchange.model(_WITH_TEXTS)
    async with exchange.service.registry.use(model) as version:
        main, settings = version.main, exchange.settings
        content = {
            "model_id": model.name,
            "model_sha": None,
            "model_dtype": main.precision,
            "model_type": _kind(main),
            "max_concurrent_requests": settings.most_rows,
            "max_input_length": getattr(main, "max_seq_length", None),
            "max_client_batch_size": settings.most_rows,
            "auto_truncate": False,
            "tokenization_workers": 2,
            "version": onnxpress.__version__,
            "onnxpress": model.status(),
        }
    return json_response(content)


async def ping(exchange: Exchange) -> Response:
    """TEI's name of a short request that says that the server answers."""
    return json_response({"status": "ok"})


def _truncate(body: Mapping[str, Any]) -> bool:
    if str(optional(body, "truncation_direction", str, "right")).lower() != "right":
        raise RequestError("truncation_direction can only be 'right' here: send the end of the text to keep that.")
    truncate: bool = optional(body, "truncate", bool, False)
    return truncate


def _item(value: Any) -> Any:
    match value:
        case str(text) if text:
            return text
        case [str(text)] if text:
            return text
        case [str(text), str(pair)] if text:
            return {"text": text, "text_pair": pair}
    raise RequestError(f"inputs must be a text, a pair [a, b], or a list [[a], [a, b]], and not empty: {value!r:.60}.")


def _tokenizer(pipe: AnyPipeline) -> Any:
    if pipe.loaded.tokenizer is None:
        raise InputError(f"{pipe.task} reads no texts, so there are no tokens.")
    return pipe.loaded.tokenizer


def _kind(pipe: AnyPipeline) -> Mapping[str, Any]:
    if pipe.task in EMBEDDERS:
        return {"embedding": {"pooling": str(embedder(pipe).embedding.pooling)}}
    if pipe.task == "text-ranking":
        return {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
    if pipe.task in CLASSIFIERS:
        from onnxpress.pipelines.labels import answer_labels

        labels = answer_labels(pipe)
        named = {str(place): label for place, label in enumerate(labels)}
        return {"classifier": {"id2label": named, "label2id": {label: place for place, label in enumerate(labels)}}}
    return {"task": pipe.task}


_TRUNCATED = {"truncate": TRUTH, "truncation_direction": TEXT, "model": TEXT}
_PAIRS = either(TEXT, array(either(TEXT, array(TEXT))))

ROUTES = (
    Route(
        "POST", "/embed", embed, "Vectors of texts.", shapes.tei,
        fields(("inputs",), inputs=TEXTS, normalize=TRUTH, prompt_name=TEXT, dimensions=COUNT, **_TRUNCATED), VECTORS,
    ),
    Route(
        "POST", "/embed_sparse", embed_sparse, "Sparse vectors of texts.", shapes.tei,
        fields(("inputs",), inputs=TEXTS, prompt_name=TEXT, **_TRUNCATED),
        array(array(fields(index={"type": "integer", "minimum": 0}, value={"type": "number"}))),
    ),
    Route(
        "POST", "/embed_all", embed_all, "The states of every token.", shapes.tei,
        fields(("inputs",), inputs=TEXTS, **_TRUNCATED), array(VECTORS),
    ),
    Route(
        "POST", "/predict", predict, "The labels of texts and pairs.", shapes.tei,
        fields(("inputs",), inputs=_PAIRS, raw_scores=TRUTH, **_TRUNCATED), either(SCORES, array(SCORES)),
    ),
    Route(
        "POST", "/similarity", similarity, "How similar texts are to one.", shapes.tei,
        fields(("inputs",), inputs=fields(("source_sentence", "sentences"), source_sentence=TEXT, sentences=TEXTS),
               parameters=OBJECT, model=TEXT), array({"type": "number"}),
    ),
    Route(
        "POST", "/tokenize", tokenize, "The tokens of texts.", shapes.tei,
        fields(("inputs",), inputs=TEXTS, add_special_tokens=TRUTH, model=TEXT), array(array(OBJECT)),
    ),
    Route(
        "POST", "/decode", decode, "The texts of token ids.", shapes.tei,
        fields(("ids",), ids=array(ANY), skip_special_tokens=TRUTH, model=TEXT), array(TEXT),
    ),
    Route("GET", "/info", info, "What the model is and what the server takes.", shapes.tei, reply=OBJECT),
    Route("GET", "/models/{model}/info", info, "What a model is.", shapes.tei, reply=OBJECT),
    Route("GET", "/ping", ping, "Whether the server answers.", shapes.tei, reply=OBJECT),
)  # fmt: skip
