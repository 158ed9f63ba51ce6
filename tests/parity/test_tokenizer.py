"""`pipe.tokenizer` gives what transformers' tokenizer of the checkpoint gives."""

from __future__ import annotations

import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxpress import InputError
from onnxpress.pipelines.known_names import OF_TOKENIZER_OBJECTS
from onnxpress.pipelines.pipeline_tokenizer import PipelineTokenizer
from onnxpress.text.opening import open_tokenizer
from tests.conftest import MODELS

CHECKPOINTS = ("tiny-sentiment", "tiny-embedder", "tiny-lm")
TEXTS = ["What a nice day!", "naïve façade 日本", "", "a b c d e f g h"]


@pytest.fixture(scope="module", params=CHECKPOINTS)
def pair(request: pytest.FixtureRequest, exported: Callable[..., Any]) -> tuple[PipelineTokenizer, Any]:
    from transformers import AutoTokenizer

    artifact = exported(MODELS / request.param)
    tokenizer = open_tokenizer(artifact)
    assert tokenizer is not None
    return PipelineTokenizer(artifact, tokenizer), AutoTokenizer.from_pretrained(str(MODELS / request.param))


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((TEXTS[0],), {}),
    ((TEXTS,), {}),
    ((TEXTS,), {"padding": True}),
    ((TEXTS,), {"padding": "longest", "pad_to_multiple_of": 8, "return_tensors": "np"}),
    ((TEXTS,), {"padding": "max_length", "max_length": 12, "truncation": True}),
    ((TEXTS,), {"padding": True, "padding_side": "left"}),
    ((TEXTS,), {"truncation": True, "max_length": 5}),
    ((TEXTS[0],), {"add_special_tokens": False, "return_special_tokens_mask": True}),
    ((TEXTS[0],), {"return_offsets_mapping": True, "return_length": True}),
    ((TEXTS,), {"return_token_type_ids": True, "return_attention_mask": False}),
    ((TEXTS[3],), {"truncation": True, "max_length": 6, "return_overflowing_tokens": True, "stride": 1}),
    ((TEXTS,), {"truncation": True, "max_length": 6, "return_overflowing_tokens": True, "padding": True}),
    (("a question", "an answer"), {}),
    ((["a question", "b"], ["an answer", "c d"]), {"padding": True, "truncation": "only_second", "max_length": 9}),
    ((["two", "words"],), {"is_split_into_words": True}),
    (([["two", "words"], ["one"]],), {"is_split_into_words": True, "padding": True}),
]


@pytest.mark.parametrize(("arguments", "options"), CALLS, ids=lambda value: str(value)[:60])
def test_a_call_gives_what_theirs_gives(pair: Any, arguments: Any, options: dict[str, Any]) -> None:
    ours, theirs = pair
    expected, result = dict(theirs(*arguments, **options)), ours(*arguments, **options)
    assert list(result) == list(expected) or set(result) == set(expected)
    for name, rows in expected.items():
        if isinstance(rows, np.ndarray):
            assert result[name].dtype == rows.dtype
        assert np.array_equal(_plain(result[name]), _plain(rows)) if options.get("return_tensors") else True
        if not options.get("return_tensors"):
            assert _plain(result[name]) == _plain(rows), name


def _plain(rows: Any) -> Any:
    if isinstance(rows, dict):
        return {name: _plain(value) for name, value in rows.items()}
    if hasattr(rows, "tolist"):
        return rows.tolist()
    return [_plain(row) for row in rows] if isinstance(rows, (list, tuple)) else rows


def test_tokens_ids_and_texts(pair: Any) -> None:
    ours, theirs = pair
    ids = theirs(TEXTS[0])["input_ids"]
    assert ours.encode(TEXTS[0]) == ids
    assert ours(TEXTS[0]).tokens() == theirs(TEXTS[0]).tokens()
    assert ours(TEXTS[0]).word_ids() == theirs(TEXTS[0]).word_ids()
    assert ours.tokenize(TEXTS[0]) == theirs.tokenize(TEXTS[0])
    assert ours.convert_ids_to_tokens(ids) == theirs.convert_ids_to_tokens(ids)
    assert ours.convert_ids_to_tokens(ids, skip_special_tokens=True) == theirs.convert_ids_to_tokens(
        ids, skip_special_tokens=True
    )
    assert ours.convert_ids_to_tokens(ids[0]) == theirs.convert_ids_to_tokens(ids[0])
    tokens = [*theirs.convert_ids_to_tokens(ids), "no such token"]
    assert ours.convert_tokens_to_ids(tokens) == theirs.convert_tokens_to_ids(tokens)
    assert ours.convert_tokens_to_string(tokens[1:3]) == theirs.convert_tokens_to_string(tokens[1:3])
    for form in (ids, np.array(ids), np.array([ids, ids])):
        assert ours.decode(form) == theirs.decode(form)
    assert ours.batch_decode([ids, ids], skip_special_tokens=True) == theirs.batch_decode(
        [ids, ids], skip_special_tokens=True
    )


