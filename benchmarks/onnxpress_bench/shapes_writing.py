"""More checkpoints of named shapes with random weights: GPT-2, T5-small, and the Marian models of OPUS-MT.

As in shapes_generation.py: the same arguments give the same checkpoint, and what it answers means nothing.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from onnxpress.format.files import staged_folder
from onnxpress_bench.shapes_generation import byte_pairs, made_up, spread
from onnxpress_bench.texts import SENTENCES

#: Rows of the embedding of Helsinki-NLP's models between English and the Romance and Germanic languages.
_MARIAN_WORDS = 58_101


def gpt2_checkpoint(folder: Path, *, hidden: int = 768, layers: int = 12, seed: int = 0) -> Path:
    """`folder`, made if absent: a GPT-2 in float32, by default of the smallest published one's shape."""
    if (folder / "config.json").is_file():
        return folder
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, Qwen2Tokenizer

    vocab, merges = byte_pairs(2000)
    tokenizer_class: Any = Qwen2Tokenizer  # splits text as the other decoders here do; the model does not know
    with staged_folder(folder) as staging:
        tokenizer = tokenizer_class(vocab=vocab, merges=merges)
        tokenizer.save_pretrained(staging)
        end = tokenizer.eos_token_id
        config = GPT2Config(
            n_embd=hidden, n_layer=layers, n_head=hidden // 64, eos_token_id=end, bos_token_id=end, pad_token_id=end
        )
        torch.manual_seed(seed)
        spread(GPT2LMHeadModel(config)).save_pretrained(staging)
    return folder


def t5_checkpoint(folder: Path, *, hidden: int = 512, layers: int = 6, seed: int = 0) -> Path:
    """`folder`, made if absent: a T5 in float32, by default of T5-small's shape and vocabulary."""
    if (folder / "config.json").is_file():
        return folder
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration

    tokenizer: Any = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    unknown = {"unk_token": special[-1]}
    trainer = trainers.UnigramTrainer(vocab_size=1000, special_tokens=special, show_progress=False, **unknown)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    config = T5Config(d_model=hidden, num_layers=layers, num_heads=hidden // 64, d_ff=4 * hidden, d_kv=64)
    marks: dict[str, Any] = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    words = (word for word in made_up() if tokenizer.token_to_id(word) is None)
    tokenizer.add_tokens([next(words) for _ in range(config.vocab_size - tokenizer.get_vocab_size())])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    with staged_folder(folder) as staging:
        tokenizer.save(str(staging / "tokenizer.json"))
        _write(
            staging / "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "eos_token": "</s>",
                "pad_token": "<pad>",
                "unk_token": "<unk>",
                "model_max_length": 512,
            },
        )
        torch.manual_seed(seed)
        config.decoder_start_token_id = 0
        model = spread(T5ForConditionalGeneration(config))
        settings: Any = GenerationConfig
        model.generation_config = settings(**marks)
        model.save_pretrained(staging)
    return folder


def marian_checkpoint(
    folder: Path, *, hidden: int = 512, layers: int = 6, words: int = _MARIAN_WORDS, seed: int = 0
) -> Path:
    """`folder`, made if absent: a Marian translator in float32, by default of the shape of OPUS-MT's."""
    if (folder / "config.json").is_file():
        return folder
    import sentencepiece
    import torch
    from transformers import GenerationConfig, MarianConfig, MarianMTModel

    pieces = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=pieces, vocab_size=500, minloglevel=2, hard_vocab_limit=False
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=pieces.getvalue())
    known = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    vocab = {"</s>": 0, "<unk>": 1}
    for word in (*known, *made_up()):
        if len(vocab) == words - 1:
            break
        vocab.setdefault(word.replace("Ġ", "▁"), len(vocab))
    vocab["<pad>"] = pad = len(vocab)
    marks: dict[str, Any] = {"decoder_start_token_id": pad, "eos_token_id": 0, "pad_token_id": pad}
    with staged_folder(folder) as staging:
        for side in ("source", "target"):
            (staging / f"{side}.spm").write_bytes(pieces.getvalue())
        _write(staging / "vocab.json", vocab)
        _write(
            staging / "tokenizer_config.json",
            {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "xx", "model_max_length": 512},
        )
        config = MarianConfig(
            vocab_size=words,
            d_model=hidden,
            encoder_layers=layers,
            decoder_layers=layers,
            encoder_attention_heads=hidden // 64,
            decoder_attention_heads=hidden // 64,
            encoder_ffn_dim=4 * hidden,
            decoder_ffn_dim=4 * hidden,
            max_position_embeddings=512,
            activation_function="swish",
            scale_embedding=True,
            forced_eos_token_id=0,
            **marks,
        )
        torch.manual_seed(seed)
        model = spread(MarianMTModel(config))
        settings: Any = GenerationConfig
        model.generation_config = settings(bad_words_ids=[[pad]], forced_eos_token_id=0, max_length=512, **marks)
        model.save_pretrained(staging)
    return folder


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
