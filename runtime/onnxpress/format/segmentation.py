"""The part of `onnxpress.json` that says how segments of a picture are made of what a graph answers.

All of it is data; `onnxpress.pipelines.segments` carries it out. docs/artifact.md describes every field for readers of
other languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: What a caller may ask for: a map of classes; the things one by one; all of a picture in things and grounds.
Subtask = Literal["panoptic", "instance", "semantic"]


@dataclass(frozen=True, slots=True)
class SegmentationSettings:
    """How segments are made of a graph's outputs, and which of them a model is asked for.

    `answers`: "classes": the first output has a score of each class at each place, (classes, height, width).
    "queries": the first has scores of the classes for each query and, last, of none, (queries, classes + 1); the second
    a mask for each query, (queries, height, width), whose sigmoid is a probability.
    `subtasks`: those that the model answers; the first is answered where nobody asks for another.
    `instances`, of queries: "likeliest": each query has its likeliest class, and masks share the places among them, as
    in a panoptic answer; "pairs": the best pairs of a query and a class, as many as there are queries, each with its
    mask as it is.
    `mask_size`: (height, width) that masks are interpolated to before anything else; None: they are not.
    """

    answers: Literal["classes", "queries"]
    subtasks: tuple[Subtask, ...]
    instances: Literal["likeliest", "pairs"] = "likeliest"
    mask_size: tuple[int, ...] | None = None
