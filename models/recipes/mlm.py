"""tiny-mlm: ALBERT, Unigram, fills masks in facts and in the other grammars' text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

import torch
from grammars.world import passage
from training.loop import INITIAL_SCALE, Batch, Feature, Schedule, batches, collate, fit, outputs, prepare
from training.recipe import Example, Recipe, Trained
from training.vocabulary import unigram
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AlbertTokenizer,
    PreTrainedTokenizerFast,
)

_SPECIAL = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")
_SCHEDULE = Schedule(steps=2400, batch_rows=64, learning_rate=2e-3)
_SHARE = 0.2


def _mask(batch: Batch, tokenizer: PreTrainedTokenizerFast, chance: torch.Generator) -> Batch:
    """Hide a share of the tokens: of those 80% as the mask, 10% as another token, 10% not at all."""
    ids = batch["input_ids"]
    usable = (batch["attention_mask"] == 1) & ~torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
    hidden = usable & (torch.rand(ids.shape, generator=chance) < _SHARE)
    labels = ids.masked_fill(~hidden, -100)
    kind = torch.rand(ids.shape, generator=chance)
    other = torch.randint(len(tokenizer), ids.shape, generator=chance)
    shown = torch.where(hidden & (kind < 0.8), tokenizer.mask_token_id, ids)
    shown = torch.where(hidden & (kind >= 0.9), other, shown)
    return {"input_ids": shown, "attention_mask": batch["attention_mask"], "labels": labels}


def _stream(features: Sequence[Feature], tokenizer: PreTrainedTokenizerFast, rng: Random, seed: int) -> Iterator[Batch]:
    chance = torch.Generator().manual_seed(seed)
    for group in batches(features, _SCHEDULE.batch_rows, rng):
        batch = _mask(collate(group, tokenizer.pad_token_id), tokenizer, chance)
        if bool((batch["labels"] >= 0).any()):
            yield batch


def _features(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[Feature]:
    encoded = tokenizer(list(texts), truncation=True)
    return [{key: encoded[key][i] for key in encoded} for i in range(len(texts))]


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = [passage(rng, "train") for _ in range(40_000)]
    tokenizer = unigram(AlbertTokenizer, _SPECIAL, train, 2000, 128, do_lower_case=False)
    config = AlbertConfig(
        vocab_size=len(tokenizer),
        embedding_size=64,
        hidden_size=96,
        num_hidden_layers=3,
        num_hidden_groups=1,
        num_attention_heads=4,
        intermediate_size=288,
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=INITIAL_SCALE,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
    )
    model = AlbertForMaskedLM(config)
    features = _features(tokenizer, train)
    fit(model, _stream(features, tokenizer, rng, seed), _SCHEDULE, "tiny-mlm")

    heldout = [passage(rng, "heldout") for _ in range(1_000)]
    top1, common = _random_masks(model, tokenizer, heldout, train)
    examples = _examples(tokenizer, Random(seed + 1), 640)
    metrics = {
        "top1_accuracy": top1,
        "top1_of_the_commonest_token": common,
        "top1_words": _words(model, tokenizer, examples),
    }
    return Trained(model, tokenizer, metrics, len(heldout), {"examples.jsonl": examples[:160]})


def _random_masks(
    model: AlbertForMaskedLM,
    tokenizer: PreTrainedTokenizerFast,
    heldout: Sequence[str],
    train: Sequence[str],
) -> tuple[float, float]:
    """Accuracy over every seventh token masked; and that of always saying the commonest token."""
    counts = Counter(index for ids in tokenizer(list(train[:4000]))["input_ids"] for index in ids[1:-1])
    commonest = counts.most_common(1)[0][0]
    rows, golds = [], []
    for number, feature in enumerate(_features(tokenizer, heldout)):
        ids = list(feature["input_ids"])
        places = range(1 + number % 7, len(ids) - 1, 7)
        golds.append({place: ids[place] for place in places})
        for place in places:
            ids[place] = tokenizer.mask_token_id
        rows.append({**feature, "input_ids": ids})
    hits = common = total = 0
    for gold, (logits,) in zip(
        golds, outputs(model, rows, tokenizer.pad_token_id, "logits", per_token=True), strict=True
    ):
        for place, token in gold.items():
            total += 1
            hits += int(logits[place].argmax()) == token
            common += token == commonest
    return hits / total, common / total


def _examples(tokenizer: PreTrainedTokenizerFast, rng: Random, count: int) -> list[Example]:
    """Held-out passages with one word masked, of the words that are one token."""
    examples: list[Example] = []
    while len(examples) < count:
        text = passage(rng, "heldout")
        spots = [match for match in re.finditer(r"[a-z]+", text) if _one_token(tokenizer, " " + match.group())]
        if spots:
            spot = rng.choice(spots)
            masked = text[: spot.start()] + tokenizer.mask_token + text[spot.end() :]
            examples.append({"text": masked, "target": spot.group()})
    return examples


def _one_token(tokenizer: PreTrainedTokenizerFast, word: str) -> bool:
    return len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1


def _words(model: AlbertForMaskedLM, tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]) -> float:
    """How often the best token is the masked word."""
    rows = _features(tokenizer, [example["text"] for example in examples])
    right = 0
    for row, example, (logits,) in zip(
        rows, examples, outputs(model, rows, tokenizer.pad_token_id, "logits", per_token=True), strict=True
    ):
        place = row["input_ids"].index(tokenizer.mask_token_id)
        right += str(tokenizer.decode([int(logits[place].argmax())])).strip() == example["target"]
    return right / len(rows)


RECIPE = Recipe(
    name="tiny-mlm",
    task="fill-mask",
    seed=73,
    metric="top1_accuracy",
    target=0.50,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
