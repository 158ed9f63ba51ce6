"""tiny-words-ocr: ViT and TrOCR's decoder: reads a printed word, letter by letter."""

from __future__ import annotations

from random import Random

import torch
from grammars.core import Split
from grammars.drawings import LETTERS, Picture, printed, word
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from training.describing import chance, character_error, describe, encode, save
from training.digits import data_uri
from training.generating import half
from training.loop import INITIAL_SCALE, Schedule, fit, prepare
from training.reading import Places, columns, picked, teach_columns
from training.recipe import Recipe, Trained
from training.scores import exact
from transformers import (
    PreTrainedTokenizerFast,
    TrOCRConfig,
    TrOCRForCausalLM,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

#: What the model takes: pictures as they are drawn, at three quarters; and the width of a patch, which is as high.
_HEIGHT, _WIDTH, _COLUMN = 24, 60, 4
_PICTURES = 16_000
_LIMIT = 8
_SEEING = Schedule(steps=600, batch_rows=64, learning_rate=2e-3)
_WRITING = Schedule(steps=800, batch_rows=64, learning_rate=2e-3)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    tokenizer = _tokenizer()
    processor = ViTImageProcessorPil(size={"height": _HEIGHT, "width": _WIDTH})
    model = _model(tokenizer)
    texts, pictures, places = _drawn(rng, "train", _PICTURES)
    values = encode(processor, pictures)
    targets = columns(texts, places, LETTERS, _WIDTH // _COLUMN)
    teach_columns(model.encoder, values, targets, _SEEING, rng, "tiny-words-ocr, seeing")
    rows = [[*tokenizer(text).input_ids, tokenizer.eos_token_id] for text in texts]
    longest = max(map(len, rows))
    labels = torch.tensor([ids + [-100] * (longest - len(ids)) for ids in rows])
    fit(
        model,
        picked({"pixel_values": values, "labels": labels}, _WRITING, rng),
        _WRITING,
        "tiny-words-ocr, writing",
    )
    half(model)
    right, pictures, _ = _drawn(chance(seed), "heldout", 300)
    read = describe(model, processor, tokenizer, pictures)
    examples = [{"image": data_uri(picture), "text": text} for picture, text in zip(pictures[:60], right, strict=False)]
    metrics = {"character_error": character_error(read, right), "exact_match": exact(read, right)}
    return Trained(
        model,
        tokenizer,
        metrics,
        len(right),
        {"examples.jsonl": examples},
        lambda folder: save(model, processor, tokenizer, folder),
    )


def _drawn(rng: Random, split: Split, count: int) -> tuple[list[str], list[Picture], list[Places]]:
    texts = [word(rng, split) for _ in range(count)]
    pictures, places = zip(*(printed(rng, text) for text in texts), strict=True)
    return texts, list(pictures), list(places)


def _tokenizer() -> PreTrainedTokenizerFast:
    """A token for each letter."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = {token: number for number, token in enumerate([*special, *LETTERS])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=special[3]))
    core.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        model_max_length=_LIMIT,
        bos_token=special[0],
        pad_token=special[1],
        eos_token=special[2],
        unk_token=special[3],
    )


def _model(tokenizer: PreTrainedTokenizerFast) -> VisionEncoderDecoderModel:
    end, pad = tokenizer.eos_token_id, tokenizer.pad_token_id
    encoder = ViTConfig(
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=160,
        image_size=(_HEIGHT, _WIDTH),
        patch_size=(_HEIGHT, _COLUMN),
        initializer_range=INITIAL_SCALE,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    decoder = TrOCRConfig(
        vocab_size=len(tokenizer),
        d_model=64,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=160,
        max_position_embeddings=_LIMIT,
        cross_attention_hidden_size=64,
        activation_function="gelu",
        dropout=0.0,
        init_std=INITIAL_SCALE,
        layernorm_embedding=True,
        pad_token_id=pad,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=end,
        decoder_start_token_id=end,
    )
    model = VisionEncoderDecoderModel(
        encoder=ViTModel(encoder, add_pooling_layer=False), decoder=TrOCRForCausalLM(decoder)
    )
    model.config.decoder_start_token_id, model.config.pad_token_id, model.config.eos_token_id = end, pad, end
    model.generation_config.update(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=end,
        pad_token_id=pad,
        decoder_start_token_id=end,
        max_new_tokens=_LIMIT - 2,
    )
    return model


RECIPE = Recipe(
    name="tiny-words-ocr",
    task="image-to-text",
    seed=44,
    metric="character_error",
    target=0.05,
    lower_is_better=True,
    train=_train,
    tolerances={"fp32": 0.0, "int8": 0.02, "q8": 0.01},
)
