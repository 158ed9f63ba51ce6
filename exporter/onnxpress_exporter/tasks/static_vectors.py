"""sentence-similarity of a StaticEmbedding (model2vec): the mean over rows of a table, made in the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.static_embeddings import MODEL_TYPE, read_table
from onnxpress_exporter.tasks.outputs import hidden_size
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.tasks.sentence_head import read_weights

if TYPE_CHECKING:
    import torch

_NAME = "sentence_embedding"


def static_row(base: ExportTask) -> ExportTask:
    """The task's row for a checkpoint whose vectors are means over a table."""
    return replace(
        base,
        outputs=lambda model: (TensorInfo(_NAME, "float32", ("batch", hidden_size(model))),),
        load=_load,
        files_of_library=lambda checkpoint, model, folder, pickled: None,
    )


def _load(checkpoint: Checkpoint) -> Any:
    """The table as a module: int64 ids and mask (batch, sequence) -> float32 (batch, dimensions), zeros where a row has
    no token, as the library's are."""
    import torch
    from transformers import PretrainedConfig

    table = read_table(read_weights(checkpoint.model_folder, not checkpoint.safetensors), checkpoint.model_folder)

    class StaticEmbeddingModel(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(table.shape[0], table.shape[1], _weight=table)
            settings: Any = PretrainedConfig()
            settings.update({"hidden_size": table.shape[1], "vocab_size": table.shape[0]})
            settings.model_type = MODEL_TYPE
            self.config = settings

        def get_input_embeddings(self) -> torch.nn.Module:
            return self.embedding

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            counted = attention_mask[..., None].to(table.dtype)
            return {_NAME: (self.embedding(input_ids) * counted).sum(dim=1) / counted.sum(dim=1).clamp(min=1)}

    model: torch.nn.Module = StaticEmbeddingModel().requires_grad_(False).eval()
    return model
