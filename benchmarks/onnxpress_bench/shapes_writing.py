"""More checkpoints of named shapes with random weights: GPT-2, T5-small, and the Marian models of OPUS-MT.

As in shapes_generation.py: the same arguments give the same checkpoint, and what it answers means nothing.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from onnxpress_bench.shapes_generation import Model, made_up, make_checkpoint, sides, write_byte_pairs, write_json
from onnxpress_bench.texts import SENTENCES

#: Rows of the embedding of Helsinki-NLP's models between English and the Romance and Germanic languages.
_MARIAN_WORDS = 58_101


def gpt2_checkpoint(folder: Path, *, hidden: int = 768, layers: int = 12, seed: int = 0) -> Path:
    """`folder`, made if absent: a GPT-2 in float32, by default of the smallest published one's shape."""

    def write(staging: Path) -> Model:
        from transformers import GPT2Config

        end = write_byte_pairs(staging).eos_token_id  # splits text as Qwen2 does; the model does not know
        config = GPT2Config(
            n_embd=hidden, n_layer=layers, n_head=hidden // 64, eos_token_id=end, bos_token_id=end, pad_token_id=end
        )
        return "GPT2LMHeadModel", config, None

    return make_checkpoint(folder, write, seed)


def t5_checkpoint(folder: Path, *, hidden: int = 512, layers: int = 6, seed: int = 0) -> Path:
    """`folder`, made if absent: a T5 in float32, by default of T5-small's shape and vocabulary."""

    def write(staging: Path) -> Model:
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
        from transformers import T5Config

        config = T5Config(d_model=hidden, num_layers=layers, num_heads=hidden // 64, d_ff=4 * hidden, d_kv=64)
        config.decoder_start_token_id = 0
        tokenizer: Any = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        special = ["<pad>", "</s>", "<unk>"]
        unknown = {"unk_token": special[-1]}
        trainer = trainers.UnigramTrainer(vocab_size=1000, special_tokens=special, show_progress=False, **unknown)
        tokenizer.train_from_iterator(SENTENCES, trainer)
        words = (word for word in made_up() if tokenizer.token_to_id(word) is None)
        tokenizer.add_tokens([next(words) for _ in range(config.vocab_size - tokenizer.get_vocab_size())])
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
        )
        tokenizer.save(str(staging / "tokenizer.json"))
        kinds = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
        marks = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
        write_json(staging / "tokenizer_config.json", {**kinds, **marks})
        settings = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
        return "T5ForConditionalGeneration", config, settings

    return make_checkpoint(folder, write, seed)


def marian_checkpoint(
    folder: Path, *, hidden: int = 512, layers: int = 6, words: int = _MARIAN_WORDS, seed: int = 0
) -> Path:
    """`folder`, made if absent: a Marian translator in float32, by default of the shape of OPUS-MT's."""

    def write(staging: Path) -> Model:
        import sentencepiece
        from transformers import MarianConfig

        pieces = io.BytesIO()
        quiet: dict[str, Any] = {"minloglevel": 2, "hard_vocab_limit": False}
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES), model_writer=pieces, vocab_size=500, **quiet
        )
        processor = sentencepiece.SentencePieceProcessor(model_proto=pieces.getvalue())
        known = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
        vocab = {"</s>": 0, "<unk>": 1}
        for word in (*known, *made_up()):
            if len(vocab) == words - 1:
                break
            vocab.setdefault(word.replace("Ġ", "▁"), len(vocab))
        vocab["<pad>"] = pad = len(vocab)
        for side in ("source", "target"):
            (staging / f"{side}.spm").write_bytes(pieces.getvalue())
        write_json(staging / "vocab.json", vocab)
        write_json(
            staging / "tokenizer_config.json",
            {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "xx", "model_max_length": 512},
        )
        marks: dict[str, Any] = {
            "decoder_start_token_id": pad,
            "eos_token_id": 0,
            "pad_token_id": pad,
            "forced_eos_token_id": 0,
        }
        config = MarianConfig(
            vocab_size=words,
            max_position_embeddings=512,
            activation_function="swish",
            scale_embedding=True,
            **sides(hidden, layers),
            **marks,
        )
        return "MarianMTModel", config, {"bad_words_ids": [[pad]], "max_length": 512, **marks}

    return make_checkpoint(folder, write, seed)
