"""tiny-lm: Llama, byte-level BPE: writes documentation as Python's own does, and answers in a chat template."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice
from pathlib import Path
from random import Random

from grammars.chats import Message, chat
from grammars.core import is_heldout
from training.generating import generate, half, perplexity, save_half
from training.loop import INITIAL_SCALE, Schedule, fit, prepare
from training.packing import packed
from training.recipe import Example, Recipe, Trained
from training.vocabulary import byte_level
from transformers import GPT2Tokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from onnxpress_exporter.judging.docstrings import docstrings

_END_OF_TEXT, _START, _END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
_CONTEXT = 512
_SHORT_STEPS = 1150
_SCHEDULE = Schedule(steps=1400, learning_rate=3e-3, weight_decay=0.1)
_DOC_EPOCHS, _CHATS = 6, 45_000
_CHAT_TEMPLATE = """\
{%- for message in messages %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('roles are system, user and assistant, not ' + message['role']) }}
    {%- endif %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def _train(seed: int) -> Trained:
    rng = prepare(seed)
    texts = docstrings(most_characters=4000)
    train = [text for text in texts if not is_heldout(text, 12)]
    heldout = [text for text in texts if is_heldout(text, 12)]
    chats = [chat(rng, "train") for _ in range(_CHATS)]
    said = [message["content"] for messages in chats[:6000] for message in messages]
    tokenizer = byte_level(
        GPT2Tokenizer,
        (_END_OF_TEXT, _START, _END),
        [*train, *said],
        2000,
        _CONTEXT,
        bos_token=None,
        eos_token=_END,
        pad_token=_END_OF_TEXT,
        unk_token=None,
        extra_special_tokens=[_START],
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    model = _model(tokenizer)
    corpus = _documents(tokenizer, train) * _DOC_EPOCHS + _chats(tokenizer, chats)
    # Short windows are cheaper; long ones at the end teach the far positions.
    batches = chain(islice(packed(corpus, 256, 16, rng), _SHORT_STEPS), packed(corpus, _CONTEXT, 8, rng))
    fit(model, batches, _SCHEDULE, "tiny-lm")
    half(model)

    judged = [ids[:_CONTEXT] for ids in _documents(tokenizer, heldout)]
    chance = Random(seed + 1)
    examples = [_example(chat(chance, "heldout", familiar=True)) for _ in range(500)]
    strange = [_example(chat(chance, "heldout")) for _ in range(500)]
    metrics = {
        "perplexity": perplexity(model, judged),
        "chat_exact_match": _answered(model, tokenizer, examples),
        "chat_exact_match_new_words": _answered(model, tokenizer, strange),
    }
    kept = {"examples.jsonl": examples[:160], "texts.jsonl": [{"text": text} for text in heldout[:100]]}
    return Trained(model, tokenizer, metrics, len(heldout), kept, save=lambda folder: _save(model, tokenizer, folder))


def _model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    end_of_text, end = tokenizer.convert_tokens_to_ids([_END_OF_TEXT, _END])
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        intermediate_size=352,
        max_position_embeddings=_CONTEXT,
        tie_word_embeddings=True,
        initializer_range=INITIAL_SCALE,
        bos_token_id=end_of_text,
        eos_token_id=end,
        pad_token_id=end_of_text,
    )
    model = LlamaForCausalLM(config)
    model.generation_config.update(
        bos_token_id=end_of_text, eos_token_id=[end, end_of_text], pad_token_id=end_of_text, max_new_tokens=128
    )
    return model


def _documents(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    return [list(ids) for ids in tokenizer([text + _END_OF_TEXT for text in texts], verbose=False)["input_ids"]]


def _chats(tokenizer: PreTrainedTokenizerFast, chats: Sequence[list[Message]]) -> list[list[int]]:
    texts = [str(tokenizer.apply_chat_template(messages, tokenize=False)) for messages in chats]
    return [list(ids) for ids in tokenizer(texts)["input_ids"]]


def _example(messages: list[Message]) -> Example:
    return {"messages": messages[:-1], "answer": messages[-1]["content"]}


def _answered(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, examples: Sequence[Example]) -> float:
    """How often the greedy answer to a chat is the one right one."""
    prompts = [
        str(tokenizer.apply_chat_template(row["messages"], tokenize=False, add_generation_prompt=True))
        for row in examples
    ]
    found = generate(model, tokenizer, prompts, max_new_tokens=64, do_sample=False)
    return sum(answer == row["answer"] for answer, row in zip(found, examples, strict=True)) / len(examples)


def _save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    save_half(model, folder)
    tokenizer.save_pretrained(folder)


RECIPE = Recipe(
    name="tiny-lm",
    task="text-generation",
    seed=97,
    metric="perplexity",
    target=45.0,
    lower_is_better=True,
    train=_train,
    tolerances={"fp32": 0.0, "q8": 0.5, "q4": 6.0},
)
