"""Checkpoints of named shapes with random weights and tokenizers made here: encoders, decoders, translators, Whisper.

Random weights are as fast as trained ones; what they answer means nothing, but must still agree between backends. The
same arguments give the same checkpoint. Each function gives `folder`, and makes it if it is absent; `hidden` is the
width, a multiple of 128, and by default everything has the shape of the published model.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import islice, product
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec

from onnxpress.format.files import staged_folder
from onnxpress_bench.texts import SENTENCES

#: Of Qwen2-0.5B, and so the proportions of other widths.
_QWEN2_HIDDEN, _QWEN2_FEED_FORWARD, _HEAD = 896, 4864, 64

#: Rows of the embedding of Helsinki-NLP's models between English and the Romance and Germanic languages.
_MARIAN_WORDS = 58_101

#: Special tokens of Whisper after its base vocabulary, in its order; the languages come after the second.
_WHISPER_SPECIAL = ("translate", "transcribe", "startoflm", "startofprev", "nospeech", "notimestamps")

#: Timestamps, one every 0.02 s to 30 s, and the last that a transcript may start with.
_TIMESTAMPS, _LATEST_START = 1501, 50

P = ParamSpec("P")


class ModelSpec(NamedTuple):
    """The model's class and configuration, and settings of generation unless they are the class's own. `factor` widens
    the weights that training starts from: probabilities far enough apart that rounding does not reorder them."""

    architecture: str
    config: Any
    settings: Mapping[str, Any] | None = None
    factor: float = 3.0


def checkpoint(write: Callable[Concatenate[Path, P], ModelSpec]) -> Callable[Concatenate[Path, P], Path]:
    """A function that makes a checkpoint of one that writes a tokenizer and says which model goes with it."""

    @wraps(write)
    def make(folder: Path, /, *arguments: P.args, **options: P.kwargs) -> Path:
        if (folder / "config.json").is_file():
            return folder
        import torch
        import transformers

        with staged_folder(folder, force=True) as staging:
            spec = write(staging, *arguments, **options)
            torch.manual_seed(0)
            model = getattr(transformers, spec.architecture)(spec.config).eval()
            with torch.no_grad():
                for layer in model.modules():
                    if isinstance(layer, torch.nn.Linear):
                        layer.weight.mul_(spec.factor)
            _settle(model)
            if spec.settings is not None:
                settings: Any = transformers.GenerationConfig
                model.generation_config = settings(**spec.settings)
            model.save_pretrained(staging)
        return folder

    return make


def _settle(model: Any) -> None:
    """Let layers that normalize over batches see some, without which the numbers behind them grow with every layer."""
    import torch

    if not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.modules()):
        return
    with torch.no_grad():
        model.train()
        for _ in range(3):
            model(torch.randn(8, 3, 224, 224))
        model.eval()


@checkpoint
def encoder_checkpoint(folder: Path, /, family: str, tokenizer: Path, **changes: Any) -> ModelSpec:
    """An encoder such as "Bert" or "DistilBert", pooled by mean, with the tokenizer of another checkpoint.

    Args:
        changes: of the family's own configuration.
    """
    import transformers

    config = getattr(transformers, f"{family}Config")(**changes)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (folder / name).write_bytes((tokenizer / name).read_bytes())
    known = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    _write(folder / "tokenizer_config.json", {**known, "model_max_length": config.max_position_embeddings})
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": config.hidden_size, "pooling_mode_mean_tokens": True}
    _write(folder / "1_Pooling" / "config.json", pooling)
    _write(
        folder / "sentence_bert_config.json", {"max_seq_length": config.max_position_embeddings, "do_lower_case": False}
    )
    kinds = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)
    ]
    _write(folder / "modules.json", modules)
    return ModelSpec(f"{family}Model", config, factor=1.0)


@checkpoint
def qwen2_checkpoint(
    folder: Path, *, hidden: int = _QWEN2_HIDDEN, layers: int = 24, vocabulary: int = 151_936
) -> ModelSpec:
    """A Qwen2 decoder, by default Qwen2-0.5B, with tied embeddings, two heads of 64 for each of the keys' and values'.

    Args:
        vocabulary: rows of the embedding; the tokenizer has fewer.
    """
    from transformers import Qwen2Config

    config = Qwen2Config(
        hidden_size=hidden,
        intermediate_size=hidden * _QWEN2_FEED_FORWARD // _QWEN2_HIDDEN // _HEAD * _HEAD,
        num_hidden_layers=layers,
        num_attention_heads=hidden // _HEAD,
        num_key_value_heads=2,
        vocab_size=vocabulary,
        max_position_embeddings=32_768,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
        tie_word_embeddings=True,
        eos_token_id=_write_byte_pairs(folder),
        bos_token_id=None,
    )
    return ModelSpec("Qwen2ForCausalLM", config)


@checkpoint
def gpt2_checkpoint(folder: Path, *, hidden: int = 768, layers: int = 12) -> ModelSpec:
    """A GPT-2, by default the smallest; it splits text as Qwen2 does, which the model does not know."""
    from transformers import GPT2Config

    end = _write_byte_pairs(folder)
    marks: Any = dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id"), end)
    marks["n_ctx"] = 1024  # the Hub's GPT-2 has it beside n_positions, and llama.cpp's converter asks for it
    return ModelSpec("GPT2LMHeadModel", GPT2Config(n_embd=hidden, n_layer=layers, n_head=hidden // _HEAD, **marks))


@checkpoint
def t5_checkpoint(folder: Path, *, hidden: int = 512, layers: int = 6) -> ModelSpec:
    """A T5, by default T5-small, vocabulary included."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import T5Config

    config = T5Config(d_model=hidden, num_layers=layers, num_heads=hidden // _HEAD, d_ff=4 * hidden, d_kv=_HEAD)
    config.decoder_start_token_id = 0
    tokenizer: Any = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    options: Any = {"special_tokens": special, "unk_token": special[-1], "show_progress": False}
    tokenizer.train_from_iterator(SENTENCES, trainers.UnigramTrainer(vocab_size=1000, **options))
    words = (word for word in _made_up() if tokenizer.token_to_id(word) is None)
    tokenizer.add_tokens([next(words) for _ in range(config.vocab_size - tokenizer.get_vocab_size())])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    kinds = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512}
    marks = {"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    _write(folder / "tokenizer_config.json", {**kinds, **marks})
    settings = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    return ModelSpec("T5ForConditionalGeneration", config, settings)


@checkpoint
def marian_checkpoint(folder: Path, *, hidden: int = 512, layers: int = 6, words: int = _MARIAN_WORDS) -> ModelSpec:
    """A Marian translator, by default of the shape of OPUS-MT's."""
    import sentencepiece
    from transformers import MarianConfig

    pieces = io.BytesIO()
    quiet: dict[str, Any] = {"minloglevel": 2, "hard_vocab_limit": False}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES), model_writer=pieces, vocab_size=500, **quiet
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=pieces.getvalue())
    known = [processor.id_to_piece(index) for index in range(processor.get_piece_size())]
    vocab = _filled({"</s>": 0, "<unk>": 1}, words - 1, [*known, *(word.replace("Ġ", "▁") for word in _made_up())])
    vocab["<pad>"] = pad = len(vocab)
    for side in ("source", "target"):
        (folder / f"{side}.spm").write_bytes(pieces.getvalue())
    _write(folder / "vocab.json", vocab)
    kinds = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "xx", "model_max_length": 512}
    _write(folder / "tokenizer_config.json", kinds)
    marks = {"decoder_start_token_id": pad, "eos_token_id": 0, "pad_token_id": pad, "forced_eos_token_id": 0}
    numbers: dict[str, Any] = {**_sides(hidden, layers), **marks, "vocab_size": words, "max_position_embeddings": 512}
    config = MarianConfig(activation_function="swish", scale_embedding=True, **numbers)
    return ModelSpec("MarianMTModel", config, {"bad_words_ids": [[pad]], "max_length": 512, **marks})


