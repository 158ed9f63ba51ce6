"""What is written is what transformers' generate writes; the schema of results is that of its version 4."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import onnxpress
from onnxpress.errors import InputError
from tests.fixtures.written import artifact_of, save_multilingual, save_t5

PARAMS = {
    "summarization": {"prefix": "good: ", "max_length": 12, "min_length": 5, "num_beams": 3, "length_penalty": 2.0},
    "translation_en_to_de": {"prefix": "berlin ", "max_length": 10, "num_beams": 2},
    "translation_en_to_fr": {"prefix": "paris ", "max_length": 10, "num_beams": 2},
}
TEXTS = ["the quick brown fox", "a", "john smith works at acme in berlin"]
LONG = "The film was very good. I love it. " * 8


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    save_t5(folder / "checkpoint", PARAMS)
    artifact_of(folder / "checkpoint", folder / "artifact", "text2text-generation")
    return folder


@pytest.fixture(scope="module")
def theirs(made: Path) -> Any:
    import transformers

    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(made / "checkpoint").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(made / "checkpoint")

    def write(text: str, **options: Any) -> list[str]:
        inputs = tokenizer(
            [text], return_tensors="pt", return_token_type_ids=False, truncation=options.pop("cut", False)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ids = model.generate(**inputs, **options)
        return [tokenizer.decode(row, skip_special_tokens=True) for row in ids]

    return write


@pytest.fixture
def generator(made: Path) -> Iterator[Any]:
    with onnxpress.pipeline("text2text-generation", made / "artifact", threads=1) as pipe:
        yield pipe


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 1, "max_new_tokens": 8},
        {"num_beams": 4, "max_new_tokens": 8, "num_return_sequences": 2},
        {"num_beams": 2, "max_length": 9, "min_length": 4, "no_repeat_ngram_size": 2, "early_stopping": True},
    ],
)
def test_text2text_equals_generate(generator: Any, theirs: Any, options: dict[str, Any]) -> None:
    expected = [[{"generated_text": text} for text in theirs(one, **options)] for one in TEXTS]
    assert [generator(one, **options) for one in TEXTS] == expected
    flat = [one[0] if len(one) == 1 else one for one in expected]
    assert generator(TEXTS, **options) == flat
    assert list(generator(iter(TEXTS), **options)) == expected


def test_usual_settings_are_those_of_version_4(generator: Any) -> None:
    options = generator.options
    config = generator._call(options, generator._source(options)).config
    assert (config.num_beams, config.max_new_tokens, config.do_sample) == (4, 256, False)


def test_ids_begin_as_the_decoder_does(generator: Any) -> None:
    ids = generator("a", return_tensors=True, max_new_tokens=3, num_beams=1)[0]["generated_token_ids"]
    assert ids[0] == 0 and len(ids) == 4


def test_what_the_config_has_for_the_task_is_used(made: Path, theirs: Any) -> None:
    with onnxpress.pipeline("summarization", made / "artifact", threads=1) as pipe:
        settings = {name: value for name, value in PARAMS["summarization"].items() if name != "prefix"}
        assert pipe("a b") == [{"summary_text": theirs("good: a b", **settings)[0]}]
        assert pipe(["a b"], max_length=7) == [
            {"summary_text": theirs("good: a b", **{**settings, "max_length": 7})[0]}
        ]
        assert pipe("a b", prefix="") == [{"summary_text": theirs("a b", **settings)[0]}]


def test_languages_choose_the_prefix(made: Path, theirs: Any) -> None:
    settings = {"num_beams": 2, "max_length": 10}
    german = [{"translation_text": theirs("berlin good", **settings)[0]}]
    french = [{"translation_text": theirs("paris good", **settings)[0]}]
    with onnxpress.pipeline("translation_en_to_de", made / "artifact") as pipe:
        assert pipe("good") == german
        assert pipe("good", tgt_lang="fr") == french
    with onnxpress.pipeline("translation", made / "artifact") as pipe:
        assert pipe(["good"], src_lang="en", tgt_lang="de") == german
        with pytest.raises(InputError, match="en_to_de, en_to_fr"):
            pipe("good")
        with pytest.raises(InputError, match="en_to_de, en_to_fr"):
            pipe("good", src_lang="en", tgt_lang="xx")


def test_a_long_text_is_refused_cut_or_answered_in_pieces(generator: Any, theirs: Any) -> None:
    options = {"num_beams": 1, "max_new_tokens": 6}
    with pytest.raises(InputError, match=r"takes at most 48.*truncation=True.*overflow"):
        generator(LONG, **options)
    assert generator(LONG, truncation=True, **options) == [{"generated_text": theirs(LONG, cut=True, **options)[0]}]
    result = generator(LONG, overflow="chunk", return_details=True, **options)[0]
    assert result["completion_tokens"] > 6
    assert result["finish_reason"] == "length"
    assert "".join(result["generated_text"].split()) != ""
    short = "The film was good."
    assert generator(short, overflow="chunk", **options) == generator(short, **options)
    with pytest.raises(InputError, match="pass one"):
        generator(LONG, overflow="chunk", truncation=True)
    with pytest.raises(InputError, match="pieces"):
        generator.stream(LONG, overflow="chunk")


def test_a_stream_is_one_beam(generator: Any, theirs: Any) -> None:
    stream = generator.stream("the quick", max_new_tokens=8)
    assert "".join(stream) == theirs("the quick", num_beams=1, max_new_tokens=8)[0]
    assert stream.finish_reason in ("length", "stop")
    with pytest.raises(InputError, match="num_beams"):
        generator.stream("the quick", num_beams=2)


OPTIONS = {"num_beams": 2, "max_new_tokens": 6}


def test_a_language_is_forced_as_first_token(tmp_path: Path) -> None:
    import transformers

    checkpoint = save_multilingual(tmp_path, "m2m100")
    artifact_of(checkpoint, tmp_path / "artifact", "translation")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)

    def expected(text: str, source: str, target: str) -> list[dict[str, str]]:
        tokenizer.src_lang = source
        inputs = tokenizer(text, return_tensors="pt")
        ids = model.generate(**inputs, forced_bos_token_id=tokenizer.get_lang_id(target), **OPTIONS)
        return [{"translation_text": tokenizer.decode(ids[0], skip_special_tokens=True)}]

    with onnxpress.pipeline("translation_de_to_fr", tmp_path / "artifact") as pipe:
        assert pipe("the quick fox", **OPTIONS) == expected("the quick fox", "de", "fr")
        assert pipe("the quick fox", tgt_lang="ro", **OPTIONS) == expected("the quick fox", "de", "ro")
        assert pipe(["good"], src_lang="en", tgt_lang="de", **OPTIONS) == expected("good", "en", "de")
        with pytest.raises(InputError, match="'tlh'"):
            pipe("good", tgt_lang="tlh")


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_a_language_stands_before_the_text(tmp_path: Path) -> None:
    import transformers

    checkpoint = save_multilingual(tmp_path, "marian", codes=("fra", "deu"))
    artifact_of(checkpoint, tmp_path / "artifact", "translation")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(checkpoint).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    ids = model.generate(**tokenizer(">>deu<< the quick fox", return_tensors="pt"), **OPTIONS)
    expected = [{"translation_text": tokenizer.decode(ids[0], skip_special_tokens=True)}]
    with onnxpress.pipeline(model=tmp_path / "artifact") as pipe:
        assert pipe("the quick fox", tgt_lang="deu", **OPTIONS) == expected
        assert pipe(">>deu<< the quick fox", **OPTIONS) == expected
        with pytest.raises(InputError, match="'tlh'"):
            pipe("good", tgt_lang="tlh")


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_a_model_of_one_pair_takes_no_languages_but_the_alias(tmp_path: Path) -> None:
    checkpoint = save_multilingual(tmp_path, "marian")
    artifact_of(checkpoint, tmp_path / "artifact", "translation")
    with onnxpress.pipeline("translation_en_to_de", tmp_path / "artifact") as pipe:
        assert pipe("good", **OPTIONS)
        with pytest.raises(InputError, match="one pair"):
            pipe("good", tgt_lang="de")
