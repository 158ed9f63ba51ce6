"""tiny-shapes-clip: CLIP, which knows a drawn shape by what it is called: "a red circle"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import torch
from grammars.drawings import COLOURS, SHAPES, Picture, shape
from training.describing import chance, encode
from training.digits import data_uri
from training.loop import INITIAL_SCALE, Batch, Schedule, fit, prepare
from training.recipe import Example, Recipe, Trained
from training.vocabulary import whole_words
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

#: Width and height of pictures, and of what the model takes.
_DRAWN, _SIDE = 48, 32
_TOKENS = 32
_KINDS = tuple(product(COLOURS, SHAPES))
#: What the pictures are called, each kind by one name.
_LABELS = tuple(f"a {colour} {kind}" for colour, kind in _KINDS)
_TEMPLATES = ("{}", "{}.", "This is a photo of {}.", "a photo of {}", "a picture of {}", "there is {} here")
#: Pictures of each kind: to learn from, and held out.
_SHOWN, _HELD_OUT = 160, 10
#: A batch has each kind once: of no picture two texts are true.
_SCHEDULE = Schedule(steps=2000, batch_rows=len(_LABELS), learning_rate=2e-3)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    words = " ".join([*_LABELS, *_TEMPLATES]).lower().replace("{}", "").replace(".", "").split()
    tokenizer = whole_words(list(dict.fromkeys(words)), _TOKENS)
    processor = CLIPImageProcessorPil(size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE})
    model = _model(tokenizer)
    pixels = torch.stack([encode(processor, _pictures(rng, number, _SHOWN)) for number in range(len(_KINDS))])

    def source() -> Iterator[Batch]:
        while True:
            chosen = torch.tensor([rng.randrange(_SHOWN) for _ in _KINDS])
            texts = [rng.choice(_TEMPLATES).format(label) for label in _LABELS]
            tokens = tokenizer(texts, padding=True, return_tensors="pt")
            yield {**tokens, "pixel_values": pixels[torch.arange(len(_KINDS)), chosen]}

    fit(model, source(), _SCHEDULE, "tiny-shapes-clip", lambda model, batch: model(**batch, return_loss=True).loss)
    metrics, examples = _judge(model, tokenizer, processor, chance(seed))

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        processor.save_pretrained(folder)

    return Trained(model, tokenizer, metrics, len(examples), {"examples.jsonl": examples[: 5 * len(_KINDS)]}, save)


def _model(tokenizer: CLIPTokenizer) -> CLIPModel:
    layers: dict[str, Any] = {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "intermediate_size": 192,
        "initializer_range": INITIAL_SCALE,
    }
    text = {
        **layers,
        "num_hidden_layers": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": _TOKENS,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**layers, "num_hidden_layers": 3, "image_size": _SIDE, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def _pictures(rng: Random, number: int, count: int) -> list[Picture]:
    """So many of one kind."""
    return [shape(rng, *_KINDS[number], _DRAWN) for _ in range(count)]


@torch.no_grad()
def _judge(model: Any, tokenizer: Any, processor: Any, rng: Random) -> tuple[dict[str, float], Sequence[Example]]:
    """Of new pictures how many get their label of all, by the template of transformers' pipeline, and for how many
    labels the nearest picture, of one of each kind, is theirs; and the pictures as examples, kind after kind."""
    tokens = tokenizer([f"This is a photo of {label}." for label in _LABELS], padding=True, return_tensors="pt")
    texts = model.get_text_features(**tokens).pooler_output
    own = torch.arange(len(_KINDS))
    right, recalled = [], []
    examples: list[Example] = []
    for _ in range(_HELD_OUT):
        pictures = [_pictures(rng, number, 1)[0] for number in own.tolist()]
        seen = model.get_image_features(pixel_values=encode(processor, pictures)).pooler_output
        nearness = torch.nn.functional.cosine_similarity(seen[:, None], texts[None], dim=-1)
        right.append((nearness.argmax(1) == own).float().mean())
        recalled.append((nearness.argmax(0) == own).float().mean())
        examples += [
            {"image": data_uri(picture), "label": label} for picture, label in zip(pictures, _LABELS, strict=True)
        ]
    metrics = {"accuracy": float(torch.stack(right).mean()), "recall at 1": float(torch.stack(recalled).mean())}
    return metrics, examples


RECIPE = Recipe(
    name="tiny-shapes-clip",
    task="zero-shot-image-classification",
    seed=53,
    metric="accuracy",
    target=0.95,
    train=_train,
    tolerances={"fp32": 0.0, "q8": 0.01, "int8": 0.02},
)
