"""Decoders as optimum and transformers.js call them: a mask, keys and values that come back longer, all scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir

from onnxpress.format.manifest import GenerationSettings
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.names import CROSS_DECODER, DECODER, ENCODER
from onnxpress_exporter.layouts.row import Adapted, Graphs
from onnxpress_exporter.passes.attention_mask import mask_on_the_left
from onnxpress_exporter.passes.cross_keys import cross_keys
from onnxpress_exporter.passes.every_score import every_score
from onnxpress_exporter.passes.log_normalizer import without_log_normalizer
from onnxpress_exporter.passes.rename_axes import rename_axes

Rewrite = Callable[[onnx_ir.Model], object]


def adapt_growing(graphs: Graphs, generation: GenerationSettings) -> Adapted:
    """In place: what their decoders take and return.

    Raises:
        UnsupportedCheckpoint: they have no model that keeps what this one keeps.
    """
    if generation.cache not in ("shared", "growing"):
        raise UnsupportedCheckpoint(
            "This model keeps a state, or nothing, in the place of keys and values of every token, and other tools' "
            "graphs have no such form: leave out --layout."
        )
    if DECODER in graphs:
        apply(graphs[DECODER], [mask_on_the_left, every_score])
    else:
        encoder, decoder = graphs[ENCODER], graphs[CROSS_DECODER]
        apply(decoder, [without_log_normalizer, every_score, lambda model: cross_keys(encoder, model)])
    for graph in graphs.values():
        rename_axes(graph)
    return Adapted(graphs, GenerationSettings("growing", generation.max_length, generation.traced))


def apply(graph: onnx_ir.Model, rewrites: Sequence[Rewrite]) -> None:
    """Rewrite a graph.

    Raises:
        UnsupportedCheckpoint: it was traced to a form that a rewrite does not know.
    """
    try:
        for rewrite in rewrites:
            rewrite(graph)
    except ValueError as error:
        raise UnsupportedCheckpoint(
            f"This model's graphs cannot be written as another tool calls them: {error}. Leave out --layout."
        ) from error
