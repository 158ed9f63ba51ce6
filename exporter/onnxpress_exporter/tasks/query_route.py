"""sentence-similarity of a model that reads queries by other modules than documents (a Router): a graph of it.

The whole way of a query up to its one vector is in that graph, pooling and the layers after it included: there are as
many ways as modules, and queries are short.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from onnxpress.format.manifest import EmbeddingSettings, Postprocessing, QueryRoute, TensorInfo
from onnxpress.layouts.sentence_files import SETTINGS
from onnxpress.pipelines.query_routes import QUERY_ROLE
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.source.checkpoint import Checkpoint, load_tokenizer, open_checkpoint
from onnxpress_exporter.source.fields import check_fields
from onnxpress_exporter.source.modules import (
    SPARSE_STATIC,
    SentenceModule,
    check_origin,
    queries_are_usual,
    query_modules,
)
from onnxpress_exporter.source.routers import as_model
from onnxpress_exporter.source.sentence_transformers import read_sentence_settings
from onnxpress_exporter.source.weights import read_json
from onnxpress_exporter.tasks.outputs import hidden_size
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.tasks.sentence_head import load_sentence_head, read_weights
from onnxpress_exporter.tasks.sequence_rows import rows_of
from onnxpress_exporter.tasks.text_graph import example_inputs, text_graph_inputs

if TYPE_CHECKING:
    import torch

_NAME, _ANSWER = "query_model", "sentence_embedding"
#: A tokenizer without a limit says a number far beyond.
_UNLIMITED = 10**9
#: What two tokenizers have in common that make the same tokens of a text.
_OF_TEXTS: Sequence[str] = ("added_tokens", "model", "normalizer", "pre_tokenizer")


@dataclass(frozen=True, slots=True)
class _Query:
    """What a query goes through: `module`, int64 ids and mask (batch, sequence) -> {"sentence_embedding": float32
    (batch, dimensions)}, and what stands around it."""

    module: Any
    tokenizer: Any
    route: QueryRoute


def with_queries(row: ExportTask, checkpoint: Checkpoint) -> ExportTask:
    """A row for documents with the graph of queries; the row itself, where they are read as documents are."""
    if not query_modules(checkpoint.folder):
        return row

    @cache
    def query() -> _Query:
        return _open(row, checkpoint)

    def postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
        plain = row.postprocessing(checkpoint, model)
        embedding = _embedding(plain)
        _check_tokenizers(load_tokenizer(checkpoint, row.load_arguments(checkpoint)), query(), checkpoint)
        return replace(plain, embedding=replace(embedding, query=query().route))

    def graphs_after(checkpoint: Checkpoint, model: Any, pickled: bool) -> Sequence[Traceable]:
        dimensions = _embedding(row.postprocessing(checkpoint, model)).dimensions
        return [*row.graphs_after(checkpoint, model, pickled), _traceable(query(), dimensions, checkpoint)]

    return replace(
        row,
        postprocessing=postprocessing,
        graphs_after=graphs_after,
        files_of_library=lambda checkpoint, model, folder, pickled: None,
    )


def _embedding(postprocessing: Postprocessing) -> EmbeddingSettings:
    assert postprocessing.embedding is not None, "the task makes vectors"
    return postprocessing.embedding


def _traceable(query: _Query, dimensions: int, checkpoint: Checkpoint) -> Traceable:
    """Raises:
    UnsupportedCheckpoint: its vectors are of another size than those of documents.
    """
    import torch

    output = TensorInfo(_ANSWER, "float32", ("batch", dimensions))
    inputs = text_graph_inputs(query.module, query.tokenizer)
    spec = GraphSpec(_NAME, inputs, (output,), QUERY_ROLE)
    part = Traceable(spec, query.module, example_inputs(spec, query.tokenizer))
    with torch.no_grad():
        size = query.module(**part.inputs)[_ANSWER].shape[-1]
    if size != dimensions:
        raise UnsupportedCheckpoint(
            f"{checkpoint.source}: vectors of queries have {size} numbers, those of documents {dimensions}."
        )
    return part


def _check_tokenizers(of_documents: Any, query: _Query, checkpoint: Checkpoint) -> None:
    """Refuse a model whose queries become other tokens than documents: an artifact has one tokenizer.

    Raises:
        UnsupportedCheckpoint: they do.
    """
    ours, theirs = (json.loads(tokenizer.backend_tokenizer.to_str()) for tokenizer in (of_documents, query.tokenizer))
    parts = (*_OF_TEXTS, "post_processor") if query.route.special_tokens else _OF_TEXTS
    if other := [part for part in parts if ours[part] != theirs[part]]:
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} reads queries with another tokenizer than documents (its {other[0]} is another); a "
            "Router can be exported whose routes have the same. Each route alone can be, as a model of its own."
        )


def _open(row: ExportTask, checkpoint: Checkpoint) -> _Query:
    """Raises:
    UnsupportedCheckpoint: it is read by modules that are not known, or differ from those of documents in kind.
    """
    modules = query_modules(checkpoint.folder)
    check_origin(checkpoint.folder, modules)
    usual = queries_are_usual(checkpoint.folder)
    first, rest = modules[0], [module.kind for module in modules[1:]]
    if first.kind == SPARSE_STATIC:
        if rest:
            raise UnsupportedCheckpoint(f"{first.folder}: {rest[0]} after {SPARSE_STATIC} is not supported.")
        return _weighed(first, checkpoint, usual)
    steps = tuple((module.type, module.folder) for module in modules)
    with as_model(steps, checkpoint.folder / SETTINGS) as folder:
        alone = open_checkpoint(
            folder,
            allow_pickled_weights=checkpoint.allow_pickled,
            trust_remote_code=checkpoint.trust_remote_code,
        )
        return _as_alone(row, alone, usual)


def _limit(tokenizer: Any, length: int | None) -> int | None:
    """The most tokens of a query, as the library cuts it; None: any number."""
    lengths = [number for number in (int(tokenizer.model_max_length), length) if number is not None]
    return least if (least := min(lengths)) < _UNLIMITED else None


def _weighed(module: SentenceModule, checkpoint: Checkpoint, usual: bool) -> _Query:
    """Weights of tokens from a table, no model: inference-free SPLADE (Geng et al., arXiv 2411.04403)."""
    from onnxpress_exporter.source.load_arguments import LoadArguments

    check_fields(read_json(module.folder / "config.json"), ("frozen",), module.folder / "config.json")
    tensors = read_weights(module.folder, checkpoint.allow_pickled)
    weights = tensors.get("weight")
    if weights is None or weights.ndim != 1:
        raise UnsupportedCheckpoint(f"{module.folder} has no weight for each token, but {', '.join(sorted(tensors))}.")
    tokenizer = load_tokenizer(replace(checkpoint, model_folder=module.folder, adapter=None), LoadArguments())
    route = QueryRoute(
        normalize=False,
        special_tokens=False,
        max_length=_limit(tokenizer, None),
        empty_is_zero=True,
        usual=usual,
    )
    return _Query(_weighing(weights.float()), tokenizer, route)


def _weighing(weights: torch.Tensor) -> Any:
    """A module: of each token of the vocabulary its weight, if the text has it, else 0."""
    import torch
    from transformers import PretrainedConfig

    class Weighing(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # One more, of weight 0, for places without a token.
            self.table = torch.nn.Parameter(torch.cat([weights, weights.new_zeros(1)]), requires_grad=False)
            settings: Any = PretrainedConfig()
            settings.model_type = SPARSE_STATIC
            self.config = settings

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            last = self.table.shape[0] - 1
            ids = torch.where(attention_mask > 0, input_ids, last)
            dense = torch.zeros(ids.shape[0], last + 1).scatter(1, ids, self.table[ids])
            return {_ANSWER: dense[:, :last]}

    return Weighing().eval()


def _as_alone(row: ExportTask, alone: Checkpoint, usual: bool) -> _Query:
    """What a model of the same kind would do that had the modules of queries alone."""
    from onnxpress_exporter.tasks.loading import load_model

    suited = row if row.suited(alone) is None else row.suited(alone)
    assert suited is not None
    arguments = suited.load_arguments(alone)
    model, tokenizer = load_model(alone, row.name), load_tokenizer(alone, arguments)
    embedding = _embedding(suited.postprocessing(alone, model))
    module = suited.by_rows(model)
    if embedding.pooling:
        if not embedding.include_prompt:
            raise UnsupportedCheckpoint(f"{alone.source}: queries are pooled without their prompt, which is refused.")
        settings = read_sentence_settings(alone.folder, hidden_size(model))
        head = load_sentence_head(settings, allow_pickled_weights=alone.allow_pickled) if settings.dense else None
        module = _pooled(model, module, embedding.pooling, head)
    route = QueryRoute(
        normalize=embedding.normalize,
        special_tokens=not arguments.plain,
        max_length=_limit(tokenizer, embedding.max_length),
        empty_is_zero=embedding.empty_is_zero,
        usual=usual,
    )
    return _Query(module, tokenizer, route)


def _pooled(model: Any, rows: Any, modes: Sequence[str], head: Any) -> Any:
    """The transformer with pooling by `modes`, concatenated, and the layers after it.

    Raises:
        UnsupportedCheckpoint: a mode is none of those that graphs have.
    """
    import torch

    if unknown := [mode for mode in modes if mode not in ("cls", "mean", "max")]:
        raise UnsupportedCheckpoint(f"Queries are pooled by {unknown[0]}; by cls, mean and max they can be.")

    class Pooled(rows_of(model)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.rows, self.head = rows, head

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> dict[str, torch.Tensor]:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            states = self.rows(input_ids=input_ids, attention_mask=attention_mask, **types)[0]
            counts = attention_mask[..., None].to(states.dtype)
            pooled = {
                "cls": lambda: states[:, 0],
                "mean": lambda: (states * counts).sum(dim=1) / counts.sum(dim=1).clamp(min=1e-9),
                "max": lambda: states.masked_fill(counts == 0, float("-inf")).amax(dim=1),
            }
            vectors = torch.cat([pooled[mode]() for mode in modes], dim=-1)
            return {_ANSWER: vectors} if self.head is None else self.head(vectors)

    return Pooled().eval()
