"""tiny-words-whisper: Whisper with windows of five seconds: writes words that espeak-ng speaks, and when."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from training.generating import half, save_half
from training.hearing import NEXT, in_a_row, judge_segments, look_nearby, train
from training.loop import INITIAL_SCALE, Schedule, prepare
from training.recipe import Recipe, Trained
from training.transcribing import HELD, held_out, judge
from training.windows import SPEAKERS, STEP_S, STEPS, WINDOW_S, WORDS
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)
from transformers.pipelines import pipeline

from onnxpress.audio.transform import SoundTransform
from onnxpress_exporter.source.feature_extractors import read_feature_extractor

_HEARING = Schedule(steps=1_600, batch_rows=12, learning_rate=3e-3)
_WRITING = Schedule(steps=1_100, batch_rows=12, learning_rate=2e-3)

#: Tokens of a decoder, and of the vocabulary without those that tell of speech.
_LIMIT, _VOCABULARY = 96, 318

_WIDTH, _HEADS = 64, 2

#: Sentences that are stored as examples, and seconds of silence between those of long sounds.
_EXAMPLES, _GAP_S = 40, 0.6

SEED = 37

_END, _START = "<|endoftext|>", "<|startoftranscript|>"
_SPECIAL = (
    *(_END, _START, "<|en|>", "<|translate|>"),
    *("<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
)


def write_tokenizer(folder: Path) -> WhisperTokenizer:
    """Bytes and pieces of the words, Whisper's special tokens, and its times."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    words = [f" {word}" for word in WORDS]
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(words, trainer)
    core.add_special_tokens([AddedToken(name, special=True) for name in _SPECIAL])
    core.add_tokens([AddedToken(f"<|{STEP_S * step:.2f}|>", special=False) for step in range(STEPS + 1)])
    core.save(str(folder / "tokenizer.json"))
    ends = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), _END)
    settings = {
        "tokenizer_class": "WhisperTokenizer",
        **ends,
        "model_max_length": _LIMIT,
        "errors": "replace",
        "extra_special_tokens": list(_SPECIAL),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    tokenizer: WhisperTokenizer = WhisperTokenizer.from_pretrained(folder)
    return tokenizer


def _model(tokenizer: WhisperTokenizer) -> WhisperForConditionalGeneration:
    ids = {name: int(tokenizer.convert_tokens_to_ids(name)) for name in _SPECIAL}
    end, start = ids[_END], ids[_START]
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=_WIDTH,
        encoder_layers=4,
        decoder_layers=2,
        encoder_attention_heads=_HEADS,
        decoder_attention_heads=_HEADS,
        encoder_ffn_dim=192,
        decoder_ffn_dim=192,
        max_source_positions=STEPS,
        max_target_positions=_LIMIT,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        dropout=0.0,
        init_std=INITIAL_SCALE,
    )
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        # The token of a time begins as the place in the sound that it tells of.
        places = model.model.encoder.embed_positions.weight
        model.model.decoder.embed_tokens.weight[-STEPS - 1 : -1] = INITIAL_SCALE * 2**0.5 * places
        look_nearby(model.model.encoder)
    model.generation_config = GenerationConfig(
        alignment_heads=[list(head) for head in NEXT],
        suppress_tokens=[ids[name] for name in ("<|startoflm|>", "<|startofprev|>", "<|nospeech|>")],
        is_multilingual=True,
        return_timestamps=False,
        lang_to_id={"<|en|>": ids["<|en|>"]},
        task_to_id={name: ids[f"<|{name}|>"] for name in ("translate", "transcribe")},
        task="transcribe",
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        max_length=_LIMIT,
    )
    return model


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    with TemporaryDirectory() as folder:
        tokenizer = write_tokenizer(Path(folder))
    extractor = WhisperFeatureExtractor(feature_size=80, chunk_length=WINDOW_S)
    model = _model(tokenizer)
    transform = SoundTransform(read_feature_extractor(extractor))
    train(model, tokenizer, transform, (_HEARING, _WRITING), rng, "tiny-words-whisper")
    return finish(model, tokenizer, extractor)


def finish(
    model: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer, extractor: WhisperFeatureExtractor
) -> Trained:
    """A trained model in half precision, judged by transformers, with the greedy search."""
    half(model)
    heard = pipeline(
        "automatic-speech-recognition", model=model, tokenizer=tokenizer, feature_extractor=extractor, device="cpu"
    )
    sentences = list(held_out(WORDS, SPEAKERS))
    greedy = {"generate_kwargs": {"num_beams": 1}}
    metrics, examples = judge(heard, sentences, _EXAMPLES, begins=False, **greedy)
    rows = [in_a_row(sentences[place : place + 8], _GAP_S) for place in range(0, 64, 8)]
    metrics["segment_times_seconds_of_95_percent"] = judge_segments(heard, sentences[:60], **greedy)
    metrics["word_error_of_long_sounds"] = judge(heard, rows, 0, begins=False, **greedy)[0]["word_error"]

    def save(target: Path) -> None:
        save_half(model, target)
        extractor.save_pretrained(target)
        write_tokenizer(target)

    return Trained(model, tokenizer, metrics, HELD, {"examples.jsonl": examples}, save)


RECIPE = Recipe(
    name="tiny-words-whisper",
    task="automatic-speech-recognition",
    seed=SEED,
    metric="word_error",
    target=0.05,
    train=_train,
    tolerances={"fp32": 0.0, "fp16": 0.005, "int8": 0.02, "q8": 0.01},
    lower_is_better=True,
)
