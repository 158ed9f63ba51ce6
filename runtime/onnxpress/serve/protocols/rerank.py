"""Rerank in the shapes of Cohere, Jina and text-embeddings-inference, on one set of addresses.

`texts` asks in TEI's shape, `documents` in Cohere's and Jina's. What was cut is said: these services cut by contract.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from onnxpress.errors import InputError
from onnxpress.serve import shapes
from onnxpress.serve.errors import RequestError
from onnxpress.serve.http import Response, json_response
from onnxpress.serve.protocols.fields import check_count, needed, optional, whole_number
from onnxpress.serve.routes import Route
from onnxpress.serve.schemas import COUNT, OBJECT, TEXT, TRUTH, array, either, fields
from onnxpress.serve.service import Exchange, task_of

RANKERS = ("text-ranking",)


async def rerank(exchange: Exchange) -> Response:
    """Texts ordered by how well they answer a query."""
    body = await exchange.request.fields()
    query = needed(body, "query", str)
    of_tei = "texts" in body
    name = "texts" if of_tei else "documents"
    listed = needed(body, name, list)
    if not query or not listed:
        raise RequestError(f"{'query' if not query else name} is empty.")
    check_count(listed, name, exchange.settings.most_rows)
    documents = [_text(document, f"{name}[{place}]", body) for place, document in enumerate(listed)]
    best = None if of_tei else whole_number(body, "top_n", 0, 2**31)
    options: dict[str, Any] = {"top_k": best} if best else {}
    if of_tei and optional(body, "raw_scores", bool, False):
        options["function_to_apply"] = "none"
    elif not of_tei:
        options["function_to_apply"] = "sigmoid"  # scores are from 0 to 1 there
    if (length := whole_number(body, "max_tokens_per_doc", 1, 2**31)) is not None:
        options["max_length"] = length
    model = exchange.model(RANKERS, body.get("model"))
    truncate = optional(body, "truncate", bool, not of_tei)
    async with exchange.service.registry.use(model) as version:
        task = task_of(version, RANKERS)
        if (limit := getattr(version.pipelines[task], "max_seq_length", None)) is not None and "max_length" in options:
            options["max_length"] = min(options["max_length"], limit)
        [ranked] = await exchange.answer(
            version, task, [{"query": query, "documents": documents}], options, truncate=truncate
        )
    if of_tei:
        shown = optional(body, "return_text", bool, False)
        return json_response([{**entry, "text": documents[entry["index"]]} if shown else entry for entry in ranked])
    shown = optional(body, "return_documents", bool, False)
    results = [
        {
            "index": entry["index"],
            "relevance_score": entry["score"],
            **({"document": {"text": documents[entry["index"]]}} if shown else {}),
        }
        for entry in ranked
    ]
    used = exchange.figures.tokens
    meta: dict[str, Any] = {
        "api_version": {"version": "2"},
        "billed_units": {"search_units": 1},
        "tokens": {"input_tokens": used, "output_tokens": 0},
    }
    if exchange.figures.cut:
        meta["warnings"] = [
            f"documents[{cut.part}] with the query has {cut.tokens} tokens; the model read {cut.left}."
            for cut in exchange.figures.cut
        ]
    usage = {"prompt_tokens": used, "total_tokens": used}
    content = {"id": uuid.uuid4().hex, "model": model.name, "results": results, "meta": meta, "usage": usage}
    return json_response(content)


def _text(document: Any, where: str, body: Mapping[str, Any]) -> str:
    if isinstance(document, str):
        return document
    if isinstance(document, Mapping):
        names = body.get("rank_fields") or ["text"]
        parts = (
            [document[name] for name in names if isinstance(document.get(name), str)] if isinstance(names, list) else []
        )
        if parts:
            return "\n".join(parts)
    raise InputError(f"{where} must be a text, or an object with one as 'text', not {document!r:.60}.")


_BODY = fields(
    ("query",),
    query=TEXT,
    documents=array(either(TEXT, OBJECT)),
    texts=array(TEXT),
    model=TEXT,
    top_n=COUNT,
    return_documents=TRUTH,
    return_text=TRUTH,
    raw_scores=TRUTH,
    truncate=TRUTH,
    max_tokens_per_doc=COUNT,
)

ROUTES = tuple(
    Route("POST", path, rerank, "Texts ordered by how well they answer a query.", shapes.cohere, _BODY)
    for path in ("/rerank", "/v1/rerank", "/v2/rerank", "/models/{model}/rerank", "/models/{model}/v1/rerank",
                 "/models/{model}/v2/rerank")
)  # fmt: skip
