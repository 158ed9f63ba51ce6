"""A checkpoint as optimum exports it to ONNX. Runs in the peer's environment, in a process that nobody measures."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from onnxpress_bench.backends import BackendSpec

#: Its own names: of the task to export for, of the class that runs it, and of what that returns.
_STATES = ("feature-extraction", "ORTModelForFeatureExtraction", "last_hidden_state")
TASKS: Mapping[str, tuple[str, str, str]] = {
    "feature-extraction": _STATES,
    "sentence-similarity": _STATES,
    "image-classification": ("image-classification", "ORTModelForImageClassification", "logits"),
    "text-classification": ("text-classification", "ORTModelForSequenceClassification", "logits"),
}


def export_onnx(spec: BackendSpec, target: Path) -> None:
    """The checkpoint as optimum exports it, and then fuses its layers ("O2": all that leaves the answers as they are).

    A kind of model that it cannot fuse stays as exported; ONNX Runtime fuses what it knows when it loads either.
    """
    from optimum.exporters.onnx import main_export
    from optimum.onnxruntime import AutoOptimizationConfig, ORTOptimizer
    from optimum.onnxruntime.utils import ORTConfigManager

    level, plain = AutoOptimizationConfig.O2(), target / "plain"
    options = {"trust_remote_code": spec.settings["trust_remote_code"], "library_name": "transformers"}
    main_export(spec.folder, output=plain, task=TASKS[spec.task][0], dtype="fp32", device="cpu", **options)
    try:
        ORTConfigManager.check_optimization_supported_model(spec.settings["model_type"], level)
    except (KeyError, NotImplementedError):
        shutil.copytree(plain, target, dirs_exist_ok=True)
    else:
        ORTOptimizer.from_pretrained(plain).optimize(save_dir=target, optimization_config=level, file_suffix="")
    shutil.rmtree(plain)
