"""Describes a model's answers for the manifest: labels, and the function that makes scores of logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Postprocessing
from onnxpress.pipelines.suitable import entailing
from onnxpress_exporter.source.checkpoint import Checkpoint


def no_postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    """The postprocessing of answers that need none."""
    return Postprocessing()


def labelled(checkpoint: Checkpoint, model: Any, function: str | None = None) -> Postprocessing:
    """Labels and problem type of the model's config. `function`: "sigmoid", "softmax" or "identity"."""
    named = {int(index): str(label) for index, label in model.config.id2label.items()}
    labels = tuple(named.get(i, f"LABEL_{i}") for i in range(model.config.num_labels))
    return Postprocessing(
        labels=labels,
        problem_type=getattr(model.config, "problem_type", None) if labels else None,
        function_to_apply={"identity": "none"}.get(function, function) if function else None,
        entailment=_entailment(model.config.label2id or {}, labels),
    )


def _entailment(label2id: Mapping[Any, Any], labels: Sequence[str]) -> int | None:
    """The class of entailment by `label2id`, where transformers looks for it; None: the labels say the same."""
    place = entailing(label2id)
    if place is None:
        return None
    index = int(list(label2id.values())[place])
    return index if index != entailing(labels) and index < len(labels) else None
