"""A checkpoint as OpenVINO's own representation, in float32 or quantized by NNCF. Runs in the peer's environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.pytorch_checkpoint import load_model
from onnxpress_bench.texts import SENTENCES
from onnxpress_bench.workloads.encoding import columns_of, load_tokenizer

#: Where tracing must not take a size for a constant, or an all-ones mask for none.
_EXAMPLE_ROWS, _EXAMPLE_TOKENS, _EXAMPLE_PADDING = 2, 7, 3


def convert(spec: BackendSpec, file: Path) -> None:
    """From the PyTorch model, with free batch and length; weights stay float32."""
    import openvino
    import torch

    shape = (_EXAMPLE_ROWS, _EXAMPLE_TOKENS)
    mask = torch.ones(shape, dtype=torch.int64)
    mask[1, -_EXAMPLE_PADDING:] = 0
    ids = torch.arange(_EXAMPLE_ROWS * _EXAMPLE_TOKENS).reshape(shape)
    examples = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(mask)}
    model, names = load_model(spec), spec.settings["input_names"]
    model.config.return_dict = False
    with torch.inference_mode():
        converted = openvino.convert_model(model, example_input={name: examples[name] for name in names})
    converted.reshape({name: [-1, -1] for name in names})
    if spec.settings.get("quantization") == "int8":
        converted = _quantized(converted, spec)
    openvino.save_model(converted, file, compress_to_fp16=False)


def _quantized(model: Any, spec: BackendSpec) -> Any:
    """Post-training quantization as NNCF's documentation advises for transformers, on the benchmark's own sentences."""
    import nncf
    import numpy as np

    tokenizer = load_tokenizer(spec, pads=False)

    def inputs(text: str) -> dict[str, Any]:
        columns = columns_of(tokenizer.encode_batch([text]), spec)
        return {name: np.array(column, np.int64) for name, column in columns.items()}

    dataset = nncf.Dataset(list(SENTENCES), inputs)
    return nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(SENTENCES))
