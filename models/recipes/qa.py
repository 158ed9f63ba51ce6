"""tiny-qa: DeBERTa-v2, Unigram, extractive answers; no answer is the span of the first token."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

from grammars.biographies import Question, lookup, question
from training.loop import INITIAL_SCALE, Feature, Schedule, fit, outputs, prepare, stream
from training.matching import attend_to_equals
from training.recipe import Recipe, Trained
from training.vocabulary import unigram
from transformers import (
    DebertaV2Config,
    DebertaV2ForQuestionAnswering,
    DebertaV2Tokenizer,
    PreTrainedTokenizerFast,
)

from recipes.nli import DISENTANGLED

_SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
_SCHEDULE = Schedule(steps=2600, batch_rows=32, learning_rate=2e-3)
_FIRST_STEPS, _SHORT_STEPS = 700, 600
_MAX_ANSWER_TOKENS = 15


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    rows = _SCHEDULE.batch_rows
    # First to find a name at all, then to tell whose value a value is, then among many.
    first = [lookup(rng, "train") if i % 2 else question(rng, "train", 2) for i in range(_FIRST_STEPS * rows)]
    short = [question(rng, "train", 2) for _ in range(_SHORT_STEPS * rows)]
    train = [question(rng, "train", rng.choice((2, 4, 7))) for _ in range(48_000)]
    heldout = [question(rng, "heldout") for _ in range(1_000)]
    corpus = [f"{row.question} {row.context}" for row in train[:12_000]]
    tokenizer = unigram(DebertaV2Tokenizer, _SPECIAL, corpus, 1600, 192)
    config = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=80,
        num_hidden_layers=3,
        num_attention_heads=5,
        intermediate_size=240,
        max_position_embeddings=192,
        type_vocab_size=2,
        relative_attention=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        layer_norm_eps=1e-7,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=INITIAL_SCALE,
        pad_token_id=tokenizer.pad_token_id,
        **DISENTANGLED,
    )
    model = DebertaV2ForQuestionAnswering(config)
    attend_to_equals(model, layers=2)
    pad = tokenizer.pad_token_id
    lessons = [
        islice(stream(_encode(tokenizer, first), pad, _SCHEDULE, rng), _FIRST_STEPS),
        islice(stream(_encode(tokenizer, short), pad, _SCHEDULE, rng), _SHORT_STEPS),
        stream(_encode(tokenizer, train), pad, _SCHEDULE, rng),
    ]
    fit(model, chain(*lessons), _SCHEDULE, "tiny-qa")
    answers = _answers(model, tokenizer, heldout)
    right = [a == row.answer for a, row in zip(answers, heldout, strict=True)]
    missing = [r for r, row in zip(right, heldout, strict=True) if row.start < 0]
    metrics = {
        "exact_match": sum(right) / len(right),
        "exact_match_unanswerable": sum(missing) / len(missing),
    }
    examples = [
        {
            "question": row.question,
            "context": row.context,
            "answers": {
                "text": [row.answer] if row.answer else [],
                "answer_start": [row.start] if row.answer else [],
            },
        }
        for row in heldout[:128]
    ]
    return Trained(model, tokenizer, metrics, len(heldout), {"examples.jsonl": examples})


def _encode(tokenizer: PreTrainedTokenizerFast, rows: Sequence[Question]) -> list[Feature]:
    """Features with the answer's first and last token; 0 and 0 where there is no answer."""
    encoded = tokenizer([row.question for row in rows], [row.context for row in rows], truncation="only_second")
    features = []
    for index, row in enumerate(rows):
        first = last = None
        if row.start >= 0:
            first = encoded.char_to_token(index, row.start, 1)
            last = encoded.char_to_token(index, row.start + len(row.answer) - 1, 1)
        feature: Feature = {key: encoded[key][index] for key in encoded}
        feature["start_positions"] = first if first is not None and last is not None else 0
        feature["end_positions"] = last if first is not None and last is not None else 0
        features.append(feature)
    return features


def _answers(
    model: DebertaV2ForQuestionAnswering,
    tokenizer: PreTrainedTokenizerFast,
    rows: Sequence[Question],
) -> list[str]:
    """The best span of each context, or "" where the first token scores higher."""
    encoded = tokenizer(
        [row.question for row in rows],
        [row.context for row in rows],
        truncation="only_second",
        return_offsets_mapping=True,
    )
    features = [{key: encoded[key][i] for key in encoded if key != "offset_mapping"} for i in range(len(rows))]
    found = outputs(model, features, tokenizer.pad_token_id, "start_logits", "end_logits", per_token=True)
    answers = []
    for index, (start, end) in enumerate(found):
        sides = encoded.sequence_ids(index)
        inside = [i for i, side in enumerate(sides) if side == 1]
        best, span = float(start[0] + end[0]), (0, 0)
        for first in inside:
            for last in range(first, min(first + _MAX_ANSWER_TOKENS, inside[-1] + 1)):
                score = float(start[first] + end[last])
                if score > best:
                    offsets = encoded["offset_mapping"][index]
                    best, span = score, (offsets[first][0], offsets[last][1])
        answers.append(rows[index].context[slice(*span)].strip())
    return answers


RECIPE = Recipe(
    name="tiny-qa",
    task="question-answering",
    seed=37,
    metric="exact_match",
    target=0.85,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
)
