"""A decoder's speed on the GPU beside transformers in half precision: prefill and decoding, one row and many."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnxpress
from onnxpress_bench.gpu_check.timed import time_in_turn

PROMPT_TOKENS = 128
NEW_TOKENS = 64
BATCHES = (1, 8)


def check_decoder(checkpoint: Path, artifact: Path, precisions: Sequence[str]) -> dict[str, Any]:
    """Tokens per second of whole calls, and milliseconds to the first token; the reference is transformers in bf16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    prompt = _prompt(tokenizer)
    causal: Any = AutoModelForCausalLM
    models = {
        name: causal.from_pretrained(checkpoint, dtype=dtype, attn_implementation="sdpa").eval().cuda()
        for name, dtype in (("transformers bf16", torch.bfloat16), ("transformers fp16", torch.float16))
    }
    pipes = {
        f"onnxpress {precision}": onnxpress.pipeline(
            "text-generation", artifact, precision=precision, device="cuda", return_full_text=False
        )
        for precision in precisions
    }
    rows = []
    for batch in BATCHES:
        for new_tokens in (1, NEW_TOKENS):
            candidates: dict[str, Callable[[], object]] = {}
            for name, model in models.items():
                candidates[name] = _generate(model, tokenizer, [prompt] * batch, new_tokens)
            for name, pipe in pipes.items():
                candidates[name] = _write(pipe, [prompt] * batch, new_tokens)
            timed = time_in_turn(candidates)
            rows.append({"batch": batch, "new_tokens": new_tokens, "times": [asdict(entry) for entry in timed]})
    for pipe in pipes.values():
        pipe.close()
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "calls": rows,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _prompt(tokenizer: Any) -> str:
    """A text of about PROMPT_TOKENS tokens."""
    words = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "runs", "to", "the", "river"]
    text = ""
    for place in range(10_000):
        longer = f"{text} {words[place % len(words)]}".strip()
        if len(tokenizer(longer)["input_ids"]) > PROMPT_TOKENS:
            return text
        text = longer
    return text


def _generate(model: Any, tokenizer: Any, prompts: list[str], new_tokens: int) -> Callable[[], object]:
    import torch

    encoded = tokenizer(prompts, return_tensors="pt")

    def run() -> object:
        with torch.inference_mode():
            ids = {name: value.cuda() for name, value in encoded.items() if name in ("input_ids", "attention_mask")}
            return model.generate(
                **ids, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False, pad_token_id=0
            ).cpu()

    return run


def _write(pipe: Any, prompts: list[str], new_tokens: int) -> Callable[[], object]:
    return lambda: pipe(prompts, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False)
