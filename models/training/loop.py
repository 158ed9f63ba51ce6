"""Fitting a model to a list of features, and running one over features: batches, loss, schedule.

Features are dicts of token-id lists and labels, as a tokenizer and a recipe make them. The loop
knows no task: the model's own loss, or a function given, says what is learned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

Feature = dict[str, Any]
Batch = dict[str, Tensor]
Loss = Callable[[Any, Batch], Tensor]

# The usual 0.02 suits a width of 768; at 64 it makes the first thousand steps a crawl.
INITIAL_SCALE = 0.08
_FILLERS = {"attention_mask": 0, "token_type_ids": 0, "labels": -100}


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: steps of `batch_rows` rows, learning rate rising, then falling to nothing at the last.

    `stop`: after so many steps already, where a model has learned enough before.
    """

    steps: int
    batch_rows: int = 48
    learning_rate: float = 2e-3
    warmup: float = 0.08
    weight_decay: float = 0.01
    stop: int | None = None


def prepare(seed: int) -> Random:
    """Make this process reproducible and polite: one thread, seeded generators."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    return Random(seed)


def collate(rows: Sequence[Feature], pad_id: int) -> Batch:
    """Pad ragged lists on the right; int64 (rows, longest), or (rows, ...) for plain labels."""
    batch: Batch = {}
    for key, first in rows[0].items():
        values = [row[key] for row in rows]
        ragged = isinstance(first, list) and (key in _FILLERS or key == "input_ids")
        if ragged and isinstance(first[0], int):
            longest = max(map(len, values))
            filler = pad_id if key == "input_ids" else _FILLERS[key]
            values = [value + [filler] * (longest - len(value)) for value in values]
        batch[key] = torch.tensor(values)
    return batch


def batches(features: Sequence[Feature], rows: int, rng: Random) -> Iterator[list[Feature]]:
    """Endless batches of similar length: each epoch is shuffled, sorted in pools, shuffled."""
    order = list(range(len(features)))
    while True:
        rng.shuffle(order)
        groups: list[list[int]] = []
        for start in range(0, len(order), rows * 32):
            pool = sorted(order[start : start + rows * 32], key=lambda i: len(features[i]["input_ids"]))
            groups.extend(pool[at : at + rows] for at in range(0, len(pool), rows))
        rng.shuffle(groups)
        for group in groups:
            if len(group) == rows:
                yield [features[i] for i in group]


def model_loss(model: Any, batch: Batch) -> Tensor:
    """The loss that the model computes itself from its labels."""
    loss: Tensor = model(**batch).loss
    return loss


def fit(
    model: torch.nn.Module,
    source: Iterator[Batch],
    schedule: Schedule,
    title: str,
    loss: Loss = model_loss,
) -> None:
    """Train in place with AdamW and a linear schedule; leaves the model in eval mode."""
    model.train()
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=schedule.learning_rate,
        betas=(0.9, 0.98),
    )
    rise = max(1, int(schedule.steps * schedule.warmup))
    fall = schedule.steps - rise
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, max(0.0, (schedule.steps - step) / fall))
    )
    smooth = 0.0
    with tqdm(total=schedule.stop or schedule.steps, desc=title, unit="step", mininterval=1.0) as bar:
        for step, batch in zip(range(schedule.stop or schedule.steps), source, strict=False):
            value = loss(model, batch)
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            rate.step()
            smooth = value.item() if step == 0 else 0.98 * smooth + 0.02 * value.item()
            bar.set_postfix(loss=f"{smooth:.3f}", refresh=False)
            bar.update()
    model.eval()


def stream(features: Sequence[Feature], pad_id: int, schedule: Schedule, rng: Random) -> Iterator[Batch]:
    """The padded batches that `fit` reads."""
    for group in batches(features, schedule.batch_rows, rng):
        yield collate(group, pad_id)


@torch.no_grad()
def outputs(
    model: Any, features: Sequence[Feature], pad_id: int, *names: str, per_token: bool = False
) -> list[tuple[Tensor, ...]]:
    """Named outputs of each feature; those `per_token` are cut to the feature's own length."""
    results: list[tuple[Tensor, ...]] = []
    for start in range(0, len(features), 64):
        rows = [{k: v for k, v in f.items() if k != "labels"} for f in features[start : start + 64]]
        out = model(**collate(rows, pad_id))
        for index, row in enumerate(rows):
            length = len(row["input_ids"]) if per_token else None
            results.append(tuple(out[name][index][:length] for name in names))
    return results
