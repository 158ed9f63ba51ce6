"""Models that compute something else at another length of a text, which no graph can follow: refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxpress_exporter.errors import UnsupportedCheckpoint

_KINDS: Mapping[str, str] = {
    "funnel": "it counts its relative positions in Python, for one length",
    "reformer": "it hashes and sorts its input in chunks of a fixed length",
}


def refuse_length_dependent(model: Any) -> None:
    """Whether it reads or writes: only lengths that differ in kind from the traced ones would show a wrong graph.

    Raises:
        UnsupportedCheckpoint: the model's computation changes with the length.
    """
    config = model.config
    kind = str(config.model_type)
    reason = _KINDS.get(kind)
    if kind == "nystromformer" and config.num_landmarks != config.segment_means_seq_len:
        reason = (
            f"it takes the means of {config.num_landmarks} segments of exactly {config.segment_means_seq_len} tokens "
            "(num_landmarks and segment_means_seq_len in its config.json; where they are equal, it attends in full)"
        )
    if reason is not None:
        raise UnsupportedCheckpoint(f"{type(model).__name__} cannot be one graph for all lengths: {reason}.")
    if getattr(config, "attention_type", None) == "block_sparse" and not _continues_in_full(config):
        raise UnsupportedCheckpoint(
            f"{type(model).__name__} attends to blocks above some length and to everything below it, which cannot be "
            'one graph. Set "attention_type": "original_full" in its config.json to export it with full attention.'
        )


def _continues_in_full(config: Any) -> bool:
    """Whether it continues text and so attends in full: BigBird's from its first short text on (blocks know nothing of
    an order), BigBird-Pegasus's decoder always."""
    return not config.is_encoder_decoder and (config.model_type == "bigbird_pegasus" or bool(config.is_decoder))


def attend_in_full(model: Any) -> str:
    """Let a BigBird that continues text attend as it does once it has read a short one; what to tell of that, or ""."""
    sparse = getattr(model.base_model, "attention_type", None) == "block_sparse"
    if not sparse or not _continues_in_full(model.config):
        return ""
    model.base_model.set_attention_type("original_full")
    return "; it attends in full at any length, as transformers' does once it has read a short text"
