"""What generating models are judged by: their greedy answers, the perplexity of texts, and weights stored in half.

It knows nothing of what the texts say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


def half(model: PreTrainedModel) -> None:
    """Round the weights in place to what float16 can hold, so that what is judged is what will be stored."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half())


def save_half(model: PreTrainedModel, folder: Path) -> None:
    """Write the model with weights in float16; config.json says float32, so transformers computes in that."""
    model.generation_config._from_model_config = False  # our own settings, not to be made anew from the config
    model.half().save_pretrained(folder)
    model.float().config.dtype = torch.float32
    model.config.save_pretrained(folder)


@torch.no_grad()
def generate(model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], **settings: Any) -> list[str]:
    """What the model says to each prompt, special tokens left out; settings are those of `generate`."""
    found: list[str] = []
    causal = not model.config.is_encoder_decoder
    for at in range(0, len(prompts), 64):
        inputs = tokenizer(
            list(prompts[at : at + 64]), padding=True, padding_side="left" if causal else "right", return_tensors="pt"
        )
        inputs.pop("token_type_ids", None)
        ids = model.generate(**inputs, **settings)
        found += tokenizer.batch_decode(
            ids[:, inputs["input_ids"].shape[1] :] if causal else ids, skip_special_tokens=True
        )
    return [text.strip() for text in found]


@torch.no_grad()
def perplexity(model: Any, texts: Sequence[Sequence[int]]) -> float:
    """exp of the mean cross-entropy in nats per token over all texts, each from its second token on."""
    total, count = 0.0, 0
    for ids in texts:
        row = torch.tensor([list(ids)])
        total += float(model(input_ids=row, labels=row).loss) * (len(ids) - 1)
        count += len(ids) - 1
    return math.exp(total / count)