@checkpoint
def whisper_checkpoint(
    folder: Path, *, hidden: int = 384, layers: int = 4, words: int = 50_257, languages: Sequence[str] = ()
) -> ModelSpec:
    """A Whisper model, by default whisper-tiny.

    Args:
        words: tokens before the special ones.
        languages: codes, "en" among them; none: all that Whisper knows.
    """
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    codes = list(languages or LANGUAGES)[:99]
    special = ["endoftext", "startoftranscript", *codes, *_WHISPER_SPECIAL]
    ids = {f"<|{name}|>": words + index for index, name in enumerate(special)}
    size = words + len(special) + _TIMESTAMPS
    _write_whisper_tokenizer(folder, words, list(ids))
    extractor: Any = WhisperFeatureExtractor
    extractor().save_pretrained(folder)
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    marks: dict[str, Any] = dict.fromkeys(("eos_token_id", "bos_token_id", "pad_token_id"), end)
    marks["decoder_start_token_id"] = start
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
    config = WhisperConfig(vocab_size=size, **_sides(hidden, layers), **marks)
    return ModelSpec("WhisperForConditionalGeneration", config, settings)


def _sides(hidden: int, layers: int) -> dict[str, Any]:
    """What the configurations of Whisper and Marian call the sizes of an encoder and of a decoder like it."""
    sizes = (("layers", layers), ("attention_heads", hidden // _HEAD), ("ffn_dim", 4 * hidden))
    return {"d_model": hidden, **{f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in sizes}}


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_byte_pairs(folder: Path) -> int:
    """A decoder's tokenizer, Qwen2's in kind; its id of the text's end."""
    from transformers import Qwen2Tokenizer

    tokenizer_class: Any = Qwen2Tokenizer
    vocab, merges = _byte_pairs(2000)
    tokenizer = tokenizer_class(vocab=vocab, merges=merges)
    tokenizer.save_pretrained(folder)
    return int(tokenizer.eos_token_id)


def _byte_pairs(size: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
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

    vocab, merges = _byte_pairs(min(words, 2000) - 1)
    vocab = _filled(vocab, words - 1, _made_up())
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
    _write(folder / "tokenizer_config.json", {**kinds, **marks})


def _filled(vocab: Mapping[str, int], size: int, words: Sequence[str]) -> dict[str, int]:
    """A vocabulary with as many more of these words as `size` has room for."""
    filled = dict(vocab)
    for word in words:
        if len(filled) == size:
            break
        filled.setdefault(word, len(filled))
    assert len(filled) == size, f"Too few words: {len(filled)} of {size}."
    return filled


def _made_up() -> list[str]:
    """60,000 words of two to four syllables, each with the space before it."""
    syllables = [a + b for a, b in product("bdfgklmnprstvz", "aeiou")]
    parts = (word for number in (2, 3, 4) for word in product(syllables[:38], repeat=number))
    return ["Ġ" + "".join(word) for word in islice(parts, 60_000)]
