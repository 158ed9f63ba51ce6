"""The suite of quantized encoders: int8 against PyTorch in fp32 and against the int8 of others; sizes."""

from __future__ import annotations

from functools import partial

from onnxpress_bench.suites import Case
from onnxpress_bench.suites.heldout import heldout_rows
from onnxpress_bench.suites.targets import Target
from onnxpress_exporter.judging.docstrings import docstrings

OURS = "onnxpress int8"
DYNAMIC = "onnxruntime-dynamic-int8"
PEERS = ("openvino-int8", "ctranslate2-int8")
SHAPES = ("1x16", "1x128", "8x128", "32x32")
_ROWS = "; ".join(f"latency_p50 {shape}" for shape in SHAPES)

#: BERT-base in int8 against PyTorch eager in fp32, by shape.
_GAINS = {"1x16": 4.0, "1x128": 2.2, "8x128": 1.6, "32x32": 1.75}

_LATENCY = {
    "scenarios": ("single-stream", "multi-stream"),
    "shapes": SHAPES,
    "blocks": 4,
    "latency_s": 1.5,
    "warm_up_s": 1.5,
}


def _trained(name: str, model: str, task: str, metric: str) -> Case:
    """A trained checkpoint on held-out rows: int8 gets as many right as PyTorch, but for half a point."""
    title = f"{model} int8, {metric} over PyTorch's"
    return Case(
        name,
        model,
        ("pytorch", "onnxpress"),
        {"scenarios": ("single-stream",), "shapes": ("1x16",), "blocks": 2, "latency_s": 1.0, "control": False},
        (Target(title, "difference", metric, OURS, "pytorch", at_least=-0.005),),
        task=task,
        precisions=("fp32", "int8"),
        eval_data=partial(heldout_rows, model),
    )


CASES = (
    Case(
        "bert-base",
        "bert-base",
        ("pytorch", DYNAMIC, *PEERS, "onnxpress"),
        _LATENCY,
        (
            *(
                Target(f"int8 {shape} against PyTorch fp32", "gain", f"latency_p50 {shape}", OURS, "pytorch", least)
                for shape, least in _GAINS.items()
            ),
            Target("int8 against ORT's dynamic int8, mean of the four", "mean gain", _ROWS, OURS, DYNAMIC, 0.97),
            *(
                Target(f"int8 {shape} against {peer}", "gain", f"latency_p50 {shape}", OURS, peer, 1.0)
                for peer in PEERS
                for shape in SHAPES
            ),
        ),
        measure_limits=True,
        precisions=("fp32", "int8"),
    ),
    Case(
        "minilm",
        "minilm",
        ("pytorch", DYNAMIC, "onnxpress"),
        {"scenarios": ("single-stream", "mixed"), "shapes": ("1x16", "1x128"), "blocks": 4, "stream_s": 4.0},
        (
            Target("MiniLM int8, mean cosine to PyTorch", "quality", "cosine, mean", OURS, at_least=0.999),
            Target("MiniLM int8, worst cosine to PyTorch", "quality", "cosine, worst", OURS, at_least=0.997),
            Target("MiniLM int8, 10 nearest kept, of 2,000", "quality", "neighbour overlap", OURS, at_least=0.97),
            Target("error of ORT's dynamic int8 over ours", "less error", "cosine, mean", OURS, DYNAMIC, 3.0),
            Target("size of int8 over fp32", "size", "", OURS, "onnxpress fp32", at_most=0.27),
            Target("size of q4 over fp32", "size", "", "onnxpress q4", "onnxpress fp32", at_most=0.17),
        ),
        precisions=("fp32", "int8", "q4"),
        judged=partial(docstrings, 2000),
    ),
    _trained("sentiment", "tiny-sentiment", "text-classification", "accuracy"),
    _trained("ner", "tiny-ner", "token-classification", "entity F1"),
    _trained("qa", "tiny-qa", "question-answering", "exact match"),
)
