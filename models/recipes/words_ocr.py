"""tiny-words-ocr: ViT and TrOCR's decoder: reads a printed word, letter by letter."""

from __future__ import annotations

from grammars.drawings import word, written
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from training.describing import Picture, chance, character_error, describe, drawn, save, train
from training.digits import data_uri
from training.generating import half
from training.loop import INITIAL_SCALE, Schedule, prepare
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

_HEIGHT, _WIDTH = 24, 72
_LONGEST, _LIMIT = 6, 12
_SCHEDULE = Schedule(steps=3600, batch_rows=32, learning_rate=2e-3)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    tokenizer = _tokenizer()
    processor = ViTImageProcessorPil(size={"height": _HEIGHT, "width": _WIDTH})
    model = _model(tokenizer)

    def draw(share: float) -> tuple[Picture, str]:
        # Short words first: where a letter stands is learned before there are many.
        text = word(rng, "train", min(_LONGEST, 1 + int(share * 4 * _LONGEST)))
        return written(rng, text, _HEIGHT, _WIDTH), text

    train(model, processor, tokenizer, draw, _SCHEDULE, "tiny-words-ocr")
    half(model)
    other = chance(seed)

    def unseen(share: float) -> tuple[Picture, str]:
        text = word(other, "heldout", _LONGEST)
        return written(other, text, _HEIGHT, _WIDTH), text

    heldout = drawn(unseen, 300)
    right = [text for _, text in heldout]
    texts = describe(model, processor, tokenizer, [picture for picture, _ in heldout])
    examples = [{"image": data_uri(picture), "text": text} for picture, text in heldout[:120]]
    metrics = {"character_error": character_error(texts, right), "exact_match": exact(texts, right)}
    return Trained(
        model,
        tokenizer,
        metrics,
        len(heldout),
        {"examples.jsonl": examples},
        lambda folder: save(model, processor, tokenizer, folder),
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """A token for each letter."""
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = [*"abcdefghijklmnopqrstuvwxyz", *"0123456789"]
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
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
        intermediate_size=192,
        image_size=(_HEIGHT, _WIDTH),
        patch_size=(_HEIGHT, 4),
        initializer_range=INITIAL_SCALE,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    decoder = TrOCRConfig(
        vocab_size=len(tokenizer),
        d_model=64,
        decoder_layers=2,
        decoder_attention_heads=4,
        decoder_ffn_dim=192,
        max_position_embeddings=_LIMIT,
        cross_attention_hidden_size=64,
        activation_function="gelu",
        dropout=0.0,
        init_std=INITIAL_SCALE,
        scale_embedding=True,
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
    target=0.03,
    lower_is_better=True,
    train=_train,
    tolerances={"fp32": 0.0, "int8": 0.02, "q8": 0.01},
)
