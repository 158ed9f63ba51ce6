"""Prepares the check on a machine with the exporter: artifacts whose answers are compared, and graphs that are timed.

The folder that it writes is all that the machine with the GPU needs beside PyTorch, transformers and ONNX Runtime: no
network, no exporter's tracing. `run.sh` in it starts the check.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx_ir

from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.format.precisions import REFERENCE
from onnxpress.format.schema import encode
from onnxpress_bench.gpu_check.hollow import empty
from onnxpress_bench.gpu_check.prepared import ARTIFACTS, MODELS, PREPARED, graph_file
from onnxpress_bench.gpu_check.rows import ROOT, ParityRow, Rows, SpeedRow
from onnxpress_exporter import export
from onnxpress_exporter.errors import VariantRefused
from onnxpress_exporter.graphs.generating import build, graph_info
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.graphs.trace import trace
from onnxpress_exporter.passes import apply_passes
from onnxpress_exporter.precisions import PRECISIONS
from onnxpress_exporter.quantize.plan import first_attempts, scheme_attempts
from onnxpress_exporter.quantize.settings import Settings
from onnxpress_exporter.quantize.storage import Storage
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.write.save import save

Say = Callable[[str], None]

_RUN = """#!/bin/sh
# Runs the check on a machine with an NVIDIA GPU, PyTorch for CUDA, transformers and onnx. It needs no network.
# Put the wheel of onnxruntime-gpu here, whole or in parts (onnxruntime_gpu-...whl.part1, ...), unless it is installed.
set -e
cd "$(dirname "$0")"
for first in *.whl.part1; do
  if [ -e "$first" ]; then cat "${first%1}"* > "${first%.part1}"; fi
done
for wheel in *.whl; do
  if [ -e "$wheel" ]; then python3 -m pip install --no-index --no-deps --upgrade --target site "$wheel"; fi
done
PYTHONPATH=site:python exec python3 -m onnxpress_bench.gpu_check --prepared . --json gpu-check.jsonl "$@"
"""


def prepare(folder: Path, rows: Rows, say: Say) -> None:
    """Fill a folder that is not there yet."""
    folder.mkdir(parents=True)
    refused = {}
    for row in rows.parity:
        say(f"exporting {row.name}")
        refused[row.name] = _export(row, folder / ARTIFACTS / row.name)
    graphs = {}
    for timed in rows.speed:
        say(f"building {timed.name}")
        with quiet():
            graphs[timed.name] = encode(_build(timed, folder))
    for package in ("runtime/onnxpress", "exporter/onnxpress_exporter", "benchmarks/onnxpress_bench"):
        shutil.copytree(
            ROOT / package, folder / "python" / Path(package).name, ignore=shutil.ignore_patterns("__pycache__")
        )
    for checkpoint in {row.checkpoint: row.source for row in rows.parity}.values():
        shutil.copytree(checkpoint, folder / MODELS / checkpoint.name)
    script = folder / "run.sh"
    script.write_text(_RUN, encoding="utf-8")
    script.chmod(0o755)
    (folder / PREPARED).write_text(json.dumps({"refused": refused, "graphs": graphs}), encoding="utf-8")


def _export(row: ParityRow, target: Path) -> Mapping[str, str]:
    """Export a checkpoint; for each precision that its gate refused, why."""
    try:
        export(row.source, target, row.task, row.precisions, quantization=Settings(keep_slow=True))
    except VariantRefused as error:
        return error.refused
    return {}


def _build(row: SpeedRow, folder: Path) -> GraphInfo:
    """Save the graphs of a shape without weights, one for each precision; what they take and return."""
    model = _model(row)
    graph, info = _graph(row, model)
    del model
    store = Storage(graph, large=row.writes)
    places = {("model", site.value): site for site in store.sites}
    for precision in row.precisions:
        how = PRECISIONS[precision]
        if precision == REFERENCE:
            saved = graph
        else:
            attempts = (
                scheme_attempts(how, {"model": graph}, {"model": info.role}, places)
                if row.writes
                else first_attempts(how, places, lambda place: False)
            )
            plan = {value: treatment for (_, value), treatment in attempts[0].plan.items()}
            saved = store.build(plan, attempts[0].tables, passes=how.passes, half=how.half)
        path = graph_file(folder, row, precision)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(saved, path)
        empty(path)
    return info


def _model(row: SpeedRow) -> Any:
    """A model of PyTorch's with random weights, as the exporter takes it."""
    import torch
    import transformers

    torch.manual_seed(0)
    auto_class: Any = getattr(transformers, row.auto_class)
    model = auto_class.from_config(row.config(), dtype=torch.float32)
    model.requires_grad_(False)
    return model.eval()


def _graph(row: SpeedRow, model: Any) -> tuple[onnx_ir.Model, GraphInfo]:
    if row.writes:
        (graph,) = build(model).graphs.values()
        return graph, graph_info("model", graph)
    import torch

    model.config.use_cache = False
    axes = ("batch", "sequence")
    outputs = (TensorInfo("last_hidden_state", "float32", (*axes, int(model.config.hidden_size))),)
    inputs = tuple(TensorInfo(name, "int64", axes) for name in ("input_ids", "attention_mask", "token_type_ids"))
    spec = GraphSpec("model", inputs, outputs)
    ids = torch.randint(1, int(model.config.vocab_size), (3, 11))
    mask = torch.ones_like(ids)
    mask[1, 7:] = 0
    example = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    graph = trace(model, spec, example)
    apply_passes(graph, PRECISIONS[REFERENCE].passes)
    return graph, spec.info
