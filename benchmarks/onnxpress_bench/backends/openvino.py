"""OpenVINO, on its own representation of the model, converted from PyTorch.

Set as its documentation advises for latency: the hint LATENCY, arrays shared with the caller in both directions, and a
cache of the compiled model for the start. Float32 is asked for, because some processors get bfloat16 otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import check_servable, conversion, torch_model
from onnxpress_bench.backends.encoder import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxpress_bench.backends.encoder import Arrays

_GRAPH, _CACHE = "model.xml", "cache"

#: Where tracing must not take a size for a constant, or an all-ones mask for none.
_EXAMPLE_ROWS, _EXAMPLE_TOKENS, _EXAMPLE_PADDING = 2, 7, 3


class OpenVINO(Encoder):
    """`settings["converted"]`: the folder of the conversion, which `prepare` sets."""

    distributions: Sequence[str] = ("openvino", "tokenizers")
    _compiled: Any = None

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        check_servable(spec)
        folder = conversion(spec, ("openvino", "torch", "transformers"), lambda target: _convert(spec, target))
        prepared = replace(spec, settings={**spec.settings, "converted": str(folder)})
        OpenVINO(prepared).load_model()  # fills the cache
        return prepared

    def load_libraries(self) -> None:
        import numpy  # noqa: F401
        import openvino  # noqa: F401
        import tokenizers  # noqa: F401

    def load_model(self) -> None:
        import openvino

        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": self.spec.threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "CACHE_DIR": str(Path(self.spec.settings["converted"], _CACHE)),
        }
        graph = Path(self.spec.settings["converted"], _GRAPH)
        self._compiled = openvino.Core().compile_model(graph, "CPU", options)

    def model_files(self) -> Sequence[Path]:
        graph = Path(self.spec.settings["converted"], _GRAPH)
        return [graph, graph.with_suffix(".bin")]

    def forward(self, arrays: Arrays) -> NDArray[Any]:
        """What is returned belongs to OpenVINO, and holds until the next call."""
        outputs = self._compiled(dict(arrays), share_inputs=True, share_outputs=True)
        found: NDArray[Any] = outputs[0]
        return found


def _convert(spec: BackendSpec, target: Path) -> None:
    """From the PyTorch model, with free batch and length; weights stay float32."""
    import openvino
    import torch

    names = spec.settings["input_names"]
    model = torch_model(spec)

    class Positional(torch.nn.Module):
        """Tensors in the order of `names` -> the first output."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.model(**dict(zip(names, tensors, strict=True)), return_dict=False)[0]
            return output

    shape = (_EXAMPLE_ROWS, _EXAMPLE_TOKENS)
    mask = torch.ones(shape, dtype=torch.int64)
    mask[1, -_EXAMPLE_PADDING:] = 0
    examples = {
        "input_ids": torch.arange(_EXAMPLE_ROWS * _EXAMPLE_TOKENS).reshape(shape),
        "attention_mask": mask,
        "token_type_ids": torch.zeros(shape, dtype=torch.int64),
    }
    with torch.inference_mode():
        converted = openvino.convert_model(Positional(), example_input=tuple(examples[name] for name in names))
    for port, name in zip(converted.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    converted.reshape({name: [-1, -1] for name in names})
    if spec.settings.get("quantization") == "int8":
        converted = _quantized(converted, spec)
    openvino.save_model(converted, target / _GRAPH, compress_to_fp16=False)


def _quantized(model: Any, spec: BackendSpec) -> Any:
    """Post-training quantization as NNCF's documentation advises for transformers, on the benchmark's own sentences."""
    import nncf
    import numpy as np
    from tokenizers import Tokenizer

    from onnxpress_bench.texts import SENTENCES

    tokenizer = Tokenizer.from_file(spec.settings["tokenizer_file"])
    tokenizer.no_padding()

    def inputs(text: str) -> dict[str, Any]:
        found = tokenizer.encode(text)
        arrays = {"input_ids": found.ids, "attention_mask": found.attention_mask, "token_type_ids": found.type_ids}
        return {name: np.array([arrays[name]], np.int64) for name in spec.settings["input_names"]}

    dataset = nncf.Dataset(list(SENTENCES), inputs)
    return nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(SENTENCES))