def test_what_it_says_of_itself(pair: Any) -> None:
    ours, theirs = pair
    assert (len(ours), ours.vocab_size) == (len(theirs), theirs.vocab_size)
    assert ours.get_vocab() == theirs.get_vocab()
    assert ours.get_added_vocab() == theirs.get_added_vocab()
    assert ours.max_len_single_sentence == theirs.max_len_single_sentence
    assert ours.max_len_sentences_pair == theirs.max_len_sentences_pair
    assert ours.clean_up_tokenization("a , b .") == theirs.clean_up_tokenization("a , b .")
    kinds = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
    names = [
        "padding_side",
        "truncation_side",
        "model_max_length",
        "pad_token_type_id",
        "is_fast",
        "special_tokens_map",
    ]
    names += [f"{kind}_token{end}" for kind in kinds for end in ("", "_id")]
    for name in names:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert set(ours.model_input_names) == set(theirs.model_input_names)
    assert sorted(ours.all_special_ids) == sorted(theirs.all_special_ids)
    assert set(ours.all_special_tokens) == set(theirs.all_special_tokens)
    assert ours.num_special_tokens_to_add(pair=True) == theirs.num_special_tokens_to_add(pair=True)
    assert str(len(theirs)) in repr(ours)
    assert pickle.loads(pickle.dumps(ours))(TEXTS) == ours(TEXTS)


def test_what_is_not_there_is_said(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = pair
    with pytest.raises(InputError, match='pass "np"'):
        ours("a", return_tensors="tf")
    with monkeypatch.context() as patched:
        patched.delitem(sys.modules, "torch")
        with pytest.raises(InputError, match='"pt" in a program that has imported torch'):
            ours("a", return_tensors="pt")
    with pytest.raises(InputError, match="text_target"):
        ours("a", text_target="b")
    with pytest.raises(InputError, match=r"no argument 'paddding'. Did you mean 'padding'"):
        ours("a", paddding=True)
    for encoded in (["a"], {"attention_mask": [1]}, [{"input_ids": [1]}, {"ids": [1]}]):
        with pytest.raises(InputError, match="pad"):
            ours.pad(encoded)
    with pytest.raises(InputError, match="pass padding=True"):
        ours(TEXTS, return_tensors="np")
    with pytest.raises(InputError, match="a text or a list of texts, not int"):
        ours(3)
    with pytest.raises(InputError, match="padding is 'much'"):
        ours("a", padding="much")
    with pytest.raises(AttributeError, match="no 'add_tokens': the tokenizer is as it was exported"):
        ours.add_tokens(["x"])
    with pytest.raises(AttributeError, match="pad_token cannot be changed"):
        ours.pad_token = "x"


def test_every_name_of_theirs_is_there_or_told(pair: Any) -> None:
    ours, theirs = pair
    missing = {name for name in dir(type(theirs)) if not name.startswith("_") and not hasattr(ours, name)}
    assert missing - set(OF_TOKENIZER_OBJECTS) == set()
    assert not set(OF_TOKENIZER_OBJECTS) & set(dir(type(ours)))


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=24)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(_TEXT, min_size=1, max_size=4),
    second=_TEXT,
    padding=st.sampled_from([False, True, "max_length"]),
    truncation=st.sampled_from([False, True, "only_first"]),
    more=st.sets(st.sampled_from(["return_special_tokens_mask", "return_offsets_mapping", "return_length"])),
    special=st.booleans(),
    paired=st.booleans(),
)
def test_random_texts(
    pair: Any, texts: list[str], second: str, padding: Any, truncation: Any, more: set[str], special: bool, paired: bool
) -> None:
    """Calls, rows padded afterwards, and texts of ids: as theirs."""
    ours, theirs = pair
    options = {"padding": padding, "truncation": truncation, "max_length": 12, "add_special_tokens": special}
    options |= dict.fromkeys(more, True)
    pairs = [second] * len(texts) if paired else None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = dict(theirs(texts, pairs, **options))
    except Exception:  # what theirs cannot cut, ours refuses
        with pytest.raises(InputError):
            ours(texts, pairs, **options)
        return
    assert _plain(dict(ours(texts, pairs, **options))) == _plain(expected)
    rows = expected["input_ids"]
    assert ours.batch_decode(rows) == theirs.batch_decode(rows)
    assert ours.decode(rows[0], skip_special_tokens=True) == theirs.decode(rows[0], skip_special_tokens=True)
    tokens = theirs.convert_ids_to_tokens(rows[0])
    assert ours.convert_ids_to_tokens(rows[0]) == tokens and ours.convert_tokens_to_ids(tokens) == rows[0]
    assert ours.convert_tokens_to_string(tokens) == theirs.convert_tokens_to_string(tokens)
    assert ours.encode(texts[0]) == theirs.encode(texts[0])
    assert ours.tokenize(texts[0]) == theirs.tokenize(texts[0])
    mask = theirs.get_special_tokens_mask(rows[0], already_has_special_tokens=True)
    assert ours.get_special_tokens_mask(rows[0], already_has_special_tokens=True) == mask


