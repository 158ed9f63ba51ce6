"""A checkpoint as OpenVINO's own representation, in float32 or quantized by NNCF. Runs in the peer's environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.pytorch_checkpoint import load_model
from onnxpress_bench.texts import SENTENCES
from onnxpress_bench.workloads import PICTURES
from onnxpress_bench.workloads.encoding import columns_of, load_tokenizer

#: Where tracing must not take a size for a constant, or an all-ones mask for none.
_EXAMPLE_ROWS, _EXAMPLE_TOKENS, _EXAMPLE_PADDING, _EXAMPLE_EDGE = 2, 7, 3, 224

_CALIBRATION_PICTURES = 48


def convert(spec: BackendSpec, file: Path) -> None:
    """From the PyTorch model, with free batch and length; weights stay float32."""
    import openvino
    import torch

    model, names = load_model(spec), spec.settings["input_names"]
    if spec.task in PICTURES:
        model.forward = _logits_alone(model.forward)
    else:
        model.config.return_dict = False
    examples, free = _pictures(spec) if spec.task in PICTURES else _texts()
    with torch.inference_mode():
        converted = openvino.convert_model(model, example_input={name: examples[name] for name in names})
    converted.reshape(dict.fromkeys(names, free))
    if spec.settings.get("quantization") == "int8":
        converted = _quantized(converted, spec)
    openvino.save_model(converted, file, compress_to_fp16=False)


def _logits_alone(forward: Callable[..., Any]) -> Callable[..., Any]:
    """The forward pass of a classifier of pictures; some fail without their dictionaries, which cannot be traced."""

    def traced(pixel_values: Any) -> Any:
        return forward(pixel_values=pixel_values).logits

    return traced


def _texts() -> tuple[dict[str, Any], list[int]]:
    """Examples to trace with, int64 (rows, tokens), and the shape that stays free."""
    import torch

    shape = (_EXAMPLE_ROWS, _EXAMPLE_TOKENS)
    mask = torch.ones(shape, dtype=torch.int64)
    mask[1, -_EXAMPLE_PADDING:] = 0
    ids = torch.arange(_EXAMPLE_ROWS * _EXAMPLE_TOKENS).reshape(shape)
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(mask)}, [-1, -1]


def _pictures(spec: BackendSpec) -> tuple[dict[str, Any], list[int]]:
    """The same of pictures, float32 (rows, 3, height, width), of the size that the artifact's graph takes."""
    import torch

    size = [edge if isinstance(edge, int) else -1 for edge in spec.settings["input_shape"][1:]]
    traced = [_EXAMPLE_ROWS, *(edge if edge > 0 else _EXAMPLE_EDGE for edge in size)]
    return {spec.settings["input_names"][0]: torch.rand(traced)}, [-1, *size]


def _quantized(model: Any, spec: BackendSpec) -> Any:
    """Post-training quantization as NNCF's documentation advises for transformers, on the benchmark's own sentences."""
    import nncf
    import numpy as np

    if spec.task in PICTURES:
        return _quantized_on_pictures(model, spec)
    tokenizer = load_tokenizer(spec, pads=False)

    def inputs(text: str) -> dict[str, Any]:
        columns = columns_of(tokenizer.encode_batch([text]), spec)
        return {name: np.array(column, np.int64) for name, column in columns.items()}

    dataset = nncf.Dataset(list(SENTENCES), inputs)
    return nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(SENTENCES))


def _quantized_on_pictures(model: Any, spec: BackendSpec) -> Any:
    """The same on pictures that the benchmark makes."""
    import nncf
    import numpy as np

    from onnxpress_bench.workloads.pictures import load_processor, make_picture

    processor, name = load_processor(spec), spec.settings["input_names"][0]
    pictures = [make_picture(240, np.random.default_rng(9_000 + number)) for number in range(_CALIBRATION_PICTURES)]
    dataset = nncf.Dataset(pictures, lambda picture: {name: processor(picture, return_tensors="np")["pixel_values"]})
    kind = nncf.ModelType.TRANSFORMER if "vit" in str(spec.settings["model_type"]) else None
    return nncf.quantize(model, dataset, model_type=kind, subset_size=len(pictures))
