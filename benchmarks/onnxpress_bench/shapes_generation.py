"""Checkpoints of named shapes for text-generation and speech recognition, with random weights and tokenizers made here.

Random weights are as fast as trained ones; what they answer means nothing, but must still agree between backends. The
same arguments give the same checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from onnxpress.format.files import staged_folder
from onnxpress_bench.texts import SENTENCES

#: Of Qwen2-0.5B, and so the proportions of other widths.
_QWEN2_HIDDEN, _QWEN2_FEED_FORWARD, _HEAD = 896, 4864, 64

#: Special tokens of Whisper after its base vocabulary, in its order; the languages come after the second.
_WHISPER_SPECIAL = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")

#: Timestamps, one every 0.02 s to 30 s, and the last that a transcript may start with.
_TIMESTAMPS, _LATEST_START = 1501, 50


#: Name of the model's class, its configuration, and settings of generation unless they are the class's own.
Model = tuple[str, Any, Mapping[str, Any] | None]


def qwen2_checkpoint(
    folder: Path, *, hidden: int = _QWEN2_HIDDEN, layers: int = 24, vocabulary: int = 151_936, seed: int = 0
) -> Path:
    """`folder`, made if absent: a Qwen2 decoder in float32, by default of Qwen2-0.5B's shape, with tied embeddings.

    Args:
        hidden: a multiple of 128, so that there are two heads of 64 for each of the keys' and values'.
        vocabulary: rows of the embedding; the tokenizer has fewer.
    """

    def write(staging: Path) -> Model:
        from transformers import Qwen2Config

        tokenizer = write_byte_pairs(staging)
        feed_forward = hidden * _QWEN2_FEED_FORWARD // _QWEN2_HIDDEN // _HEAD * _HEAD
        config = Qwen2Config(
            hidden_size=hidden,
            intermediate_size=feed_forward,
            num_hidden_layers=layers,
            num_attention_heads=hidden // _HEAD,
            num_key_value_heads=2,
            vocab_size=vocabulary,
            max_position_embeddings=32_768,
            rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            bos_token_id=None,
        )
        return "Qwen2ForCausalLM", config, None

    return make_checkpoint(folder, write, seed)


def whisper_checkpoint(
    folder: Path,
    *,
    hidden: int = 384,
    layers: int = 4,
    words: int = 50_257,
    languages: Sequence[str] = (),
    seed: int = 0,
) -> Path:
    """`folder`, made if absent: a Whisper model in float32, by default of whisper-tiny's shape and vocabulary.

    Args:
        hidden: a multiple of 64.
        words: tokens before the special ones.
        languages: codes, "en" among them; none: all that Whisper knows.
    """

    def write(staging: Path) -> Model:
        from transformers import WhisperConfig, WhisperFeatureExtractor
        from transformers.models.whisper.tokenization_whisper import LANGUAGES

        codes = list(languages or LANGUAGES)[:99]
        special = ["endoftext", "startoftranscript", *codes, *_WHISPER_SPECIAL]
        ids = {f"<|{name}|>": words + index for index, name in enumerate(special)}
        size = words + len(special) + _TIMESTAMPS
        _write_whisper_tokenizer(staging, words, list(ids))
        extractor: Any = WhisperFeatureExtractor
        extractor().save_pretrained(staging)
        end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
        marks: dict[str, Any] = {
            "eos_token_id": end,
            "bos_token_id": end,
            "pad_token_id": end,
            "decoder_start_token_id": start,
        }
        config = WhisperConfig(vocab_size=size, **sides(hidden, layers), **marks)
        settings = {
            "is_multilingual": True,
            "lang_to_id": {f"<|{code}|>": ids[f"<|{code}|>"] for code in codes},
            "task_to_id": {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")},
            "no_timestamps_token_id": ids["<|notimestamps|>"],
            "max_initial_timestamp_index": _LATEST_START,
            "max_length": 448,
            "suppress_tokens": list(range(start, size)),  # a trained model would not say these here, this one might
            "begin_suppress_tokens": [end],
            "return_timestamps": False,
            **marks,
        }
        return "WhisperForConditionalGeneration", config, settings

    return make_checkpoint(folder, write, seed)


def make_checkpoint(folder: Path, write: Callable[[Path], Model], seed: int) -> Path:
    """`folder`, made if absent: `write` puts the tokenizer into a folder and says which model goes with it."""
    if (folder / "config.json").is_file():
        return folder
    import torch
    import transformers

    with staged_folder(folder) as staging:
        architecture, config, settings = write(staging)
        torch.manual_seed(seed)
        model = spread(getattr(transformers, architecture)(config))
        if settings is not None:
            model.generation_config = transformers.GenerationConfig(**settings)  # type: ignore[no-untyped-call]
        model.save_pretrained(staging)
    return folder


def sides(hidden: int, layers: int) -> dict[str, Any]:
    """What the configurations of Whisper and Marian call the sizes of an encoder and of a decoder like it."""
    return {
        "d_model": hidden,
        **{
            f"{side}_{name}": size
            for side in ("encoder", "decoder")
            for name, size in (("layers", layers), ("attention_heads", hidden // _HEAD), ("ffn_dim", 4 * hidden))
        },
    }


def write_byte_pairs(folder: Path) -> Any:
    """A decoder's tokenizer, Qwen2's in kind, which it returns."""
    from transformers import Qwen2Tokenizer

    tokenizer_class: Any = Qwen2Tokenizer
    vocab, merges = byte_pairs(2000)
    tokenizer = tokenizer_class(vocab=vocab, merges=merges)
    tokenizer.save_pretrained(folder)
    return tokenizer


def write_json(path: Path, value: object) -> None:
    """A file of a checkpoint."""
    path.write_text(json.dumps(value), encoding="utf-8")


def spread(model: Any) -> Any:
    """Wider weights than training starts from: probabilities far enough apart that rounding does not reorder them."""
    import torch

    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.mul_(3.0)
    return model.eval()


def byte_pairs(size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level BPE vocabulary and its merges, trained on the benchmark's sentences with Qwen2's splitting."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = Qwen2Tokenizer(vocab={"a": 0}, merges=[]).backend_tokenizer.pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    model: Mapping[str, Any] = json.loads(tokenizer.to_str())["model"]
    return dict(model["vocab"]), [(first, second) for first, second in model["merges"]]


def _write_whisper_tokenizer(folder: Path, words: int, special: Sequence[str]) -> None:
    """`words` tokens of text, of which the last are made-up words that only a model says, then the special ones."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    vocab, merges = byte_pairs(min(words, 2000) - 1)
    for word in made_up():
        if len(vocab) == words - 1:
            break
        vocab.setdefault(word, len(vocab))
    vocab[""] = len(vocab)  # as the multilingual Whisper has it, which is what CTranslate2 knows it by
    tokenizer: Any = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    times = [f"<|{0.02 * index:.2f}|>" for index in range(_TIMESTAMPS)]
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in times])
    end = special[0]
    around = [("<|startoftranscript|>", special.index("<|startoftranscript|>")), ("<|notimestamps|>", len(special) - 1)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"<|startoftranscript|> <|notimestamps|> $A {end}",
        special_tokens=[(name, words + index) for name, index in (*around, (end, 0))],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    marks = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), end)
    kinds = {"tokenizer_class": "WhisperTokenizer", "model_max_length": 1024, "processor_class": "WhisperProcessor"}
    write_json(folder / "tokenizer_config.json", {**kinds, **marks})


def made_up() -> list[str]:
    """Over 57,000 words of two or three syllables, each with the space before it."""
    syllables = [a + b for a, b in product("bdfgklmnprstvz", "aeiou")]
    return ["Ġ" + "".join(parts) for number in (2, 3) for parts in product(syllables[:38], repeat=number)]
