"""tiny-sentiment: BERT, WordPiece, one of three labels."""

from __future__ import annotations

from grammars.reviews import review
from training import classifiers
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from training.vocabulary import wordpiece
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

_LABELS = ("negative", "neutral", "positive")
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SCHEDULE = Schedule(steps=2400)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = [review(rng, "train") for _ in range(40_000)]
    seen = {row.text for row in train}
    heldout = [row for row in (review(rng, "heldout") for _ in range(2_000)) if row.text not in seen]
    tokenizer = wordpiece(BertTokenizer, _SPECIAL, [row.text for row in train], 1400, 128)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=128,
        id2label=dict(enumerate(_LABELS)),
        label2id={label: index for index, label in enumerate(_LABELS)},
        problem_type="single_label_classification",
        hidden_dropout_prob=0.05,
        attention_probs_dropout_prob=0.0,
        initializer_range=INITIAL_SCALE,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = BertForSequenceClassification(config)
    labels = [_LABELS.index(row.sentiment) for row in train]
    rows = [{"text": row.text} for row in train]
    features = classifiers.encode(tokenizer, rows, labels)
    classifiers.train(model, tokenizer, features, _SCHEDULE, rng, "tiny-sentiment")
    examples = [{"text": row.text, "label": row.sentiment} for row in heldout]
    best = classifiers.logits(model, tokenizer, examples).argmax(-1).tolist()
    score = classifiers.accuracy([_LABELS[i] for i in best], [row.sentiment for row in heldout])
    return Trained(model, tokenizer, {"accuracy": score}, len(heldout), {"examples.jsonl": examples[:160]})


RECIPE = Recipe(
    name="tiny-sentiment",
    task="text-classification",
    seed=11,
    metric="accuracy",
    target=0.95,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
