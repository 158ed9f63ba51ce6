"""image-feature-extraction: the last states of a picture, and what the model pools them to."""

from __future__ import annotations

import inspect
from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress.pipelines.image_feature_extraction import POOLED
from onnxpress_exporter.judging.figures import batch_distance, compare_vectors
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.tasks.feature_extraction import BARE
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Probes


def _states(model: Any) -> tuple[TensorInfo, ...]:
    """ "last_hidden_state" and "pooler_output" (batch, ...): running the model tells the other axes, and whether the
    second is there."""
    return tuple(TensorInfo(name, "float32", ("batch",)) for name in ("last_hidden_state", POOLED))


def _reads_pictures(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint is a body that takes pictures and nothing else. transformers' list of those for this task
    lacks some: a body of a model_type that has an image processor and no tokenizer is one, too."""
    from transformers.models.auto import image_processing_auto, modeling_auto, tokenization_auto

    images: Any = image_processing_auto  # which does not say what it exports, as the third does not
    texts: Any = tokenization_auto
    kind, name = checkpoint.model_type, checkpoint.architecture
    if name is None:
        return False
    takes_no_text = kind in images.IMAGE_PROCESSOR_MAPPING_NAMES and kind not in texts.TOKENIZER_MAPPING_NAMES
    # Of some that compare pictures with texts, the tokenizer is not listed.
    compares = name in modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES.values()
    takes_no_text = takes_no_text and not compares
    takes_no_text = takes_no_text or kind.endswith("_vision_model")  # which have no image processor of their own there
    listed = name in modeling_auto.MODEL_FOR_IMAGE_MAPPING_NAMES.values()
    return listed or (takes_no_text and modeling_auto.MODEL_MAPPING_NAMES.get(kind) == name)


def _by_rows(model: Any) -> Any:
    """The model, or one of grids of patches in a form that one graph has for all."""
    if "spatial_shapes" not in inspect.signature(model.forward).parameters:
        return model
    from onnxpress_exporter.graphs.patch_grids import grid_module

    return grid_module(model, model.config, model)


IMAGE_FEATURE_EXTRACTION = ExportTask(
    name="image-feature-extraction",
    head=BARE,
    takes="image",
    outputs=_states,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_vectors,
    beside_others=batch_distance,
    metric=None,
    options={"return_tensors": "np"},
    claims=_reads_pictures,
    by_rows=_by_rows,
)
