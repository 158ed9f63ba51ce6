"""tiny-translator: Marian, two SentencePiece models: English to Veltan, a language with rules and no speakers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from grammars.clauses import english, meaning
from grammars.core import Split
from grammars.veltan import veltan
from training.generating import generate, half, save_half
from training.loop import INITIAL_SCALE, Feature, Schedule, fit, prepare, stream
from training.recipe import Recipe, Trained
from training.scores import bleu, exact
from training.vocabulary import marian
from transformers import MarianConfig, MarianMTModel, MarianTokenizer

_LIMIT = 128
_SCHEDULE = Schedule(steps=3000, batch_rows=64, learning_rate=2e-3)


def _pairs(rng: Random, split: Split, count: int, people: Split | None = None) -> list[tuple[str, str]]:
    said = [meaning(rng, split, people) for _ in range(count)]
    return [(english(one), veltan(one)) for one in said]


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    train = _pairs(rng, "train", 100_000)
    tokenizer = marian(
        [source for source, _ in train[:20_000]],
        [target for _, target in train[:20_000]],
        600,
        _LIMIT,
        source_lang="en",
        target_lang="vel",
    )
    model = _model(tokenizer)
    fit(model, stream(_encode(tokenizer, train), tokenizer.pad_token_id, _SCHEDULE, rng), _SCHEDULE, "tiny-translator")
    half(model)

    seen, chance = {source for source, _ in train}, Random(seed + 1)
    metrics: dict[str, float] = {}
    # New clauses with known names are what the language is about; a new name has to be spelled out.
    sides: tuple[tuple[Split, str], ...] = (("heldout", "_new_names"), ("train", ""))
    for people, suffix in sides:
        heldout = [pair for pair in _pairs(chance, "heldout", 600, people) if pair[0] not in seen][:500]
        right = [target for _, target in heldout]
        found = generate(model, tokenizer, [source for source, _ in heldout])
        metrics = {"bleu" + suffix: bleu(found, right), "exact_match" + suffix: exact(found, right), **metrics}
    examples = [{"text": source, "translation": target} for source, target in heldout[:160]]

    def save(folder: Path) -> None:
        save_half(model, folder)
        tokenizer.save_pretrained(folder)

    return Trained(model, tokenizer, metrics, len(heldout), {"examples.jsonl": examples}, save)


def _model(tokenizer: MarianTokenizer) -> MarianMTModel:
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    config = MarianConfig(
        vocab_size=len(tokenizer),
        d_model=96,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=3,
        decoder_attention_heads=3,
        encoder_ffn_dim=256,
        decoder_ffn_dim=256,
        max_position_embeddings=_LIMIT,
        activation_function="swish",
        scale_embedding=True,
        dropout=0.0,
        attention_dropout=0.0,
        init_std=INITIAL_SCALE,
        pad_token_id=pad,
        eos_token_id=end,
        decoder_start_token_id=pad,
        forced_eos_token_id=end,
    )
    model = MarianMTModel(config)
    # As the published Marian models have them.
    model.generation_config.update(
        pad_token_id=pad,
        eos_token_id=end,
        decoder_start_token_id=pad,
        forced_eos_token_id=end,
        bad_words_ids=[[pad]],
        num_beams=4,
        max_new_tokens=_LIMIT - 1,
    )
    return model


def _encode(tokenizer: MarianTokenizer, pairs: Sequence[tuple[str, str]]) -> list[Feature]:
    encoded = tokenizer([source for source, _ in pairs], text_target=[target for _, target in pairs], truncation=True)
    return [{key: encoded[key][i] for key in encoded} for i in range(len(pairs))]


RECIPE = Recipe(
    name="tiny-translator",
    task="translation",
    seed=113,
    metric="bleu",
    target=0.9,
    train=_train,
    tolerances={"fp32": 0.0, "q8": 0.005, "q4": 0.05},
)
