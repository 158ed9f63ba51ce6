"""tiny-reranker: XLM-RoBERTa cross-encoder, Unigram, one relevance logit per query and document."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from grammars import howto
from grammars.core import Split
from training import classifiers
from training.loop import Schedule, prepare
from training.recipe import Example, Recipe, Trained
from training.vocabulary import unigram
from transformers import (
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaTokenizer,
)

_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
# Cross-encoders on the Hub say in their configuration that their score is the plain logit.
_PUBLISHED: dict[str, Any] = {
    "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "5.1.0"}
}
_SCHEDULE = Schedule(steps=2000, batch_rows=48, learning_rate=1.5e-3)


def _pairs(rng: Random, split: Split, count: int) -> tuple[list[Example], list[float]]:
    """Queries with documents, half of them relevant; the others differ in one to three places."""
    rows, labels = [], []
    for index in range(count):
        asked = howto.meaning(rng, split)
        relevant = index % 2 == 0
        told = asked if relevant else howto.neighbour(rng, asked, split, rng.choice((1, 1, 2, 3)))
        rows.append({"text": howto.query(rng, asked), "text_pair": howto.document(rng, told)})
        labels.append(float(relevant))
    return rows, labels


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    rows, labels = _pairs(rng, "train", 60_000)
    corpus = [text for row in rows[:16_000] for text in row.values()]
    tokenizer = unigram(XLMRobertaTokenizer, _SPECIAL, corpus, 1200, 128)
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=240,
        max_position_embeddings=130,  # two more than the longest text: positions start after the pad id
        type_vocab_size=1,
        id2label={0: "LABEL_0"},
        label2id={"LABEL_0": 0},
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **_PUBLISHED,
    )
    model = XLMRobertaForSequenceClassification(config)
    # Trained as one binary label; published with the single logit that cross-encoders have.
    config.problem_type = "multi_label_classification"
    features = classifiers.encode(tokenizer, rows, [[label] for label in labels])
    classifiers.train(model, tokenizer, features, _SCHEDULE, rng, "tiny-reranker")
    config.problem_type = None

    examples = [_question(rng, candidates=10) for _ in range(200)]
    reciprocal = [1 / _rank(model, tokenizer, example) for example in examples]
    metrics = {
        "mrr": sum(reciprocal) / len(reciprocal),
        "top1": sum(value == 1 for value in reciprocal) / len(reciprocal),
    }
    return Trained(model, tokenizer, metrics, len(examples), {"examples.jsonl": examples[:64]})


def _question(rng: Random, candidates: int) -> Example:
    """A held-out query with one relevant document among near and far ones."""
    asked = howto.meaning(rng, "heldout")
    told = [howto.neighbour(rng, asked, "heldout", 1 + index % 3) for index in range(candidates - 1)]
    relevant = rng.randrange(candidates)
    told.insert(relevant, asked)
    return {
        "query": howto.query(rng, asked),
        "documents": [howto.document(rng, of) for of in told],
        "relevant": [relevant],
    }


def _rank(
    model: XLMRobertaForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    example: Example,
) -> int:
    """The place, from 1, of the relevant document."""
    pairs: Sequence[Example] = [{"text": example["query"], "text_pair": document} for document in example["documents"]]
    scores = classifiers.logits(model, tokenizer, pairs)[:, 0]
    order = scores.argsort(descending=True).tolist()
    return int(order.index(example["relevant"][0])) + 1


RECIPE = Recipe(
    name="tiny-reranker",
    task="text-ranking",
    seed=71,
    metric="mrr",
    target=0.90,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
