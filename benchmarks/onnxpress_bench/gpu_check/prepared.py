"""The folder that `prepare` writes and the check reads. Knows no exporter."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from onnxpress.format.manifest import GraphInfo
from onnxpress.format.precisions import PRECISIONS
from onnxpress.format.schema import decode
from onnxpress_bench.gpu_check.rows import SpeedRow

#: What tells what there is; folders of artifacts, of graphs that are timed, of checkpoints.
PREPARED = "prepared.json"
ARTIFACTS, GRAPHS, MODELS = "parity", "speed", "models"


def graph_file(folder: Path, row: SpeedRow, precision: str) -> Path:
    """The graph of a shape in a precision."""
    return folder / GRAPHS / row.name / f"model{PRECISIONS[precision].suffix}.onnx"


def prepared(folder: Path) -> tuple[Mapping[str, Mapping[str, str]], Mapping[str, GraphInfo]]:
    """What a folder has: precisions that the gate refused, by row, with why; and what graphs take, by shape."""
    value = json.loads((folder / PREPARED).read_text(encoding="utf-8"))
    graphs = {name: decode(GraphInfo, info, f"{PREPARED}: {name}") for name, info in value["graphs"].items()}
    return value["refused"], graphs
