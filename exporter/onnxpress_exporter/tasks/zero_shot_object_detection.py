"""zero-shot-object-detection: places of a picture, each with a box and a vector that texts are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import PairScores, Postprocessing, TensorInfo
from onnxpress.pipelines.zero_shot_object_detection import BOXES, SCALES, SHIFTS
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.judging import captions
from onnxpress_exporter.judging.boxes import compare_boxes
from onnxpress_exporter.judging.figures import batch_disagreement
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes, Tower
from onnxpress_exporter.tasks.two_towers import PICTURE, TEXT, TEXT_VECTORS, picture_module, text_module

#: What the graph of pictures gives of each place.
_PLACES = "class_embeds"

#: Models whose places are compared with one vector for each text.
_CLASSES = ("OwlViTForObjectDetection", "Owlv2ForObjectDetection")

#: Others that the auto class loads, and this version does not.
_OTHERS = ("GroundingDinoForObjectDetection", "MMGroundingDinoForObjectDetection", "OmDetTurboForObjectDetection")

#: Largest difference of a score before the last function, and what transformers adds to lengths that it divides by.
_ERROR, _LITTLE = 1e-3, 1e-6


def _towers(model: Any) -> tuple[Tower, ...]:
    if not hasattr(model, "image_embedder"):
        raise UnsupportedCheckpoint(
            f"{type(model).__name__} reads texts and pictures together, which this version does not. It exports: "
            f"{', '.join(_CLASSES)}."
        )
    reader = getattr(model, model.base_model_prefix)

    def places(pixel_values: Any) -> Mapping[str, Any]:
        features, _ = model.image_embedder(pixel_values=pixel_values)
        flat = features.flatten(1, 2)
        head = model.class_head
        vectors = head.dense0(flat)
        return {
            _PLACES: vectors / (vectors.norm(dim=-1, keepdim=True) + _LITTLE),
            SHIFTS: head.logit_shift(flat).squeeze(-1),
            SCALES: (head.elu(head.logit_scale(flat)) + 1).squeeze(-1),
            BOXES: model.box_predictor(flat, features),
        }

    outputs = tuple(TensorInfo(name, "float32", ("batch",)) for name in (_PLACES, SHIFTS, SCALES, BOXES))
    return (
        Tower(TEXT, "text", "text", text_module(model, reader), (TEXT_VECTORS,)),
        Tower(PICTURE, "vision", "image", picture_module(model, places), outputs),
    )


def _check_towers(model: Any, towers: Sequence[Traceable]) -> None:
    """Compare the scores and boxes of the towers with the whole model's, on the examples that are traced, a text for
    each picture."""
    import torch

    texts, pictures = towers
    rows = min(len(array) for part in towers for array in part.inputs.values())
    read, looked_at = ({name: array[:rows] for name, array in part.inputs.items()} for part in towers)
    with torch.no_grad():
        vectors = torch.nn.functional.normalize(texts.module(**read)[TEXT_VECTORS.name], dim=-1)
        seen = pictures.module(**looked_at)
        scores = (torch.einsum("npd,nd->np", seen[_PLACES], vectors) + seen[SHIFTS]) * seen[SCALES]
        expected = model(**read, **looked_at)
    same = torch.allclose(scores, expected.logits.squeeze(-1), atol=_ERROR, rtol=_ERROR)
    if not same or not torch.allclose(seen[BOXES], expected.pred_boxes, atol=_ERROR):
        raise VerificationFailed(
            f"{type(model).__name__} scores places otherwise than by their nearness to a text. No artifact was "
            "written. Please report this checkpoint."
        )


def _postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    return Postprocessing(pairs=PairScores("sigmoid"))


ZERO_SHOT_OBJECT_DETECTION = ExportTask(
    name="zero-shot-object-detection",
    head=Head("AutoModelForZeroShotObjectDetection", (*_CLASSES, *_OTHERS)),
    takes="text and image",
    outputs=None,
    towers=_towers,
    check_towers=_check_towers,
    postprocessing=_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_boxes,
    beside_others=batch_disagreement(compare_boxes),
    metric=None,
    options={"candidate_labels": list(captions.OF_PICTURES.judged[:4]), "threshold": 0.0},
)
