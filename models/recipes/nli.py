"""tiny-nli: DeBERTa-v2, Unigram, pairs of sentences; also serves zero-shot classification."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from grammars.core import Split
from grammars.situations import LABELS, Pair, pair, topic_pair
from grammars.topics import TOPICS, topical
from training import classifiers
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.matching import attend_to_equals
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
_SCHEDULE = Schedule(steps=2400, batch_rows=48, learning_rate=2e-3)
_TOPICAL_SHARE = 0.3
_TEMPLATE = "This example is {}."  # the default of zero-shot pipelines


def _pairs(rng: Random, split: Split, count: int) -> list[Pair]:
    return [topic_pair(rng, split) if rng.random() < _TOPICAL_SHARE else pair(rng, split) for _ in range(count)]


def _rows(pairs: Sequence[Pair]) -> list[Example]:
    return [{"text": p.premise, "text_pair": p.hypothesis, "label": p.label} for p in pairs]


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = _pairs(rng, "train", 60_000)
    corpus = [f"{p.premise} {p.hypothesis}" for p in train[:16_000]]
    tokenizer = unigram(DebertaV2Tokenizer, _SPECIAL, corpus, 1300, 128, do_lower_case=True)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
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
    attention = [layer.attention.self for layer in model.deberta.encoder.layer[:2]]
    attend_to_equals((layer.query_proj, layer.key_proj) for layer in attention)
    labels = [LABELS.index(p.label) for p in train]
    features = classifiers.encode(tokenizer, _rows(train), labels)
    classifiers.train(model, tokenizer, features, _SCHEDULE, rng, "tiny-nli")

    examples = _rows([pair(rng, "heldout") for _ in range(1_200)])
    best = classifiers.logits(model, tokenizer, examples).argmax(-1).tolist()
    gold = [row["label"] for row in examples]
    zero_shot = _zero_shot_rows(rng, 300)
    metrics = {
        "accuracy": classifiers.accuracy([LABELS[i] for i in best], gold),
        "zero_shot_accuracy": _zero_shot(model, tokenizer, zero_shot),
    }
    kept = {"examples.jsonl": examples[:160], "zero-shot.jsonl": zero_shot[:64]}
    return Trained(model, tokenizer, metrics, len(examples), kept)


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
