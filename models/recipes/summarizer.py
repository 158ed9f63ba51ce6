"""tiny-summarizer: T5 with its prefix, Unigram: the headline of a short news story."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from grammars.stories import Story, story
from training.generating import generate, half, save_half
from training.loop import Feature, Schedule, fit, prepare, stream
from training.recipe import Recipe, Trained
from training.scores import exact, rouge_l
from training.vocabulary import unigram
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration, T5Tokenizer

_SPECIAL = ("<pad>", "</s>", "<unk>")
_PREFIX = "summarize: "
_LIMIT = 192
_SCHEDULE = Schedule(steps=1600, batch_rows=32, learning_rate=2e-3)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = [story(rng, "train") for _ in range(60_000)]
    heldout = [story(rng, "heldout") for _ in range(500)]
    corpus = [f"{_PREFIX}{row.text} {row.headline}" for row in train[:12_000]]
    tokenizer = unigram(T5Tokenizer, _SPECIAL, corpus, 1000, _LIMIT, extra_ids=0)
    model = _model(tokenizer)
    fit(model, stream(_encode(tokenizer, train), tokenizer.pad_token_id, _SCHEDULE, rng), _SCHEDULE, "tiny-summarizer")
    half(model)

    right = [row.headline for row in heldout]
    found = generate(model, tokenizer, [_PREFIX + row.text for row in heldout])
    metrics = {"rouge_l": rouge_l(found, right), "exact_match": exact(found, right)}
    examples = [{"text": row.text, "summary": row.headline} for row in heldout[:160]]

    def save(folder: Path) -> None:
        save_half(model, folder)
        tokenizer.save_pretrained(folder)

    return Trained(model, tokenizer, metrics, len(heldout), {"examples.jsonl": examples}, save)


def _model(tokenizer: PreTrainedTokenizerFast) -> T5ForConditionalGeneration:
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=96,
        d_kv=32,
        d_ff=256,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=3,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=64,
        dropout_rate=0.0,
        feed_forward_proj="relu",
        tie_word_embeddings=True,
        pad_token_id=pad,
        eos_token_id=end,
        decoder_start_token_id=pad,
        n_positions=_LIMIT,
        task_specific_params={"summarization": {"prefix": _PREFIX, "num_beams": 4, "max_length": 48}},
    )
    model = T5ForConditionalGeneration(config)
    model.generation_config.update(
        pad_token_id=pad, eos_token_id=end, decoder_start_token_id=pad, max_new_tokens=48, do_sample=False
    )
    return model


def _encode(tokenizer: PreTrainedTokenizerFast, rows: Sequence[Story]) -> list[Feature]:
    encoded = tokenizer(
        [_PREFIX + row.text for row in rows], text_target=[row.headline for row in rows], truncation=True
    )
    return [{key: encoded[key][i] for key in encoded} for i in range(len(rows))]


RECIPE = Recipe(
    name="tiny-summarizer",
    task="summarization",
    seed=131,
    metric="rouge_l",
    target=0.9,
    train=_train,
    tolerances={"fp32": 0.0, "q8": 0.005, "q4": 0.05},
)
