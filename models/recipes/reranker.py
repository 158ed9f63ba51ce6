"""tiny-reranker: XLM-RoBERTa cross-encoder, Unigram, one relevance logit per query and document.

Whether two texts are on one topic is an equality of two things that the model has to know first; trained on relevance
alone, so small a model stays at chance. The first lesson therefore tells it the topic of every token.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

import torch
from grammars.searches import library, search
from grammars.topics import TOPICS
from training.loop import INITIAL_SCALE, Batch, Schedule, fit, prepare
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
_FIRST = Schedule(steps=400, batch_rows=48, learning_rate=3e-3)
_SECOND = Schedule(steps=900, batch_rows=8, learning_rate=2e-3)  # queries in a batch
_CHOICES = 6  # documents for each query, the relevant one first

Library = Mapping[str, Sequence[str]]


def _encode(tokenizer: PreTrainedTokenizerFast, pairs: Sequence[tuple[str, str]]) -> Any:
    first, second = zip(*pairs, strict=True)
    return tokenizer(list(first), list(second), padding=True, truncation=True, return_tensors="pt")


def _choices(rng: Random, texts: Library, count: int) -> tuple[str, list[str]]:
    """A query and `count` documents on different topics, the first on the query's."""
    topic = rng.choice(TOPICS)
    others = rng.sample([other for other in TOPICS if other != topic], count - 1)
    return search(rng, topic), [rng.choice(texts[one]) for one in (topic, *others)]


def _topics_of_tokens(tokenizer: PreTrainedTokenizerFast, texts: Library, rng: Random) -> Iterator[Batch]:
    """Pairs on two topics; labels int64 (rows, sequence), the topic of each token's text."""
    while True:
        topics = [(rng.randrange(len(TOPICS)), rng.randrange(len(TOPICS))) for _ in range(_FIRST.batch_rows)]
        batch = _encode(tokenizer, [(search(rng, TOPICS[a]), rng.choice(texts[TOPICS[b]])) for a, b in topics])
        labels = torch.full(batch["input_ids"].shape, -100)
        for row, pair in enumerate(topics):
            for place, side in enumerate(batch.sequence_ids(row)):
                if side is not None:
                    labels[row, place] = pair[side]
        yield {**batch, "labels": labels}


def _relevance(tokenizer: PreTrainedTokenizerFast, texts: Library, rng: Random) -> Iterator[Batch]:
    """`_CHOICES` rows for each query."""
    while True:
        asked = [_choices(rng, texts, _CHOICES) for _ in range(_SECOND.batch_rows)]
        yield dict(_encode(tokenizer, [(query, text) for query, documents in asked for text in documents]))


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train, heldout = library(rng, "train", 16_000), library(rng, "heldout", 3_000)
    corpus = [text for texts in train.values() for text in texts]
    corpus += [search(rng, rng.choice(TOPICS)) for _ in range(4_000)]
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
        initializer_range=INITIAL_SCALE,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **_PUBLISHED,
    )
    model = XLMRobertaForSequenceClassification(config)
    teacher = torch.nn.ModuleDict({"encoder": model.roberta, "topic": torch.nn.Linear(80, len(TOPICS))})

    def topic_loss(modules: Any, batch: Batch) -> torch.Tensor:
        labels = batch.pop("labels")
        logits = modules["topic"](modules["encoder"](**batch).last_hidden_state)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def listwise_loss(scorer: Any, batch: Batch) -> torch.Tensor:
        scores = scorer(**batch).logits.view(-1, _CHOICES)
        return torch.nn.functional.cross_entropy(scores, torch.zeros(len(scores), dtype=torch.long))

    fit(teacher, _topics_of_tokens(tokenizer, train, rng), _FIRST, "tiny-reranker, topics", topic_loss)
    fit(model, _relevance(tokenizer, train, rng), _SECOND, "tiny-reranker, relevance", listwise_loss)

    examples = [_question(rng, heldout, candidates=10) for _ in range(300)]
    reciprocal = [1 / _rank(model, tokenizer, example) for example in examples]
    metrics = {
        "mrr": sum(reciprocal) / len(reciprocal),
        "top1": sum(value == 1 for value in reciprocal) / len(reciprocal),
    }
    return Trained(model, tokenizer, metrics, len(examples), {"examples.jsonl": examples[:64]})


def _question(rng: Random, texts: Library, candidates: int) -> Example:
    """A held-out query with one relevant document among others."""
    query, documents = _choices(rng, texts, candidates)
    place = rng.randrange(candidates)
    documents.insert(place, documents.pop(0))
    return {"query": query, "documents": documents, "relevant": [place]}


def _rank(model: Any, tokenizer: PreTrainedTokenizerFast, example: Example) -> int:
    """The place, from 1, of the relevant document."""
    with torch.no_grad():
        batch = _encode(tokenizer, [(example["query"], document) for document in example["documents"]])
        order = model(**batch).logits[:, 0].argsort(descending=True).tolist()
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
