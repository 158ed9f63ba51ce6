"""The first suite: fp32 encoders against PyTorch and the other ways to run them without writing kernels."""

from __future__ import annotations

from onnxpress_bench.suites import Case
from onnxpress_bench.suites.targets import Target

OURS = "onnxpress fp32"
PEERS = ("torch.compile", "openvino", "ctranslate2", "optimum-onnx")
SHAPES = ("1x16", "1x128", "8x128", "32x32")

#: BERT-base against PyTorch eager, by shape.
_GAINS = {"1x16": 2.4, "1x128": 1.4, "8x128": 1.05, "32x32": 1.05}

#: Never slower than a peer by over 3%.
_PARITY = 1 / 1.03

_LATENCY = {
    "scenarios": ("single-stream", "multi-stream"),
    "shapes": SHAPES,
    "blocks": 5,
    "latency_s": 1.5,
    "warm_up_s": 2.0,
}


def _encoder(model: str, gains: dict[str, float], measure_limits: bool = False) -> Case:
    targets = [
        Target(f"{model} {shape} against PyTorch eager", "gain", f"latency_p50 {shape}", OURS, "pytorch", at_least=gain)
        for shape, gain in gains.items()
    ]
    targets += [
        Target(f"{model} {shape} against {peer}", "gain", f"latency_p50 {shape}", OURS, peer, at_least=_PARITY)
        for peer in PEERS
        for shape in gains
    ]
    if measure_limits:
        title = f"{model} 8x128, share of the best fp32 product measured"
        targets.append(Target(title, "efficiency", "latency_p50 8x128", OURS, at_least=0.9))
    return Case(model, model, ("pytorch", *PEERS, "onnxpress"), _LATENCY, tuple(targets), measure_limits)


CASES = (
    _encoder("bert-base", _GAINS, measure_limits=True),
    _encoder("distilbert", {}),
    _encoder("minilm", {}),
    Case(
        "mixed",
        "bert-base",
        ("pytorch", "pytorch@1", "pytorch@8", "pytorch@32", "onnxpress"),
        {"scenarios": ("mixed",), "shapes": ("1x16",), "blocks": 5, "stream_s": 8.0},
        (
            Target(
                "mixed stream against PyTorch, the best of all ways", "gain", "mixed", OURS, "pytorch", at_least=1.8
            ),
            Target("mixed stream against PyTorch at batch 1", "gain", "mixed", OURS, "pytorch batch 1", at_least=1.8),
            Target("mixed stream against PyTorch at batch 8", "gain", "mixed", OURS, "pytorch batch 8", at_least=1.8),
            Target("mixed stream against PyTorch at batch 32", "gain", "mixed", OURS, "pytorch batch 32", at_least=3.4),
        ),
    ),
    Case(
        "cold-start",
        "minilm",
        ("transformers", "pytorch", "optimum-onnx", "fastembed", "onnxpress"),
        {"scenarios": (), "shapes": ("1x16",), "blocks": 8},
        (
            Target(
                "cold start against transformers' pipeline", "gain", "cold_start", OURS, "transformers", at_least=15
            ),
            Target(
                "memory at first answer, of transformers'", "share", "memory_first", OURS, "transformers", at_most=0.3
            ),
            Target("installation, of transformers'", "install", "", OURS, "transformers", at_most=0.3),
        ),
    ),
    *(
        Case(
            f"overhead-{model}",
            model,
            ("tokenizer+session", "onnxpress"),
            {"scenarios": ("single-stream",), "shapes": ("1x16",), "blocks": 9, "latency_s": 3.0},
            (
                Target(
                    f"our pipeline over tokenizer and session alone, {model} 1x16",
                    "overhead",
                    "latency_p50 1x16",
                    OURS,
                    "tokenizer+session fp32",
                    at_most=0.05,
                ),
            ),
        )
        for model in ("minilm", "bert-base")
    ),
)
