"""The suite of models that write: decoders beside llama.cpp and onnxruntime-genai, encoder-decoders beside CTranslate2.

Random weights of real shapes: as fast as trained ones. What quantization costs in quality is measured on trained models
when they are exported, and recorded in their artifacts.
"""

from __future__ import annotations

from onnxpress_bench.suites import Case
from onnxpress_bench.suites.targets import Target

_SETTINGS = {"scenarios": ("generation",), "blocks": 3, "latency_s": 0.5, "warm_up_s": 0.2, "control": False}
_BEAMS = {"scenarios": ("translation",), "blocks": 3, "latency_s": 0.5, "warm_up_s": 0.2, "control": False}

Q4, LLAMA, GENAI = "onnxpress-q4", "llama.cpp-q4_0", "onnxruntime-genai-int4"
Q8, LLAMA_Q8 = "onnxpress-q8", "llama.cpp-q8_0"
INT8, CTRANSLATE2 = "onnxpress-int8", "ctranslate2-int8"


def _translation(model: str) -> Case:
    """An encoder-decoder, greedily and with four beams, one text and sixteen at once."""
    return Case(
        model,
        model,
        ("pytorch", CTRANSLATE2, INT8),
        _BEAMS,
        tuple(
            Target(f"{model} int8, batch {batch}, {beams} beams, against {name}", "gain", row, INT8, base, least)
            for name, base, least in (("CTranslate2 int8", CTRANSLATE2, 1.0), ("transformers", "pytorch", 4.0))
            for batch in (1, 16)
            for beams in (1, 4)
            for row in (f"translate {batch} {beams}",)
        ),
        task="translation",
        inputs={"new_tokens": (48,)},
    )


CASES = (
    Case(
        "decoder",
        "qwen2-0.5b",
        ("pytorch", LLAMA, GENAI, Q4),
        _SETTINGS,
        (
            Target("q4 decode against llama.cpp Q4_0", "gain", "decode 128 32", Q4, LLAMA, 1.1),
            Target("q4 decode against onnxruntime-genai", "gain", "decode 128 32", Q4, GENAI, 1.6),
            Target("q4 decode against transformers", "gain", "decode 128 32", Q4, "pytorch", 8.0),
            *(
                Target(f"q4 prefill of {tokens} against {name}", "gain", f"prefill {tokens}", Q4, base, least)
                for name, base, least in (("llama.cpp Q4_0", LLAMA, 1.0), ("onnxruntime-genai", GENAI, 2.0))
                for tokens in (128, 1024)
            ),
            Target("time to first token from process start", "gain", "cold_start", Q4, "pytorch", 5.0),
        ),
        measure_limits=True,
        task="text-generation",
        inputs={"prompt_tokens": (128, 1024), "new_tokens": (32,)},
    ),
    Case(
        "context",
        "qwen2-0.5b",
        (LLAMA, Q4),
        {**_SETTINGS, "latency_s": 0.1, "warm_up_s": 0.0},
        (
            Target("q4 decode at context 4,000 over 100", "kept", "decode 4000 32; decode 100 32", Q4, at_least=0.75),
            Target("q4 peak memory over weights and cache", "footprint", "memory_peak", Q4, at_most=1.25),
        ),
        task="text-generation",
        inputs={"prompt_tokens": (100, 4000), "new_tokens": (32,)},
    ),
    Case(
        "gpt2",
        "gpt2",
        ("pytorch", LLAMA_Q8, Q8, INT8),
        _SETTINGS,
        (Target("GPT-2 q8 decode against llama.cpp Q8_0", "gain", "decode 128 32", Q8, LLAMA_Q8, 1.0),),
        task="text-generation",
        inputs={"prompt_tokens": (128,), "new_tokens": (32,)},
    ),
    _translation("t5-small"),
    _translation("marian"),
)
