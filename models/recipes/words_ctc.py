"""tiny-words-ctc: Wav2Vec2-BERT with a CTC head, which writes down words that espeak-ng speaks."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from training.generating import half
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from training.transcribing import BLANK, HELD, TOKENS, Frames, held_out, judge, tokenizer, train
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertForCTC
from transformers.pipelines import pipeline

_SCHEDULE = Schedule(steps=3_200, batch_rows=22, learning_rate=2e-3)

#: Bands of a frame of 10 ms, of which two are one.
_BANDS = 80

#: Two of kaldi's frames, 10 ms apart.
_FRAMES = Frames(hop=320, width=400 + 160)

#: Sentences that are stored as examples.
_EXAMPLES = 30


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    extractor = SeamlessM4TFeatureExtractor(feature_size=_BANDS, num_mel_bins=_BANDS)
    config = Wav2Vec2BertConfig(
        vocab_size=len(TOKENS),
        pad_token_id=TOKENS.index(BLANK),
        hidden_size=96,
        output_hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=192,
        feature_projection_input_dim=2 * _BANDS,
        conv_depthwise_kernel_size=15,
        initializer_range=INITIAL_SCALE,
        apply_spec_augment=False,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
        layerdrop=0.0,
        **dict.fromkeys(
            (
                *("hidden_dropout", "activation_dropout", "attention_dropout", "feat_proj_dropout", "final_dropout"),
                "conformer_conv_dropout",
            ),
            0.0,
        ),
    )
    model = Wav2Vec2BertForCTC(config)
    with TemporaryDirectory() as folder:
        letters = tokenizer(Path(folder))
        train(model, extractor, _FRAMES, _SCHEDULE, rng, "tiny-words-ctc")
        half(model)
        heard = pipeline(
            "automatic-speech-recognition", model=model, tokenizer=letters, feature_extractor=extractor, device="cpu"
        )
        metrics, examples = judge(heard, held_out(), _EXAMPLES)

    def save(target: Path) -> None:
        model.half().save_pretrained(target)
        model.float().config.dtype = torch.float32
        model.config.save_pretrained(target)
        extractor.save_pretrained(target)
        with TemporaryDirectory() as folder:
            tokenizer(Path(folder)).save_pretrained(target)

    return Trained(model, letters, metrics, HELD, {"examples.jsonl": examples}, save)


RECIPE = Recipe(
    name="tiny-words-ctc",
    task="automatic-speech-recognition",
    seed=29,
    metric="word_error",
    target=0.05,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02},
    lower_is_better=True,
)
