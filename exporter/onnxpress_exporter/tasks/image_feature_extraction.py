"""image-feature-extraction: the last states of a picture, and what the model pools them to."""

from __future__ import annotations

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
    """Whether the checkpoint is a body that takes pictures and nothing else."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_MAPPING_NAMES

    return checkpoint.architecture is not None and checkpoint.architecture in MODEL_FOR_IMAGE_MAPPING_NAMES.values()


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
)
