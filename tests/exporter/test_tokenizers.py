"""Tokenizers: each kind gives an exact tokenizer.json, anything else is refused, and limits are the model's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress.chat.templates import Chat, template_tokens
from onnxpress.format.processors import SpecialToken
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.source.tables import Tables, find_tables
from onnxpress_exporter.write.tokenizers import tokenizer_settings, write_tokenizer
from tests.fixtures.tiny_tokenizers import KINDS, tiny_tokenizer


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_exact(kind: str, tmp_path: Path) -> None:
    """As made, and as read back from what transformers saved: `write_tokenizer` compares them itself."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    tokenizer = tiny_tokenizer(kind)
    write_tokenizer(tokenizer, tmp_path)
    exact = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert exact.encode("The quick, brown fox").ids == tokenizer("The quick, brown fox").input_ids
    saved, again = tmp_path / "saved", tmp_path / "again"
    again.mkdir()
    tokenizer.save_pretrained(saved)
    write_tokenizer(AutoTokenizer.from_pretrained(saved), again)
    assert (again / "tokenizer.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm_roberta"])
def test_exact_on_any_text(kind: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    from tokenizers import Tokenizer

    folder = tmp_path_factory.mktemp("exact")
    tokenizer = tiny_tokenizer(kind)
    write_tokenizer(tokenizer, folder)
    exact = Tokenizer.from_file(str(folder / "tokenizer.json"))

    @settings(max_examples=60, deadline=None)
    @given(st.text(max_size=60), st.text(min_size=1, max_size=20))
    def same(first: str, second: str) -> None:
        assert exact.encode(first).ids == tokenizer(first).input_ids
        assert exact.encode(first, second).ids == tokenizer(first, second).input_ids

    same()


@pytest.mark.parametrize(
    "options",
    [
        {"do_lower_case": False},
        {"strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"additional_special_tokens": ["<ent>", "</ent>"]},
    ],
)
def test_options_of_the_tokenizer_are_in_the_file(options: dict[str, Any], tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = tiny_tokenizer("bert", **options)
    write_tokenizer(tokenizer, tmp_path)
    text = "CAFÉ 你好 <ent>fox</ent>"
    assert Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode(text).ids == tokenizer(text).input_ids


def test_no_limit_and_no_padding_is_left_in_the_file(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = tiny_tokenizer("bert")
    tokenizer(["a", "b c"], truncation=True, max_length=4, padding="max_length")
    assert tokenizer.backend_tokenizer.truncation is not None
    write_tokenizer(tokenizer, tmp_path)
    written = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert written.truncation is None and written.padding is None


def test_what_python_adds_to_the_ids_is_refused(tmp_path: Path) -> None:
    from transformers import BertTokenizer

    class Shifting(BertTokenizer):  # type: ignore[misc, no-any-unimported, unused-ignore]
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            encoded = super().__call__(*args, **kwargs)
            encoded["input_ids"] = [0, *encoded["input_ids"]]
            return encoded

    tokenizer = Shifting(vocab=tiny_tokenizer("bert").get_vocab())
    with pytest.raises(UnsupportedCheckpoint, match=r"Shifting has no exact tokenizer\.json: for ''"):
        write_tokenizer(tokenizer, tmp_path)


def test_a_tokenizer_in_python_only_is_refused(tmp_path: Path) -> None:
    from transformers import CanineTokenizer

    with pytest.raises(UnsupportedCheckpoint, match="CanineTokenizer"):
        write_tokenizer(CanineTokenizer(), tmp_path)


@pytest.mark.parametrize(
    ("kind", "own_limit", "config", "limit"),
    [
        ("bert", None, {"model_type": "bert", "max_position_embeddings": 512}, 512),
        ("bert", 128, {"model_type": "bert", "max_position_embeddings": 512}, 128),
        ("bert", None, {"model_type": "bert"}, 512),  # config.json left the default out
        ("roberta", None, {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ("roberta", 512, {"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ("xlm_roberta", None, {"model_type": "xlm-roberta", "max_position_embeddings": 8194}, 8192),
        ("mpnet", None, {"model_type": "mpnet", "max_position_embeddings": 514}, 512),
        ("t5", None, {"model_type": "t5"}, None),
        ("xlnet", None, {"model_type": "xlnet"}, None),
    ],
)
def test_the_longest_input(kind: str, own_limit: int | None, config: dict[str, Any], limit: int | None) -> None:
    options = {} if own_limit is None else {"model_max_length": own_limit}
    found = tokenizer_settings(tiny_tokenizer(kind, **options), config)
    assert found.max_length == limit


@pytest.mark.parametrize("architecture", ["roberta", "camembert", "mpnet", "data2vec_text", "ibert", "xmod", "bert"])
def test_the_limit_is_what_the_model_really_holds(architecture: str) -> None:
    """The longest input runs, one token more does not: the table of offsets is right for the architecture."""
    import torch

    from tests.exporter.test_specs import model_and_tokenizer

    model, tokenizer = model_and_tokenizer(architecture, "AutoModel")
    limit = tokenizer_settings(tokenizer, model.config).max_length
    assert limit is not None
    token = tokenizer("fox", add_special_tokens=False).input_ids[-1]
    with torch.inference_mode():
        model.eval()(input_ids=torch.full((1, limit), token))
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, limit + 1), token))


def test_settings_hold_what_the_file_lacks() -> None:
    found = tokenizer_settings(
        tiny_tokenizer("qwen2", padding_side="left"),
        {
            "model_type": "qwen2",
            "max_position_embeddings": 64,
        },
    )
    assert (found.padding_side, found.truncation_side, found.max_length) == ("left", "right", 64)
    bert = tokenizer_settings(tiny_tokenizer("bert"), {"model_type": "bert"})
    assert bert.special_tokens["mask"] == SpecialToken("[MASK]", 4)
    assert set(bert.special_tokens) == {"unk", "cls", "sep", "mask"}
    assert (bert.pad_token_id, bert.pad_token_type_id, bert.file) == (0, 0, "tokenizer.json")


def test_chat_templates_know_every_named_token_that_transformers_gives_them() -> None:
    extra = {"turn_token": "<turn>", "image_start": "<img>"}
    tokenizer = tiny_tokenizer("qwen2", extra_special_tokens=extra, bos_token="<s>")
    found = tokenizer_settings(tokenizer, {"model_type": "qwen2"})
    chat = {f"{kind}_token": token.text for kind, token in found.special_tokens.items()} | dict(found.named_tokens)
    assert chat == tokenizer.special_tokens_map
    assert {"turn_token", "image_start", "pad_token"} <= set(found.named_tokens)


NAMED = "{% for m in messages %}{{ turn_token }}{{ m.role }}: {{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        NAMED,
        NAMED + "{{ image_start }}|{{ pad_token }}|{{ unk_token }}|{{ bos_token }}{{ eos_token }}",
        "{{ nobodys_token }}" + NAMED + "{% if mask_token is defined %}{{ mask_token }}{% endif %}",
        "{{ turn_token.upper() }}{{ turn_token | length }}{{ (turn_token + pad_token) | trim }}",
    ],
)
@pytest.mark.parametrize(
    ("kind", "extra"),
    [
        ("qwen2", {"turn_token": "<turn>", "image_start": "<img>"}),
        ("qwen2", {"turn_token": "<tür \u4e2d>"}),
        ("bert", {"turn_token": "[TURN]", "mask_token": "[MASK]"}),
    ],
)
def test_named_tokens_are_rendered(template: str, kind: str, extra: dict[str, str]) -> None:
    """What an artifact knows of a tokenizer renders as the tokenizer does."""
    named = {name: token for name, token in extra.items() if name != "mask_token"}
    tokenizer = tiny_tokenizer(kind, extra_special_tokens=named, bos_token="<s>")
    settings = tokenizer_settings(tokenizer, {"model_type": kind})
    messages = [{"role": "user", "content": "<turn> Hi"}, {"role": "assistant", "content": "Yes [TURN]"}]
    expected = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False)
    assert extra["turn_token"].casefold() in expected.casefold()
    chat = Chat({"default": template}, template_tokens(settings), "here")
    assert chat.render(messages) == expected


@pytest.mark.parametrize(
    ("architecture", "config", "positions"),
    [
        ("bert", {}, True),
        ("gpt2", {}, True),
        ("bart", {}, True),
        ("roformer", {}, True),
        ("deberta", {}, False),
        ("deberta_v2", {}, False),
        ("deberta_v2", {"position_biased_input": True}, True),
        ("xlnet", {}, False),
        ("t5", {}, False),
        ("qwen2", {}, False),
        ("qwen2", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}, True),
    ],
)
def test_a_table_of_positions_is_looked_for(architecture: str, config: dict[str, Any], positions: bool) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    from tests.fixtures.tiny import ARCHITECTURES

    tiny = ARCHITECTURES[architecture]
    settings = AutoConfig.for_model(tiny.model_type, vocab_size=60, pad_token_id=1, **{**tiny.sizes, **config})
    with torch.device("meta"):
        found = find_tables(AutoModel.from_config(settings))
    assert found == Tables(60, positions)


def test_without_a_table_of_positions_only_the_tokenizer_limits() -> None:
    config = {"model_type": "deberta-v2", "max_position_embeddings": 64}
    for own_limit, limit in ((None, None), (96, 96)):
        options = {} if own_limit is None else {"model_max_length": own_limit}
        tokenizer = tiny_tokenizer("bert", **options)
        assert tokenizer_settings(tokenizer, config, Tables(positions=False)).max_length == limit


def test_tokens_without_a_row() -> None:
    tokenizer = tiny_tokenizer("bert")
    rows = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "<filler>"})
    found = tokenizer_settings(tokenizer, {"model_type": "bert", "pad_token_id": 3}, Tables(rows))
    assert (found.vocabulary, found.pad_token_id) == (rows, 3)
    with pytest.raises(UnsupportedCheckpoint, match=r"puts '\[CLS\]' \(id \d+\) around every text"):
        tokenizer_settings(tokenizer, {"model_type": "bert"}, Tables(2))
