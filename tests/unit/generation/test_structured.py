"""Grammars hold what a random model writes to their form; what cannot be held is refused."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import decoders, models, pre_tokenizers

from onnxpress.errors import InputError
from onnxpress.format.processors import TokenizerSettings
from onnxpress.generation.structured.constrainer import Constrainer
from onnxpress.generation.structured.grammars import Grammar, exclusive, grammar_of
from onnxpress.text.tokenizer import Tokenizer
from tests.fixtures.json_schemas import schemas

#: In JSON, "1.0" is an integer; Python's json reads it as a float, and jsonschema knows that.
VALIDATOR = jsonschema.Draft202012Validator


def byte_level() -> RustTokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {
        piece: 257 + number for number, piece in enumerate(('{"', '":', "},", "true", "null", "Ġtrue", '",', "12"))
    }
    vocabulary = {"</s>": 0} | {char: 1 + number for number, char in enumerate(alphabet)} | words
    rust = RustTokenizer(models.BPE(vocabulary, []))
    rust.pre_tokenizer, rust.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    rust.add_special_tokens(["</s>"])
    return rust


def unigram() -> RustTokenizer:
    letters = '▁abcdefghijklmnopqrstuvwxyzABCDEF0123456789{}[]":,-.\\+ößée日本_'
    pieces = [("</s>", 0.0), ("<unk>", 0.0), ("true", -2.0), ("▁true", -2.0), *((one, -3.0) for one in letters)]
    rust = RustTokenizer(models.Unigram(pieces, unk_id=1))
    rust.pre_tokenizer, rust.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    rust.add_special_tokens(["</s>", "<unk>"])
    return rust


def opened(rust: RustTokenizer, folder: Path) -> Tokenizer:
    rust.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder / "tokenizer.json", TokenizerSettings("tokenizer.json", ("input_ids",), None, 0))


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return opened(byte_level(), tmp_path_factory.mktemp("bytes"))


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return opened(unigram(), tmp_path_factory.mktemp("pieces"))


def written(tokenizer: Tokenizer, grammar: Grammar | None, seed: int, most: int = 2000, width: int = 300) -> str | None:
    """What a model with random scores writes; None if it does not end."""
    assert grammar is not None
    constraint = Constrainer(tokenizer).constraint(grammar, [0])
    random, ids = np.random.default_rng(seed), list[int]()
    while len(ids) < most:
        scores = random.normal(size=width).astype(np.float32)
        constraint.restrict(scores)
        token = int(scores.argmax())
        if token == 0:
            return tokenizer.decode(ids)
        run: Sequence[int] = [token]
        while run and not constraint.ended:
            for one in run:
                constraint.advance(one)
                ids.append(one)
            run = constraint.forced()
        if constraint.ended:
            return tokenizer.decode(ids)
    return None


def test_every_json_is_valid(tokenizer: Tokenizer) -> None:
    kinds = set()
    for seed, schema in enumerate(schemas(80, seed=2)):
        VALIDATOR.check_schema(schema)
        text = written(tokenizer, grammar_of(json_schema=schema), seed)
        assert text is not None
        value = json.loads(text)
        VALIDATOR(schema, format_checker=VALIDATOR.FORMAT_CHECKER).validate(value)
        kinds.add(type(value).__name__)
    assert kinds >= {"dict", "list", "str", "int", "float", "bool", "NoneType"}


def test_pieces_of_sentencepiece_are_held_to_a_form(pieces: Tokenizer) -> None:
    for seed, schema in enumerate(schemas(30, seed=1)):
        if "zwei" in json.dumps(schema) or "format" in json.dumps(schema) or "quo" in json.dumps(schema):
            continue  # letters that this small vocabulary lacks
        text = written(pieces, grammar_of(json_schema=schema), seed, width=80)
        assert text is not None
        VALIDATOR(schema).validate(json.loads(text))


@pytest.mark.parametrize("expression", ["[0-9]{3}-[0-9]{4}", "(a|bc)+d", "ü[a-c]{0,5}", "yes|no"])
def test_a_regular_expression_matches_the_whole_text(tokenizer: Tokenizer, expression: str) -> None:
    for seed in range(5):
        text = written(tokenizer, grammar_of(regex=expression), seed)
        assert text is not None
        assert re.fullmatch(expression, text)


def test_a_grammar_is_followed(tokenizer: Tokenizer) -> None:
    lark = 'start: sum\nsum: NUMBER ("+" NUMBER){0,3}\nNUMBER: /[1-9][0-9]{0,2}/'
    for seed in range(5):
        text = written(tokenizer, grammar_of(grammar=lark), seed)
        assert text is not None
        assert re.fullmatch(r"[1-9][0-9]{0,2}(\+[1-9][0-9]{0,2}){0,3}", text)


def test_spaces_are_bounded(tokenizer: Tokenizer) -> None:
    texts = [
        written(tokenizer, grammar_of(json_schema={"type": "array", "maxItems": 1}), seed, 9999) for seed in range(9)
    ]
    assert not any(re.search(r"[ \t]{25}|\n *\n", text) for text in texts if text)


def test_response_format_is_that_of_the_openai_api() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    format_ = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    assert (
        grammar_of(response_format=format_)
        == grammar_of(json_schema=schema)
        == grammar_of(json_schema=json.dumps(schema))
    )
    assert grammar_of(response_format={"type": "json_object"}) == Grammar("json_schema", '{"type": "object"}')
    assert grammar_of(response_format={"type": "text"}) is None
    assert grammar_of() is None

    class Model:
        @staticmethod
        def model_json_schema() -> dict[str, Any]:
            return schema

    assert grammar_of(response_format=Model) == grammar_of(json_schema=Model) == grammar_of(json_schema=schema)


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ({"type": "integer"}, {"type": "string"}, True),
        ({"type": "integer"}, {"type": "number"}, False),
        ({"type": ["null", "integer"]}, {"type": ["null", "string"]}, False),
        ({"const": 1}, {"const": 1.0}, False),
        ({"const": 1}, {"enum": [2, 3]}, True),
        ({"const": True}, {"const": 1}, True),
        ({"const": "a"}, {"type": "string"}, False),
        ({}, {"type": "string"}, False),
        (
            {"type": "object", "properties": {"k": {"const": 1}}},
            {"type": "object", "properties": {"k": {"const": 2}}},
            False,
        ),
    ],
)
def test_alternatives_that_exclude_each_other_are_known(one: Any, other: Any, apart: bool) -> None:
    assert exclusive({"oneOf": [one, other]}) == {"anyOf" if apart else "oneOf": [one, other]}
    assert exclusive({"const": {"oneOf": [one, other]}}) == {"const": {"oneOf": [one, other]}}


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"regex": "a", "grammar": "b"}, "exclude"),
        ({"regex": ""}, "regex"),
        ({"grammar": 3}, "grammar"),
        ({"json_schema": "{"}, "not JSON"),
        ({"json_schema": {"a": {1, 2}}}, "not JSON"),
        ({"json_schema": [1]}, "object"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"regex": "a(?=b)"}, "regular expression is not valid.*look-around|cannot be followed.*look-around"),
        ({"grammar": "start: x"}, "unknown name"),
        ({"json_schema": {"type": "array", "uniqueItems": True}}, "uniqueItems"),
        ({"json_schema": {"oneOf": [{"type": "integer"}, {"type": "number"}]}}, "oneOf"),
        ({"json_schema": {"$ref": "http://example.org/x"}}, "example.org"),
        ({"json_schema": False}, "JSON schema"),
    ],
)
def test_what_cannot_be_held_is_refused(tokenizer: Tokenizer, arguments: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        Constrainer(tokenizer).constraint(grammar_of(**arguments), [0])  # type: ignore[arg-type]


def test_tokens_without_a_text_of_their_own_are_refused(tmp_path: Path) -> None:
    rust = RustTokenizer(models.WordPiece({"[UNK]": 0, "a": 1, "##b": 2}, unk_token="[UNK]"))
    rust.decoder = decoders.WordPiece()
    with pytest.raises(InputError, match="sentencepiece"):
        Constrainer(opened(rust, tmp_path)).constraint(Grammar("regex", "ab"), [0])


def test_a_token_that_breaks_the_form_is_an_error(tokenizer: Tokenizer) -> None:
    constraint = Constrainer(tokenizer).constraint(Grammar("regex", "[0-9]{2}"), [0])
    with pytest.raises(InputError, match="held to its form"):
        constraint.advance(tokenizer.encode("x").ids[0])


def test_a_constrainer_pickles(tokenizer: Tokenizer) -> None:
    copy = pickle.loads(pickle.dumps(Constrainer(tokenizer)))
    assert copy.constraint(Grammar("regex", "a"), [0]).forced()


def test_what_is_missing_is_named(tokenizer: Tokenizer) -> None:
    program = (
        "import sys; sys.modules['llguidance'] = None\n"
        "from onnxpress.generation.structured.constrainer import Constrainer, Grammar\n"
        "from onnxpress.errors import MissingDependency\n"
        "try: Constrainer(None).constraint(Grammar('regex', 'a'), [])\n"
        "except MissingDependency as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'onnxpress[structured]'" in done.stdout
