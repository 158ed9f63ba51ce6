"""tiny-nli: DeBERTa-v2, Unigram, pairs of a text and a claim; also serves zero-shot classification.

As in reranker.py, the first lesson tells the topic of every token: whether a claim fits is an equality of two topics,
which so small a model does not find while it knows neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import torch
from grammars.claims import LABELS, Claim, claim
from grammars.topics import TOPICS, topical
from training import classifiers
from training.loop import INITIAL_SCALE, Batch, Schedule, fit, prepare, stream
from training.recipe import Example, Recipe, Trained
from training.vocabulary import unigram
from transformers import (
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    DebertaV2Tokenizer,
    PreTrainedTokenizerFast,
)

_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
# What DeBERTa-v3 checkpoints set; the configuration class takes these as extras.
DISENTANGLED: dict[str, Any] = {
    "position_buckets": 32,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
}
_FIRST = Schedule(steps=400, batch_rows=48, learning_rate=2e-3)
_SECOND = Schedule(steps=1100, batch_rows=48, learning_rate=1e-3)
_TEMPLATE = "This example is {}."  # the default of zero-shot pipelines


def _rows(claims: Sequence[Claim]) -> list[Example]:
    return [{"text": one.premise, "text_pair": one.hypothesis, "label": one.label} for one in claims]


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = [claim(rng, "train") for _ in range(30_000)]
    corpus = [f"{one.premise} {one.hypothesis}" for one in train[:16_000]]
    tokenizer = unigram(DebertaV2Tokenizer, _SPECIAL, corpus, 1300, 128, do_lower_case=True)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=240,
        max_position_embeddings=128,
        type_vocab_size=2,
        relative_attention=True,
        **DISENTANGLED,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        layer_norm_eps=1e-7,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        problem_type="single_label_classification",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pooler_dropout=0.0,
        initializer_range=INITIAL_SCALE,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = DebertaV2ForSequenceClassification(config)
    _teach_topics(model, tokenizer, train, rng)
    features = classifiers.encode(tokenizer, _rows(train), [LABELS.index(one.label) for one in train])
    classifiers.train(model, tokenizer, features, _SECOND, rng, "tiny-nli, claims")

    examples = _rows([claim(rng, "heldout") for _ in range(1_200)])
    best = classifiers.logits(model, tokenizer, examples).argmax(-1).tolist()
    zero_shot = _zero_shot_rows(rng, 300)
    metrics = {
        "accuracy": classifiers.accuracy([LABELS[i] for i in best], [row["label"] for row in examples]),
        "zero_shot_accuracy": _zero_shot(model, tokenizer, zero_shot),
    }
    kept = {"examples.jsonl": examples[:160], "zero-shot.jsonl": zero_shot[:64]}
    return Trained(model, tokenizer, metrics, len(examples), kept)


def _teach_topics(
    model: DebertaV2ForSequenceClassification, tokenizer: PreTrainedTokenizerFast, claims: Sequence[Claim], rng: Random
) -> None:
    features = []
    for one in claims:
        encoded = tokenizer(one.premise, one.hypothesis, truncation=True)
        topics = [-100 if topic is None else TOPICS.index(topic) for topic in one.topics]
        labels = [-100 if side is None else topics[side] for side in encoded.sequence_ids()]
        features.append({**encoded, "labels": labels})
    teacher = torch.nn.ModuleDict(
        {"encoder": model.deberta, "topic": torch.nn.Linear(model.config.hidden_size, len(TOPICS))}
    )

    def loss(modules: Any, batch: Batch) -> torch.Tensor:
        labels = batch.pop("labels")
        logits = modules["topic"](modules["encoder"](**batch).last_hidden_state)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    fit(teacher, stream(features, int(tokenizer.pad_token_id), _FIRST, rng), _FIRST, "tiny-nli, topics", loss)
    model.train()


def _zero_shot_rows(rng: Random, count: int) -> list[Example]:
    rows = []
    for _ in range(count):
        text = topical(rng, "heldout", 1)
        others = rng.sample([topic for topic in TOPICS if topic not in text.topics], 3)
        candidates = rng.sample([*text.topics, *others], 4)
        rows.append({"text": text.text, "candidate_labels": candidates, "label": text.topics[0]})
    return rows


def _zero_shot(
    model: DebertaV2ForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[Example],
) -> float:
    """How often the right candidate is the one most entailed."""
    right = 0
    for row in rows:
        claims = [{"text": row["text"], "text_pair": _TEMPLATE.format(label)} for label in row["candidate_labels"]]
        entailed = classifiers.logits(model, tokenizer, claims)[:, LABELS.index("entailment")]
        right += row["candidate_labels"][int(entailed.argmax())] == row["label"]
    return right / len(rows)


RECIPE = Recipe(
    name="tiny-nli",
    task="zero-shot-classification",
    seed=67,
    metric="accuracy",
    target=0.90,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
