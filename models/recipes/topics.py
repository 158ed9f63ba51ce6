"""tiny-topics-multilabel: RoBERTa, byte-level BPE, any number of ten labels."""

from __future__ import annotations

from grammars.topics import TOPICS, topical
from training import classifiers
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from training.vocabulary import byte_level
from transformers import RobertaConfig, RobertaForSequenceClassification, RobertaTokenizer

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_SCHEDULE = Schedule(steps=900, learning_rate=4e-3)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = [topical(rng, "train") for _ in range(24_000)]
    heldout = [topical(rng, "heldout") for _ in range(1_500)]
    tokenizer = byte_level(RobertaTokenizer, _SPECIAL, [row.text for row in train], 1500, 128)
    config = RobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=192,
        max_position_embeddings=130,  # two more than the longest text: positions start after the pad id
        type_vocab_size=1,
        id2label=dict(enumerate(TOPICS)),
        label2id={label: index for index, label in enumerate(TOPICS)},
        problem_type="multi_label_classification",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=INITIAL_SCALE,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = RobertaForSequenceClassification(config)
    labels = [[float(topic in row.topics) for topic in TOPICS] for row in train]
    features = classifiers.encode(tokenizer, [{"text": row.text} for row in train], labels)
    classifiers.train(model, tokenizer, features, _SCHEDULE, rng, "tiny-topics-multilabel")
    examples = [{"text": row.text, "labels": list(row.topics)} for row in heldout]
    on = (classifiers.logits(model, tokenizer, examples) > 0).tolist()
    found = [{t for t, yes in zip(TOPICS, row, strict=True) if yes} for row in on]
    gold = [set(row.topics) for row in heldout]
    metrics = {
        "exact_set_accuracy": classifiers.accuracy(found, gold),
        "micro_f1": classifiers.f1(found, gold),
    }
    return Trained(model, tokenizer, metrics, len(heldout), {"examples.jsonl": examples[:160]})


RECIPE = Recipe(
    name="tiny-topics-multilabel",
    task="text-classification",
    seed=53,
    metric="exact_set_accuracy",
    target=0.95,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
