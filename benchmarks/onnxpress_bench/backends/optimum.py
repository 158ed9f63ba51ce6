"""optimum-onnx: ONNX Runtime behind classes that mirror transformers', on a graph that it exported and optimized.

PyTorch and transformers are imported with it, as they are for its users. Arrays are numpy's in both directions, which
it documents and which saves it the way through tensors.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import check_servable, conversion
from onnxpress_bench.backends.encoder import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxpress_bench.backends.encoder import Arrays

#: Its own names: of the task to export for, of the class that runs it, and of what that returns.
_TASKS: Mapping[str, tuple[str, str, str]] = {
    "feature-extraction": ("feature-extraction", "ORTModelForFeatureExtraction", "last_hidden_state"),
    "sentence-similarity": ("feature-extraction", "ORTModelForFeatureExtraction", "last_hidden_state"),
    "text-classification": ("text-classification", "ORTModelForSequenceClassification", "logits"),
}


class Optimum(Encoder):
    """`settings["converted"]`: the folder of the export, which `prepare` sets."""

    distributions: Sequence[str] = ("optimum-onnx[onnxruntime]", "torch")
    _model: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        check_servable(spec)
        libraries = ("optimum-onnx", "onnxruntime", "torch", "transformers")
        folder = conversion(spec, libraries, lambda target: export_onnx(spec, target))
        return replace(spec, settings={**spec.settings, "converted": str(folder)})

    def load_libraries(self) -> None:
        import numpy  # noqa: F401
        import optimum.onnxruntime  # noqa: F401
        import tokenizers  # noqa: F401
        import torch

        torch.set_num_threads(self.spec.threads)

    def load_model(self) -> None:
        import onnxruntime as ort
        import optimum.onnxruntime

        options = ort.SessionOptions()
        options.intra_op_num_threads = self.spec.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        _, name, _ = _TASKS[self.spec.task]
        self._model = getattr(optimum.onnxruntime, name).from_pretrained(
            self.spec.settings["converted"], session_options=options, provider="CPUExecutionProvider"
        )

    def model_files(self) -> Sequence[Path]:
        return sorted(Path(self.spec.settings["converted"]).glob("*.onnx*"))

    def forward(self, arrays: Arrays) -> NDArray[Any]:
        output: NDArray[Any] = self._model(**arrays)[_TASKS[self.spec.task][2]]
        return output


def export_onnx(spec: BackendSpec, target: Path) -> None:
    """The checkpoint as optimum exports it, and then fuses its layers ("O2": all that leaves the answers as they are).

    A kind of model that it cannot fuse stays as exported; ONNX Runtime fuses what it knows when it loads either.
    """
    from optimum.exporters.onnx import main_export
    from optimum.onnxruntime import AutoOptimizationConfig, ORTOptimizer
    from optimum.onnxruntime.utils import ORTConfigManager

    level = AutoOptimizationConfig.O2()
    plain = target / "plain"
    main_export(
        spec.folder,
        output=plain,
        task=_TASKS[spec.task][0],
        dtype="fp32",
        device="cpu",
        trust_remote_code=spec.settings["trust_remote_code"],
        library_name="transformers",
    )
    try:
        ORTConfigManager.check_optimization_supported_model(spec.settings["model_type"], level)
    except (KeyError, NotImplementedError):
        for path in plain.iterdir():
            path.rename(target / path.name)
    else:
        ORTOptimizer.from_pretrained(plain).optimize(save_dir=target, optimization_config=level, file_suffix="")
    shutil.rmtree(plain)