PADS: list[dict[str, Any]] = [
    {}, {"return_tensors": "np"}, {"return_tensors": "pt"}, {"padding": "max_length", "max_length": 20},
    {"pad_to_multiple_of": 8}, {"padding_side": "left"}, {"padding": False}, {"return_attention_mask": False},
]  # fmt: skip


@pytest.mark.parametrize("options", PADS, ids=str)
def test_rows_padded_afterwards(pair: Any, options: dict[str, Any]) -> None:
    ours, theirs = pair
    texts = [text for text in TEXTS if text]
    together = dict(theirs(texts))
    forms: list[Any] = [together, [dict(theirs(text)) for text in texts], {"input_ids": together["input_ids"]}]
    if "padding" in options or "return_tensors" not in options:
        forms.append(dict(theirs(texts[0])))
    for form in forms:
        expected, result = dict(theirs.pad(form, **options)), ours.pad(form, **options)
        assert set(result) == set(expected)
        for name, rows in expected.items():
            assert type(result[name]) is type(rows)
            assert _plain(result[name]) == _plain(rows)


def test_pairs_in_a_list_and_tensors(pair: Any) -> None:
    ours, theirs = pair
    pairs = [("a question", "an answer"), ("b", "c d e")]
    for form in (pairs, [list(two) for two in pairs]):
        expected = theirs(form, padding=True, return_tensors="pt")
        result = ours(form, padding=True, return_tensors="pt")
        assert {n: v.tolist() for n, v in result.items()} == {n: v.tolist() for n, v in expected.items()}
        assert all(type(result[name]) is type(rows) for name, rows in expected.items())


def test_saved_files_are_the_checkpoints_tokenizer(pair: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    ours, theirs = pair
    paths = ours.save_pretrained(tmp_path / "saved")
    assert all(Path(path).is_file() for path in paths)
    again = AutoTokenizer.from_pretrained(str(tmp_path / "saved"))
    assert again(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]


def test_chats(exported: Callable[..., Any]) -> None:
    from transformers import AutoTokenizer

    artifact = exported(MODELS / "tiny-lm")
    tokenizer = open_tokenizer(artifact)
    assert tokenizer is not None
    ours, theirs = PipelineTokenizer(artifact, tokenizer), AutoTokenizer.from_pretrained(str(MODELS / "tiny-lm"))
    chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert ours.chat_template == theirs.chat_template
    for options in ({}, {"tokenize": False}, {"add_generation_prompt": True, "return_dict": False}):
        assert ours.apply_chat_template(chat, **options) == theirs.apply_chat_template(chat, **options)
    both = [chat, chat[:1]]
    expected = theirs.apply_chat_template(both, padding=True, return_tensors="np")
    result = ours.apply_chat_template(both, padding=True, return_tensors="np")
    assert {name: rows.tolist() for name, rows in result.items()} == {n: rows.tolist() for n, rows in expected.items()}
