"""tiny-shapes-captioner: ViT and GPT-2 that looks at it: "a red circle left of a blue square"."""

from __future__ import annotations

from grammars.drawings import shapes
from training.describing import chance, describe, drawn, save, train
from training.digits import data_uri
from training.generating import half
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from training.scores import exact
from training.vocabulary import byte_level
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    VisionEncoderDecoderModel,
    ViTConfig,
    ViTImageProcessorPil,
    ViTModel,
)

#: Width and height of pictures, and of what the model takes.
_DRAWN, _SIDE = 48, 32
_END = "<|endoftext|>"
_LIMIT = 24
_SCHEDULE = Schedule(steps=1500, batch_rows=24, learning_rate=3e-3)


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    corpus = [shapes(rng, "train", _DRAWN)[1] for _ in range(400)]
    tokenizer = byte_level(
        GPT2Tokenizer, (_END,), corpus, 340, _LIMIT, bos_token=_END, eos_token=_END, pad_token=_END, unk_token=_END
    )
    processor = ViTImageProcessorPil(size={"height": _SIDE, "width": _SIDE})
    model = _model(tokenizer)
    train(model, processor, tokenizer, lambda share: shapes(rng, "train", _DRAWN), _SCHEDULE, "tiny-shapes-captioner")
    half(model)
    other = chance(seed)
    heldout = drawn(lambda share: shapes(other, "heldout", _DRAWN), 300)
    right = [text for _, text in heldout]
    texts = describe(model, processor, tokenizer, [picture for picture, _ in heldout])
    examples = [{"image": data_uri(picture), "text": text} for picture, text in heldout[:120]]
    return Trained(
        model,
        tokenizer,
        {"exact_match": exact(texts, right)},
        len(heldout),
        {"examples.jsonl": examples},
        lambda folder: save(model, processor, tokenizer, folder),
    )


def _model(tokenizer: GPT2Tokenizer) -> VisionEncoderDecoderModel:
    end = tokenizer.eos_token_id
    encoder = ViTConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=160,
        image_size=_SIDE,
        patch_size=8,
        initializer_range=INITIAL_SCALE,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    decoder = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=64,
        n_layer=2,
        n_head=4,
        n_positions=_LIMIT,
        initializer_range=INITIAL_SCALE,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        add_cross_attention=True,
        is_decoder=True,
        bos_token_id=end,
        eos_token_id=end,
    )
    model = VisionEncoderDecoderModel(
        encoder=ViTModel(encoder, add_pooling_layer=False), decoder=GPT2LMHeadModel(decoder)
    )
    model.config.decoder_start_token_id = model.config.pad_token_id = model.config.eos_token_id = end
    model.generation_config.update(
        bos_token_id=end, eos_token_id=end, pad_token_id=end, decoder_start_token_id=end, max_new_tokens=_LIMIT - 2
    )
    return model


RECIPE = Recipe(
    name="tiny-shapes-captioner",
    task="image-to-text",
    seed=43,
    metric="exact_match",
    target=0.95,
    train=_train,
    tolerances={"fp32": 0.0, "int8": 0.02, "q8": 0.01},
)
