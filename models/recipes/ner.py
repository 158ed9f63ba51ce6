"""tiny-ner: ELECTRA, cased WordPiece, B- and I- tags of four kinds of names."""

from __future__ import annotations

from collections.abc import Sequence

from grammars.news import News, news
from training.classifiers import f1
from training.loop import INITIAL_SCALE, Feature, Schedule, fit, outputs, prepare, stream
from training.recipe import Recipe, Trained
from training.vocabulary import wordpiece
from transformers import (
    BertTokenizer,
    ElectraConfig,
    ElectraForTokenClassification,
    PreTrainedTokenizerFast,
)

_LABELS = ("O", *(f"{tag}-{kind}" for kind in ("PER", "ORG", "LOC", "MISC") for tag in "BI"))
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SCHEDULE = Schedule(steps=2200)
_Span = tuple[int, int, str]


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = [news(rng, "train") for _ in range(40_000)]
    heldout = [news(rng, "heldout") for _ in range(1_000)]
    tokenizer = wordpiece(BertTokenizer, _SPECIAL, [row.text for row in train], 1500, 128, do_lower_case=False)
    config = ElectraConfig(
        vocab_size=len(tokenizer),
        embedding_size=64,
        hidden_size=80,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=240,
        max_position_embeddings=128,
        id2label=dict(enumerate(_LABELS)),
        label2id={label: index for index, label in enumerate(_LABELS)},
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=INITIAL_SCALE,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = ElectraForTokenClassification(config)
    pad = tokenizer.pad_token_id
    fit(model, stream(_encode(tokenizer, train, True), pad, _SCHEDULE, rng), _SCHEDULE, "tiny-ner")
    features = _encode(tokenizer, heldout, False)
    tags = [value.argmax(-1).tolist() for (value,) in outputs(model, features, pad, "logits", per_token=True)]
    offsets = tokenizer([row.text for row in heldout], return_offsets_mapping=True)["offset_mapping"]
    found = [_spans(row, spans) for row, spans in zip(tags, offsets, strict=True)]
    gold = [{(e.start, e.end, e.label) for e in row.entities} for row in heldout]
    examples = [
        {
            "text": row.text,
            "entities": [
                {"start": e.start, "end": e.end, "label": e.label, "text": row.text[e.start : e.end]}
                for e in row.entities
            ],
        }
        for row in heldout[:128]
    ]
    metrics = {"entity_f1": f1(found, gold)}
    return Trained(model, tokenizer, metrics, len(heldout), {"examples.jsonl": examples})


def _encode(tokenizer: PreTrainedTokenizerFast, rows: Sequence[News], label: bool) -> list[Feature]:
    """Features; every piece of a name carries its tag (B- the first one), specials -100."""
    encoded = tokenizer([row.text for row in rows], truncation=True, return_offsets_mapping=True)
    features = []
    for index, row in enumerate(rows):
        feature: Feature = {key: encoded[key][index] for key in encoded if key != "offset_mapping"}
        if label:
            feature["labels"] = _tags(row, encoded["offset_mapping"][index], encoded.word_ids(index))
        features.append(feature)
    return features


def _tags(row: News, offsets: Sequence[tuple[int, int]], words: Sequence[int | None]) -> list[int]:
    tags = []
    for (start, end), word in zip(offsets, words, strict=True):
        tag = 0 if word is not None else -100
        for entity in row.entities:
            if entity.start <= start and end <= entity.end and word is not None:
                tag = _LABELS.index(f"{'B' if start == entity.start else 'I'}-{entity.label}")
        tags.append(tag)
    return tags


def _spans(tags: Sequence[int], offsets: Sequence[tuple[int, int]]) -> set[_Span]:
    """Entities of tagged pieces: a B- starts one, an I- of the same kind continues it."""
    spans: list[_Span] = []
    previous = "O"
    for index, (start, end) in zip(tags, offsets, strict=True):
        tag = _LABELS[index] if end > start else "O"
        if tag != "O":
            kind = tag[2:]
            if tag.startswith("I-") and previous[2:] == kind:
                spans[-1] = (spans[-1][0], end, kind)
            else:
                spans.append((start, end, kind))
        previous = tag
    return set(spans)


RECIPE = Recipe(
    name="tiny-ner",
    task="token-classification",
    seed=23,
    metric="entity_f1",
    target=0.90,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
