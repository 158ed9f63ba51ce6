"""sentence-similarity of a model that gives all kinds of vectors in one pass (BGE-M3): dense, sparse, of tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnxpress.format.manifest import Postprocessing, TensorInfo, VectorsBeside
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.beside_vectors import LAYERS, LinearLayer, read_layers
from onnxpress_exporter.source.checkpoint import Checkpoint, load_tokenizer
from onnxpress_exporter.source.sentence_transformers import saved_model_type
from onnxpress_exporter.tasks.outputs import hidden_size
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.tasks.sequence_rows import rows_of

if TYPE_CHECKING:
    import torch

_DENSE, _WEIGHTS, _VECTORS = "sentence_embedding", "token_weights", "token_embeddings"
_FIRST = ("cls",)

#: Tokens that FlagEmbedding gives no weight, by the tokenizer's names of them.
_UNWEIGHTED = ("cls_token_id", "eos_token_id", "pad_token_id", "unk_token_id")


def beside_row(base: ExportTask, checkpoint: Checkpoint) -> ExportTask:
    """The task's row for a checkpoint with both layers beside its transformer."""
    return replace(
        base,
        outputs=lambda model: _outputs(checkpoint, model),
        by_rows=lambda model: _module(checkpoint, model),
        postprocessing=lambda checkpoint, model: _postprocessing(base, checkpoint, model),
        graphs_after=lambda checkpoint, model, pickled: (),
        compare_whole=base.compare_whole if saved_model_type(checkpoint.folder) else _compare_nothing,
    )


def _compare_nothing(checkpoint: Checkpoint, artifact: Any, session: Any, tokenizer: Any) -> str:
    """Of a folder without the library's files, which pools as the library does not."""
    return ""


def _layers(checkpoint: Checkpoint, model: Any) -> tuple[LinearLayer, LinearLayer]:
    return read_layers(checkpoint.folder, hidden_size(model), allow_pickled=checkpoint.allow_pickled)


def _outputs(checkpoint: Checkpoint, model: Any) -> tuple[TensorInfo, ...]:
    _, makes = _layers(checkpoint, model)
    return (
        TensorInfo(_DENSE, "float32", ("batch", hidden_size(model))),
        TensorInfo(_WEIGHTS, "float32", ("batch", "sequence")),
        TensorInfo(_VECTORS, "float32", ("batch", "sequence", len(makes.weight))),
    )


def _module(checkpoint: Checkpoint, model: Any) -> Any:
    """The transformer with the layers: the first token's state, and of each token relu of a number and a vector.

    The formulas are of Chen et al., BGE M3-Embedding, arXiv 2402.03216, as FlagEmbedding has them; what the runtime
    does: the largest weight of each token of the vocabulary, and the lengths of vectors.
    """
    import torch

    class Several(rows_of(model)):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weighs, self.makes = (
                _linear(layer.weight, layer.bias) for layer in _layers(checkpoint, self.checkpoint)
            )

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> dict[str, torch.Tensor]:
            types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            states = self.checkpoint(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
            return {
                _DENSE: states[:, 0],
                _WEIGHTS: torch.relu(self.weighs(states))[..., 0],
                _VECTORS: self.makes(states),
            }

    return Several().requires_grad_(False).eval()


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> torch.nn.Module:
    import torch

    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.load_state_dict({"weight": weight, "bias": bias})
    return layer


def _postprocessing(base: ExportTask, checkpoint: Checkpoint, model: Any) -> Postprocessing:
    """Of a folder of FlagEmbedding's alone, without the library's files, the first token's state made as long as 1.

    Raises:
        UnsupportedCheckpoint: its dense vectors are made in another way, or its rows are filled up at their beginning.
    """
    usual = base.postprocessing(checkpoint, model).embedding
    assert usual is not None, f"{base.name} makes vectors"
    if not saved_model_type(checkpoint.folder):
        usual = replace(usual, pooling=_FIRST, normalize=True)
    tokenizer = load_tokenizer(checkpoint, base.load_arguments(checkpoint))
    if usual.pooling != _FIRST or usual.dimensions != hidden_size(model) or tokenizer.padding_side != "right":
        raise UnsupportedCheckpoint(
            f"{checkpoint.source} has {' and '.join(LAYERS)}, which go with the state of a row's first token as dense "
            "vector; its own is made in another way. Without those files it can be exported for its dense vectors."
        )
    numbers = (getattr(tokenizer, name) for name in _UNWEIGHTED)
    beside = VectorsBeside(
        weights=_WEIGHTS,
        vocabulary=int(model.get_input_embeddings().weight.shape[0]),
        unweighted_ids=tuple(sorted({int(number) for number in numbers if number is not None})),
        vectors=_VECTORS,
    )
    return Postprocessing(embedding=replace(usual, pooling=(), beside=beside))
