"""Reads the names of the classes that a graph gives scores for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

from onnxpress.errors import InvalidManifest
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.files import read_json

_answered: WeakKeyDictionary[Pipeline[Any, Any], tuple[Any, ...]] = WeakKeyDictionary()


def class_labels(pipe: Pipeline[Any, Any], classes: int | str | None = None) -> tuple[str, ...]:
    """The names of the classes, in the order of the scores.

    Args:
        classes: how many the graph gives scores for, where that is a number; None: as its first output's last axis.

    Raises:
        InvalidManifest: the artifact has none, or not as many as the graph has outputs.
    """
    labels = pipe.manifest.postprocessing.labels
    width = pipe.graph.outputs[0].axes[-1] if classes is None else classes
    if not labels or (isinstance(width, int) and width != len(labels)):
        raise InvalidManifest(
            f"{pipe.artifact.folder}: {len(labels)} labels, but the graph returns {width} scores. Export again."
        )
    return labels


def answer_labels(pipe: Pipeline[Any, Any], classes: int | str | None = None) -> tuple[Any, ...]:
    """The names of the classes as answers have them: numbers where the checkpoint's config has numbers.

    Args:
        classes: as `class_labels`.

    Raises:
        InvalidManifest: as `class_labels`.
    """
    labels = _answered.get(pipe)
    if labels is None:
        named = read_json(pipe.artifact, "config.json").get("id2label")
        numbers = named if isinstance(named, Mapping) else {}
        labels = tuple(
            number if isinstance(number := numbers.get(str(place)), (int, float)) and str(number) == label else label
            for place, label in enumerate(class_labels(pipe, classes))
        )
        _answered[pipe] = labels
    return labels
