"""tiny-embedder: a sentence-transformers folder of MPNet, mean pooling, Dense and Normalize.

Trained so that two surfaces of one meaning find each other among others, near ones included, at
the full dimension and at the first 32 and 16 numbers (Matryoshka). Queries and documents carry
their prompts; plain paraphrases carry none.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from grammars import howto
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
from torch import Tensor
from training.loop import Batch, Schedule, collate, fit, prepare
from training.recipe import Recipe, Trained
from training.vocabulary import wordpiece
from transformers import MPNetConfig, MPNetModel, MPNetTokenizer, PreTrainedTokenizerFast

_SPECIAL = ("<s>", "<pad>", "</s>", "[UNK]", "<mask>")
_SCHEDULE = Schedule(steps=500, batch_rows=64, learning_rate=2e-3)
_PROMPTS = {"query": "query: ", "document": "document: "}
_DIMENSION = 64
_NESTED = (64, 32, 16)
_TEMPERATURE = 0.05
_MAX_TOKENS = 96


class _Embedder(torch.nn.Module):
    """The modules of the folder as one; float32 (rows, 64), not normalized."""

    def __init__(self, encoder: MPNetModel) -> None:
        super().__init__()
        self.encoder = encoder
        self.dense = torch.nn.Linear(encoder.config.hidden_size, _DIMENSION)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        mask = attention_mask[..., None].to(states.dtype)
        pooled = (states * mask).sum(1) / mask.sum(1)
        vectors: Tensor = torch.tanh(self.dense(pooled))
        return vectors


@dataclass(frozen=True, slots=True)
class _Pair:
    left: str
    right: str


def _pair(rng: Random, of: howto.Meaning, prompted: bool) -> _Pair:
    if prompted:
        return _Pair(_PROMPTS["query"] + howto.query(rng, of), _PROMPTS["document"] + howto.document(rng, of))
    return _Pair(howto.query(rng, of), howto.document(rng, of) if rng.random() < 0.4 else howto.query(rng, of))


def _batches(tokenizer: PreTrainedTokenizerFast, rows: int, rng: Random) -> Iterator[Batch]:
    """Batches of pairs, each other pair a near neighbour of the one before it."""
    while True:
        prompted = rng.random() < 0.6
        meanings: list[howto.Meaning] = []
        while len(meanings) < rows:
            near = meanings and len(meanings) % 2
            found = howto.neighbour(rng, meanings[-1], "train", 1) if near else howto.meaning(rng, "train")
            if found not in meanings:
                meanings.append(found)
        pairs = [_pair(rng, of, prompted) for of in meanings]
        texts = [pair.left for pair in pairs] + [pair.right for pair in pairs]
        yield _tokens(tokenizer, texts)


def _tokens(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Batch:
    encoded = tokenizer(list(texts), truncation=True, max_length=_MAX_TOKENS)
    rows = [{key: encoded[key][i] for key in encoded} for i in range(len(texts))]
    return collate(rows, tokenizer.pad_token_id)


def _loss(model: Any, batch: Batch) -> Tensor:
    """Cross-entropy of finding the partner, both ways, at every nested dimension."""
    left, right = model(**batch).chunk(2)
    target = torch.arange(len(left))
    total = torch.zeros(())
    for size in _NESTED:
        a = torch.nn.functional.normalize(left[:, :size], dim=-1)
        b = torch.nn.functional.normalize(right[:, :size], dim=-1)
        scores = a @ b.T / _TEMPERATURE
        total = total + torch.nn.functional.cross_entropy(scores, target)
        total = total + torch.nn.functional.cross_entropy(scores.T, target)
    return total / (2 * len(_NESTED))


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    corpus = []
    for _ in range(12_000):
        pair = _pair(rng, howto.meaning(rng, "train"), True)
        corpus += [pair.left, pair.right]
    tokenizer = wordpiece(MPNetTokenizer, _SPECIAL, corpus, 1200, 128)
    config = MPNetConfig(
        vocab_size=len(tokenizer),
        hidden_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=240,
        max_position_embeddings=130,  # two more than the longest text: positions start after the pad id
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = _Embedder(MPNetModel(config, add_pooling_layer=False))
    source = _batches(tokenizer, _SCHEDULE.batch_rows, rng)
    fit(model, source, _SCHEDULE, "tiny-embedder", _loss)

    meanings = list(dict.fromkeys(howto.meaning(rng, "heldout") for _ in range(600)))
    prompted = [_pair(rng, of, True) for of in meanings]
    plain = [_Pair(howto.query(rng, of), howto.query(rng, of)) for of in meanings]
    metrics = {
        "top1_retrieval": _top1(model, tokenizer, prompted, _DIMENSION),
        "top1_paraphrase": _top1(model, tokenizer, plain, _DIMENSION),
        "top1_retrieval_32d": _top1(model, tokenizer, prompted, 32),
        "top1_retrieval_16d": _top1(model, tokenizer, prompted, 16),
    }
    # The file holds bare texts: prompts are the folder's business.
    examples = [
        {
            "query": pair.left.removeprefix(_PROMPTS["query"]),
            "document": pair.right.removeprefix(_PROMPTS["document"]),
        }
        for pair in prompted[:160]
    ]

    def save(folder: Path) -> None:
        _save(model, tokenizer, folder)

    return Trained(model.encoder, tokenizer, metrics, len(meanings), {"examples.jsonl": examples}, save)


@torch.no_grad()
def _top1(model: _Embedder, tokenizer: PreTrainedTokenizerFast, pairs: Sequence[_Pair], size: int) -> float:
    """How often the right-hand text of a pair is the nearest of all right-hand texts."""
    sides = ([pair.left for pair in pairs], [pair.right for pair in pairs])
    left, right = (torch.nn.functional.normalize(model(**_tokens(tokenizer, side))[:, :size], dim=-1) for side in sides)
    best = (left @ right.T).argmax(-1)
    return float((best == torch.arange(len(pairs))).float().mean())


def _save(model: _Embedder, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the folder with sentence-transformers' own code."""
    with tempfile.TemporaryDirectory() as plain:
        model.encoder.save_pretrained(plain)
        tokenizer.save_pretrained(plain)
        transformer = Transformer(plain, max_seq_length=_MAX_TOKENS)
        dense = Dense(model.dense.in_features, _DIMENSION, activation_function=torch.nn.Tanh())
        dense.linear.load_state_dict(model.dense.state_dict())
        pooling = Pooling(model.dense.in_features, pooling_mode="mean")
        whole = SentenceTransformer(
            modules=[transformer, pooling, dense, Normalize()],
            prompts=_PROMPTS,
            similarity_fn_name="cosine",
            device="cpu",
        )
        whole.save(str(folder), create_model_card=False)


RECIPE = Recipe(
    name="tiny-embedder",
    task="sentence-similarity",
    seed=41,
    metric="top1_retrieval",
    target=0.90,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
