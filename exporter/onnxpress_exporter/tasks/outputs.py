"""The outputs of a model's graph, by the kind of its head: float32, named axes and sizes from the model's config."""

from __future__ import annotations

from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.errors import UnsupportedCheckpoint

_BATCH, _SEQUENCE = "batch", "sequence"


def sequence_logits(model: Any) -> tuple[TensorInfo, ...]:
    """ "logits" (batch, labels)."""
    return (TensorInfo("logits", "float32", (_BATCH, _num_labels(model))),)


def token_logits(model: Any) -> tuple[TensorInfo, ...]:
    """ "logits" (batch, sequence, labels)."""
    return (TensorInfo("logits", "float32", (_BATCH, _SEQUENCE, _num_labels(model))),)


def vocabulary_logits(model: Any) -> tuple[TensorInfo, ...]:
    """ "logits" (batch, sequence, vocabulary)."""
    return (TensorInfo("logits", "float32", (_BATCH, _SEQUENCE, _vocabulary(model))),)


def span_logits(model: Any) -> tuple[TensorInfo, ...]:
    """ "start_logits" and "end_logits" (batch, sequence)."""
    axes = (_BATCH, _SEQUENCE)
    return (
        TensorInfo("start_logits", "float32", axes),
        TensorInfo("end_logits", "float32", axes),
    )


def hidden_states(model: Any) -> tuple[TensorInfo, ...]:
    """ "last_hidden_state" (batch, sequence, hidden)."""
    axes = (_BATCH, _SEQUENCE, hidden_size(model))
    return (TensorInfo("last_hidden_state", "float32", axes),)


def hidden_size(model: Any) -> int:
    """Width of the model's last hidden state.

    Raises:
        UnsupportedCheckpoint: its config does not tell.
    """
    config = model.config
    for name in ("hidden_size", "d_model", "dim", "n_embd"):
        if isinstance(getattr(config, name, None), int):
            return int(getattr(config, name))
    raise UnsupportedCheckpoint(f"{type(config).__name__} does not tell the model's hidden size.")


def _num_labels(model: Any) -> int:
    return int(model.config.num_labels)


def _vocabulary(model: Any) -> int:
    """Width of the masked-LM head, which may exceed or fall short of config.vocab_size."""
    head = model.get_output_embeddings()
    weight = getattr(head, "weight", None)
    return int(model.config.vocab_size if weight is None else weight.shape[0])
