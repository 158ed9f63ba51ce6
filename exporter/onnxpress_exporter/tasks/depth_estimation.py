"""depth-estimation: a number for each place of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import Manifest, TensorInfo
from onnxpress_exporter.judging import cells
from onnxpress_exporter.judging.cells import Cell
from onnxpress_exporter.judging.columns import DEPTH_MAPS, PICTURES
from onnxpress_exporter.judging.items import plain_items
from onnxpress_exporter.judging.map_files import depth_map
from onnxpress_exporter.judging.maps import compare_depths, depths_beside_others
from onnxpress_exporter.judging.metrics import DEPTHS, Evaluation
from onnxpress_exporter.tasks.postprocessing import no_postprocessing
from onnxpress_exporter.tasks.row import ExportTask, Head, Metric, Probes


def _depths(model: Any) -> tuple[TensorInfo, ...]:
    """ "predicted_depth" (batch, height, width): running the model tells the sizes."""
    return (TensorInfo("predicted_depth", "float32", ("batch",)),)


def _evaluation(name: str, rows: Sequence[Mapping[str, Cell]], manifest: Manifest) -> Evaluation:
    pictures = [cells.picture(row["image"]) for row in rows]
    maps = [depth_map(row["depth"], picture) for row, picture in zip(rows, pictures, strict=True)]
    return Evaluation(name, DEPTHS, pictures, maps)


DEPTH_ESTIMATION = ExportTask(
    name="depth-estimation",
    head=Head("AutoModelForDepthEstimation", ("ForDepthEstimation",)),
    takes="image",
    outputs=_depths,
    postprocessing=no_postprocessing,
    probes=Probes(),
    items=plain_items,
    compare=compare_depths,
    beside_others=depths_beside_others,
    metric=Metric(({"image": PICTURES, "depth": DEPTH_MAPS},), _evaluation),
)
