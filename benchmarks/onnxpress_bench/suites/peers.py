"""The second suite: every other way to run a model that this harness knows, measured at least once.

Embeddings in every scenario; text generation and speech with random weights of real shapes. How onnxpress writes text
beside them is the suite `generation`.
"""

from __future__ import annotations

from onnxpress_bench.suites import Case

CASES = (
    Case(
        "embeddings",
        "minilm",
        (
            *("pytorch", "pytorch-bf16", "torch.compile", "transformers", "openvino", "ctranslate2", "optimum-onnx"),
            *("fastembed", "onnxruntime", "onnxpress"),
        ),
        {
            "scenarios": ("single-stream", "offline", "mixed"),
            "shapes": ("1x16", "1x128"),
            "blocks": 3,
            "latency_s": 1.0,
            "stream_s": 3.0,
            "control": False,
        },
    ),
    Case(
        "server",
        "minilm",
        ("pytorch", "onnxpress"),
        {
            "scenarios": ("server",),
            "shapes": ("1x16",),
            "blocks": 3,
            "server_p99_ms": 100.0,
            "server_queries": 120,
            "control": False,
        },
    ),
    Case(
        "generation",
        "qwen2-small",
        (
            *("pytorch", "llama.cpp", "llama.cpp-q8_0", "llama.cpp-q4_0"),
            *("onnxruntime-genai", "onnxruntime-genai-int4"),
        ),
        {"scenarios": ("generation",), "blocks": 3, "control": False},
        task="text-generation",
        inputs={"prompt_tokens": (128,), "new_tokens": (32,)},
    ),
    Case(
        "audio",
        "whisper-tiny",
        ("pytorch", "faster-whisper"),
        {"scenarios": ("audio",), "blocks": 3, "control": False},
        task="automatic-speech-recognition",
        inputs={"audio_s": (5,), "transcript_tokens": 32},
    ),
)
