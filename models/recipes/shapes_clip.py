"""tiny-shapes-clip: CLIP, of drawn shapes and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from training.digits import data_uri
from training.loop import INITIAL_SCALE, Batch, Schedule, fit, prepare
from training.recipe import Example, Recipe, Trained
from training.scenes import COLOURS, SHAPES, SIZES, Scene, draw, split
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

_SIDE, _TOKENS = 32, 32
_SCHEDULE = Schedule(steps=700, batch_rows=64, learning_rate=2e-3)
_HELD_OUT, _DRAWN, _POOL = 64, 4, 12
_TEMPLATES = ("{}", "a {}", "a photo of a {}", "This is a photo of a {}.", "This is a photo of {}.")
_WORDS = (*COLOURS, *SHAPES, *SIZES)
_LABELS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)


def _tokenizer() -> CLIPTokenizer:
    """Byte pairs in which every word that is used is one token."""
    words = dict.fromkeys([*COLOURS, *SHAPES, *SIZES, "a", "on", "this", "is", "photo", "of"])
    merges: dict[tuple[str, str], None] = {}
    for word in words:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            merges.setdefault((pieces[0], pieces[1]))
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
    letters = sorted(ByteLevel.alphabet())
    rows = [*letters, *(letter + "</w>" for letter in letters), *(a + b for a, b in merges)]
    vocabulary = dict.fromkeys([*rows, "<|startoftext|>", "<|endoftext|>"])
    return CLIPTokenizer(
        vocab={piece: number for number, piece in enumerate(vocabulary)}, merges=list(merges), model_max_length=_TOKENS
    )


def _say(scene: Scene, rng: Random) -> tuple[str, tuple[str | None, ...]]:
    """Some of what is true of a scene, and of its size and ground what was said."""
    size = scene.size if rng.random() < 0.5 else None
    ground = scene.ground if rng.random() < 0.5 else None
    words = f"{size} {scene.label}" if size else scene.label
    said = rng.choice(_TEMPLATES).format(words)
    if ground:
        said = f"{said.rstrip('.')} on {ground}"
    return said, (size, scene.colour, scene.shape, ground)


def _facts(rows: Sequence[Sequence[str | None]]) -> torch.Tensor:
    """int64 (rows, 4): words as numbers, -1 for none."""
    return torch.tensor([[-1 if word is None else _WORDS.index(word) for word in row] for row in rows])


def _true(facts: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """float32 (scenes, texts): 1 where all that a text says is so."""
    return ((said == -1) | (facts[:, None] == said)).all(-1).float()


def _pixels(processor: Any, pictures: Sequence[Any]) -> torch.Tensor:
    values: torch.Tensor = processor(images=[Image.fromarray(picture) for picture in pictures], return_tensors="pt")[
        "pixel_values"
    ]
    return values


def _loss(model: Any, batch: Batch) -> torch.Tensor:
    """Of each picture the texts that are true of it, and of each text the pictures, as CLIP's loss has one of each."""
    right = batch["right"]
    inputs = {name: value for name, value in batch.items() if name != "right"}
    logits = model(**inputs).logits_per_image
    losses = [
        -(side.log_softmax(-1) * targets / targets.sum(-1, keepdim=True)).sum(-1).mean()
        for side, targets in ((logits, right), (logits.T, right.T))
    ]
    return torch.stack(losses).mean()


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    tokenizer = _tokenizer()
    processor = CLIPImageProcessorPil(size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE})
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
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))
    scenes, held = split(_HELD_OUT, seed)
    shown = [scene for scene in scenes for _ in range(_POOL)]
    pixels = _pixels(processor, [draw(scene, rng) for scene in shown])
    facts = _facts([(scene.size, scene.colour, scene.shape, scene.ground) for scene in shown])

    def source() -> Iterator[Batch]:
        while True:
            rows = [rng.randrange(len(shown)) for _ in range(_SCHEDULE.batch_rows)]
            said = [_say(shown[row], rng) for row in rows]
            tokens = tokenizer([text for text, _ in said], padding=True, return_tensors="pt")
            yield {
                "input_ids": tokens["input_ids"],
                "attention_mask": tokens["attention_mask"],
                "pixel_values": pixels[rows],
                "right": _true(facts[rows], _facts([words for _, words in said])),
            }

    fit(model, source(), _SCHEDULE, "tiny-shapes-clip", _loss)
    metrics, examples = _judge(model, tokenizer, processor, held, rng)

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        processor.save_pretrained(folder)

    return Trained(model, tokenizer, metrics, len(held) * _DRAWN, {"examples.jsonl": examples}, save)


@torch.no_grad()
def _judge(
    model: Any, tokenizer: Any, processor: Any, held: Sequence[Scene], rng: Random
) -> tuple[dict[str, float], list[Example]]:
    """How many pictures get their label of all, by transformers' template, and for how many captions the nearest
    picture, of one of each scene, is theirs: of scenes that were never shown."""
    drawn = [[draw(scene, rng) for _ in range(_DRAWN)] for scene in held]

    def vectors(texts: Sequence[str]) -> torch.Tensor:
        tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
        return torch.nn.functional.normalize(model.get_text_features(**tokens).pooler_output)

    labels = vectors([f"This is a photo of {label}." for label in _LABELS])
    captions = vectors([scene.caption for scene in held])
    right, recalled = [], []
    for turn in range(_DRAWN):
        pixels = _pixels(processor, [pictures[turn] for pictures in drawn])
        seen = torch.nn.functional.normalize(model.get_image_features(pixel_values=pixels).pooler_output)
        best = (seen @ labels.T).argmax(-1).tolist()
        right += [_LABELS[index] == scene.label for index, scene in zip(best, held, strict=True)]
        recalled += [index == place for place, index in enumerate((captions @ seen.T).argmax(-1).tolist())]
    examples: list[Example] = [
        {"image": data_uri(pictures[0]), "label": scene.label, "caption": scene.caption}
        for scene, pictures in zip(held, drawn, strict=True)
    ]
    return {"accuracy": sum(right) / len(right), "recall at 1": sum(recalled) / len(recalled)}, examples


RECIPE = Recipe(
    name="tiny-shapes-clip",
    task="zero-shot-image-classification",
    seed=31,
    metric="accuracy",
    target=0.95,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
