"""mask-generation: a graph that encodes a picture, and one that makes masks of points on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxpress.format.manifest import Postprocessing, TensorInfo
from onnxpress.format.pictures import CHANNELS
from onnxpress.pipelines.mask_generation import EMBEDDINGS, LEVELS, MASKS, POINTS, SCORES
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.maps import compare_masks, masks_beside_others
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes

#: Points that are traced: a number unlike any size inside a model.
_POINTS = 5


def _parts(model: Any) -> list[Traceable]:
    """As `SamModel.forward` runs them, of one picture; every point is of what is looked for."""
    import torch

    if type(model).__name__ != "SamModel":
        raise UnsupportedCheckpoint(f"{type(model).__name__} makes masks in a way that this version does not export.")

    class Encoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint = model

        def forward(self, pixel_values: Any) -> Mapping[str, Any]:
            return {EMBEDDINGS: self.checkpoint.vision_encoder(pixel_values)[0]}

    class Decoder(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint = model

        def forward(self, image_embeddings: Any, input_points: Any) -> Mapping[str, Any]:
            answer = self.checkpoint(image_embeddings=image_embeddings, input_points=input_points)
            return {SCORES: answer.iou_scores, LEVELS: answer.pred_masks}

    vision, prompts = model.config.vision_config, model.config.prompt_encoder_config
    generator = torch.Generator().manual_seed(0)
    edge = int(vision.image_size)
    pixels = torch.randn((1, CHANNELS, edge, edge), generator=generator)
    size = int(prompts.image_embedding_size)
    axes = (int(prompts.hidden_size), size, size)
    embeddings = torch.randn((1, *axes), generator=generator)
    points = torch.rand((1, _POINTS, 1, 2), generator=generator) * edge
    embedded = TensorInfo(EMBEDDINGS, "float32", (1, *axes))
    with torch.no_grad():
        masks = Decoder().eval()(embeddings, points)[LEVELS]
    count, height, width = (int(axis) for axis in masks.shape[2:])
    looks = GraphSpec(
        "vision_encoder", (TensorInfo("pixel_values", "float32", (1, *pixels.shape[1:])),), (embedded,), "vision"
    )
    finds = GraphSpec(
        "prompt_encoder_mask_decoder",
        (embedded, TensorInfo(POINTS, "float32", (1, "points", 1, 2))),
        (
            TensorInfo(SCORES, "float32", (1, "points", count)),
            TensorInfo(LEVELS, "float32", (1, "points", count, height, width)),
        ),
        MASKS,
    )
    return [
        Traceable(looks, Encoder().eval(), {"pixel_values": pixels}),
        Traceable(finds, Decoder().eval(), {EMBEDDINGS: embeddings, POINTS: points}),
    ]


def _postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    return Postprocessing()


MASK_GENERATION = ExportTask(
    name="mask-generation",
    head=Head("AutoModelForMaskGeneration", ("SamModel",)),
    takes="image",
    outputs=None,
    parts=_parts,
    postprocessing=_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_masks,
    beside_others=masks_beside_others,
    metric=None,
    claims=lambda checkpoint: checkpoint.architecture == "SamModel",
    options={"points_per_crop": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0},
)
