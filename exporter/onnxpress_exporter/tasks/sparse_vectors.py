"""sentence-similarity of a SparseEncoder (SPLADE): a weight for each token of the vocabulary, made in the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnxpress.format.manifest import EmbeddingSettings, Postprocessing, TensorInfo
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.sparse_encoders import SparseSettings, read_sparse_settings, sparse_load_arguments
from onnxpress_exporter.tasks.fill_mask import FILL_MASK
from onnxpress_exporter.tasks.outputs import vocabulary_logits
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.tasks.sequence_rows import rows_of
from onnxpress_exporter.tasks.whole import compare_with_library, our_sparse_vectors, their_sparse_vectors

if TYPE_CHECKING:
    import torch

_NAME = "sentence_embedding"


def sparse_row(base: ExportTask, checkpoint: Checkpoint) -> ExportTask:
    """The task's row for a checkpoint with the head of a masked language model.

    Raises:
        UnsupportedCheckpoint: its files are not understood.
    """
    settings = read_sparse_settings(checkpoint.folder)
    return replace(
        base,
        head=FILL_MASK.head,
        outputs=lambda model: (TensorInfo(_NAME, "float32", ("batch", _width(model))),),
        by_rows=lambda model: _pooled(model, settings),
        postprocessing=lambda checkpoint, model: _postprocessing(settings, _width(model)),
        load_arguments=lambda checkpoint: sparse_load_arguments(checkpoint.folder),
        compare_whole=compare_with_library("SparseEncoder", their_sparse_vectors, our_sparse_vectors),
        graphs_after=lambda checkpoint, model, pickled: (),
        files_of_library=lambda checkpoint, model, folder, pickled: None,
    )


def _width(model: Any) -> int:
    (logits,) = vocabulary_logits(model)
    return int(logits.axes[-1])


def _postprocessing(settings: SparseSettings, width: int) -> Postprocessing:
    return Postprocessing(
        embedding=EmbeddingSettings(
            pooling=(),
            dimensions=width,
            normalize=False,
            prompts=dict(settings.prompts),
            default_prompt_name=settings.default_prompt_name,
            max_length=settings.max_seq_length,
            similarity=settings.similarity,
            kind="sparse",
        )
    )


def _pooled(model: Any, settings: SparseSettings) -> Any:
    """A module: the largest, or the sum, over a text's tokens of log(1 + relu(score)), for each of the vocabulary.

    The formula is of Formal et al., SPLADE v2, arXiv 2109.10086; log taken twice of arXiv 2504.14839.
    """
    import torch

    class Weights(rows_of(model)):  # type: ignore[misc]
        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> dict[str, torch.Tensor]:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            scores = self.checkpoint(input_ids=input_ids, attention_mask=attention_mask, **types).logits
            weights = torch.log1p(torch.relu(scores * attention_mask[..., None]))
            if settings.twice:
                weights = torch.log1p(weights)
            return {_NAME: weights.amax(dim=1) if settings.strategy == "max" else weights.sum(dim=1)}

    return Weights().eval()
