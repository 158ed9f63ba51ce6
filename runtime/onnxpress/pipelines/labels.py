"""Reads the names of the classes that a graph gives scores for."""

from __future__ import annotations

from typing import Any

from onnxpress.errors import InvalidManifest
from onnxpress.pipelines.base import Pipeline


def class_labels(pipe: Pipeline[Any, Any]) -> tuple[str, ...]:
    """The names of the classes, in the order of the scores.

    Raises:
        InvalidManifest: the artifact has none, or not as many as the graph has outputs.
    """
    labels = pipe.manifest.postprocessing.labels
    width = pipe.graph.outputs[0].axes[-1]
    if not labels or (isinstance(width, int) and width != len(labels)):
        raise InvalidManifest(
            f"{pipe.artifact.folder}: {len(labels)} labels, but the graph returns {width} scores. Export again."
        )
    return labels
