"""A checkpoint as OpenVINO's own representation, in float32 or quantized by NNCF. Runs in the peer's environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import torch_model

#: Where tracing must not take a size for a constant, or an all-ones mask for none.
_EXAMPLE_ROWS, _EXAMPLE_TOKENS, _EXAMPLE_PADDING = 2, 7, 3


def convert(spec: BackendSpec, file: Path) -> None:
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
    openvino.save_model(converted, file, compress_to_fp16=False)


def _quantized(model: Any, spec: BackendSpec) -> Any:
    """Post-training quantization as NNCF's documentation advises for transformers, on the benchmark's own sentences."""
    import nncf
    import numpy as np
    from tokenizers import Tokenizer

    from onnxpress_bench.texts import SENTENCES

    tokenizer = Tokenizer.from_file(spec.settings["tokenizer_file"])
    tokenizer.no_padding()

    def inputs(text: str) -> dict[str, Any]:
        encoding = tokenizer.encode(text)
        arrays = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        return {name: np.array([arrays[name]], np.int64) for name in spec.settings["input_names"]}

    dataset = nncf.Dataset(list(SENTENCES), inputs)
    return nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(SENTENCES))
