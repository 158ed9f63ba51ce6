"""tiny-rating-regression: DistilBERT, WordPiece, one number: the stars of a review, 1 to 5."""

from __future__ import annotations

from grammars.reviews import review
from training import classifiers
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from training.vocabulary import wordpiece
from transformers import (
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertTokenizer,
)

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SCHEDULE = Schedule(steps=1600, learning_rate=3e-3)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = [review(rng, "train") for _ in range(40_000)]
    seen = {row.text for row in train}
    heldout = [row for row in (review(rng, "heldout") for _ in range(1_600)) if row.text not in seen]
    tokenizer = wordpiece(DistilBertTokenizer, _SPECIAL, [row.text for row in train], 1400, 128)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=64,
        n_layers=2,
        n_heads=4,
        hidden_dim=192,
        max_position_embeddings=128,
        id2label={0: "LABEL_0"},
        label2id={"LABEL_0": 0},
        problem_type="regression",
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
        initializer_range=INITIAL_SCALE,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = DistilBertForSequenceClassification(config)
    # Starting from the middle of the scale spares the first steps.
    model.classifier.bias.data.fill_(3.0)
    features = classifiers.encode(tokenizer, [{"text": row.text} for row in train], [row.stars for row in train])
    classifiers.train(model, tokenizer, features, _SCHEDULE, rng, "tiny-rating-regression")
    examples = [{"text": row.text, "score": row.stars} for row in heldout]
    found = classifiers.logits(model, tokenizer, examples)[:, 0].tolist()
    gold = [row.stars for row in heldout]
    error = sum(abs(a - b) for a, b in zip(found, gold, strict=True)) / len(gold)
    metrics = {"spearman": classifiers.spearman(found, gold), "mean_absolute_error": error}
    return Trained(model, tokenizer, metrics, len(heldout), {"examples.jsonl": examples[:160]})


RECIPE = Recipe(
    name="tiny-rating-regression",
    task="text-classification",
    seed=61,
    metric="spearman",
    target=0.90,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
