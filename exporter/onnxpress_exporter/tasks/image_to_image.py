"""image-to-image: a picture of a picture, such as a larger one."""

from __future__ import annotations

from typing import Any

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.maps import compare_pictures, pictures_beside_others
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes


def _pictures(model: Any) -> tuple[TensorInfo, ...]:
    """ "reconstruction" (batch, channels, height, width): running the model tells the sizes."""
    return (TensorInfo("reconstruction", "float32", ("batch",)),)


IMAGE_TO_IMAGE = ExportTask(
    name="image-to-image",
    head=Head("AutoModelForImageToImage", ("ForImageSuperResolution",)),
    takes="image",
    outputs=_pictures,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_pictures,
    beside_others=pictures_beside_others,
    metric=None,
)
