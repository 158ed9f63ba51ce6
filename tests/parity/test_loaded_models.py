"""`onnxpress.load(...)` gives the arrays that transformers' model gives, from texts, lists and any library's arrays."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxpress
from onnxpress import InputError
from tests.conftest import MODELS

TEXTS = ["hello there", "a very nice laptop, I think"]


def _theirs(kind: str, name: str) -> tuple[Any, Any]:
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(transformers, kind).from_pretrained(str(MODELS / name)).eval()
        return model, transformers.AutoTokenizer.from_pretrained(str(MODELS / name))


@pytest.fixture(scope="module")
def classifier(exported: Callable[..., Any]) -> Iterator[Any]:
    with onnxpress.load(exported(MODELS / "tiny-sentiment"), threads=1) as model:
        yield model


def test_texts_lists_and_tensors_give_their_logits(classifier: Any) -> None:
    import torch

    theirs, tokenizer = _theirs("AutoModelForSequenceClassification", "tiny-sentiment")
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = theirs(**inputs).logits.numpy()
    ragged = tokenizer(TEXTS)["input_ids"]
    forms = [
        classifier(**inputs),
        classifier(inputs),
        classifier({name: rows.int() for name, rows in inputs.items()}),
        classifier(**{name: rows.numpy().astype(np.int32) for name, rows in inputs.items()}),
        classifier(TEXTS),
        classifier(ragged),
        classifier(input_ids=ragged),
        classifier(**classifier.tokenizer(TEXTS, padding=True, return_tensors="np")),
    ]
    for outputs in forms:
        assert np.allclose(outputs.logits, expected, atol=1e-4)
        assert outputs["logits"] is outputs[0]
    assert np.allclose(classifier(TEXTS[0]).logits, expected[:1], atol=1e-4)
    pair = tokenizer("one", "two", return_tensors="pt")
    with torch.no_grad():
        assert np.allclose(classifier("one", "two").logits, theirs(**pair).logits.numpy(), atol=1e-4)
    long = tokenizer("word " * 300, truncation=True, return_tensors="pt")
    with torch.no_grad():
        assert np.allclose(classifier("word " * 300, truncation=True)[0], theirs(**long).logits.numpy(), atol=1e-4)


def test_the_config_and_the_face(classifier: Any, tmp_path: Path) -> None:
    theirs, _ = _theirs("AutoModelForSequenceClassification", "tiny-sentiment")
    for name in ("id2label", "label2id", "num_labels", "model_type", "hidden_size", "problem_type"):
        assert getattr(classifier.config, name) == getattr(theirs.config, name)
    assert (classifier.device, classifier.precision) == ("cpu", "fp32")
    assert classifier.eval() is classifier.to("cpu") is classifier
    for part in ("text-classification", "fp32", "cpu", "threads=1"):
        assert part in repr(classifier)
    with pytest.raises(AttributeError, match=r"config.json has no 'nonsense'"):
        _ = classifier.config.nonsense
    with pytest.raises(AttributeError, match="cannot be changed"):
        classifier.config.id2label = {}
    folder = classifier.save_pretrained(tmp_path / "copy")
    with onnxpress.load(folder) as copy, pickle.loads(pickle.dumps(classifier)) as unpickled:
        assert np.array_equal(copy(TEXTS).logits, classifier(TEXTS).logits)
        assert np.array_equal(unpickled(TEXTS).logits, classifier(TEXTS).logits)
    with pytest.raises(InputError, match="copy"):
        classifier.save_pretrained(folder)


def test_a_pipeline_and_a_model_share_what_is_open(classifier: Any) -> None:
    pipe = onnxpress.pipeline(model=classifier, tokenizer=classifier.tokenizer, config=classifier.config)
    assert pipe.session.graphs == classifier.session.graphs
    assert pipe.model.session is pipe.session
    assert pipe.model.config.id2label == classifier.config.id2label
    assert pipe.device == "cpu"
    assert "TextClassification(task='text-classification'" in repr(pipe)
    pipe.close()
    assert classifier("still open").logits.shape == (1, 3)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "Nothing to read: pass a text"),
    ({"inputs": []}, "input_ids"),
    ({"inputs": "a", "labels": [1]}, "labels=.*no training"),
    ({"inputs": "a", "output_attentions": True}, "output_attentions=True.*feature-extraction"),
    ({"inputs": "a", "nonsense": 1}, "no argument 'nonsense'. It takes: attention_mask, input_ids"),
    ({"input_ids": [[1.5]]}, "input_ids holds float64 and must hold int64"),
    ({"input_ids": [["a"]]}, "not an array of numbers"),
    ({"input_ids": [[[1]]]}, r"must be \(batch, tokens\)"),
    ({"input_ids": [[2, 3]], "attention_mask": [[1]]}, r"attention_mask is \(1, 1\), and input_ids \(1, 2\)"),
    ({"input_ids": [[2] * 200]}, "200 tokens, the model takes at most 128"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=lambda value: str(value)[:40])
def test_what_cannot_be_read_is_told(classifier: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        classifier(**arguments)


def test_a_reader_does_not_write_and_load_has_no_arguments_of_tasks(classifier: Any) -> None:
    with pytest.raises(InputError, match="reads and does not write"):
        classifier.generate("a")
    with pytest.raises(InputError, match=r"load has no argument 'top_k': .*pass it to generate"):
        onnxpress.load(classifier.artifact, top_k=1)
    with pytest.raises(InputError, match=r"load has no argument 'generation_config': .*pass it to generate"):
        onnxpress.load(classifier.artifact, generation_config={"max_new_tokens": 1})
    with pytest.raises(InputError, match="runs on cpu: open it again"):
        classifier.to("cuda")


def test_a_writer_gives_logits_and_generates(exported: Callable[..., Any]) -> None:
    import torch

    theirs, tokenizer = _theirs("AutoModelForCausalLM", "tiny-lm")
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    settings = {"max_new_tokens": 8, "do_sample": False}
    with torch.no_grad(), onnxpress.load(exported(MODELS / "tiny-lm"), threads=1) as model:
        mask = inputs["attention_mask"].numpy().astype(bool)
        expected = theirs(**inputs).logits.numpy()
        assert np.allclose(model(**inputs).logits[mask], expected[mask], atol=1e-3)
        assert np.allclose(model(TEXTS).logits[mask], expected[mask], atol=1e-3)
        written = theirs.generate(**inputs, **settings).tolist()
        assert model.generate(**inputs, **settings).tolist() == written
        assert model.generate(TEXTS, **settings).tolist() == written
        beams = {**settings, "num_beams": 2, "num_return_sequences": 2}
        assert model.generate(TEXTS, **beams).tolist() == theirs.generate(**inputs, **beams).tolist()


def test_an_encoder_decoder_gives_logits_and_generates(exported: Callable[..., Any]) -> None:
    import torch

    theirs, tokenizer = _theirs("AutoModelForSeq2SeqLM", "tiny-translator")
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad(), onnxpress.load(exported(MODELS / "tiny-translator"), threads=1) as model:
        written = theirs.generate(**inputs, max_new_tokens=8)
        assert model.generate(TEXTS, max_new_tokens=8).tolist() == written.tolist()
        logits = model(**inputs, decoder_input_ids=written[:, :4]).logits
        assert np.allclose(logits, theirs(**inputs, decoder_input_ids=written[:, :4]).logits.numpy(), atol=1e-3)
        with pytest.raises(InputError, match="decoder_input_ids, or call generate"):
            model(TEXTS)
        with pytest.raises(InputError, match=r"no argument 'decoder_ids'. Did you mean 'decoder_input_ids'"):
            model(**inputs, decoder_ids=[[3]])
        with pytest.raises(InputError, match="no argument 'token_type_ids'"):
            model.generate({**inputs, "token_type_ids": inputs["input_ids"]})
        for number in (theirs.config.vocab_size, 10**12, -1):
            for ids in ([[3], [3, number]], np.array([[3, 3], [3, number]])):
                with pytest.raises(InputError, match=f"decoder_input_ids holds {number} at .*table of tokens"):
                    model(**inputs, decoder_input_ids=ids)
            with pytest.raises(InputError, match=f"no row for the token .*id {number}"):
                model(input_ids=[[number]], decoder_input_ids=[[3]])


class _Recorder:
    def __init__(self) -> None:
        self.values: list[list[int]] = []
        self.ended = 0

    def put(self, value: Any) -> None:
        self.values.append(np.asarray(value).reshape(-1).tolist())

    def end(self) -> None:
        self.ended += 1


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny-lm", "AutoModelForCausalLM"), ("tiny-translator", "AutoModelForSeq2SeqLM")]
)
def test_a_streamer_is_told_what_theirs_is_told(exported: Callable[..., Any], name: str, kind: str) -> None:
    theirs, tokenizer = _theirs(kind, name)
    expected, model_told, pipe_told = _Recorder(), _Recorder(), _Recorder()
    settings = {"max_new_tokens": 6, "do_sample": False, "num_beams": 1}
    theirs.generate(**tokenizer(TEXTS[0], return_tensors="pt"), **settings, streamer=expected)
    with onnxpress.load(exported(MODELS / name), threads=1) as model:
        model.generate(TEXTS[0], **settings, streamer=model_told)
        assert (model_told.values, model_told.ended) == (expected.values, 1)
        pipe = onnxpress.pipeline(model=model)
        pipe(TEXTS[0], **settings, streamer=pipe_told, stop_strings=["@@@"], tokenizer=tokenizer)
        assert (pipe_told.values, pipe_told.ended) == (expected.values, 1)
        several = _Recorder()
        pipe(TEXTS, **settings, streamer=several)
        assert (several.values[: len(expected.values)], several.ended) == (expected.values, 2)
        with pytest.raises(InputError, match="told one text"):
            pipe(TEXTS[0], **{**settings, "num_beams": 2}, streamer=_Recorder())
        with pytest.raises(InputError, match="methods put and end"):
            pipe(TEXTS[0], streamer=print)
        with pytest.raises(InputError, match="the artifact's own"):
            pipe(TEXTS[0], stop_strings=["a"], tokenizer=lambda text: {"input_ids": [0]})


def test_time_ends_a_text_but_not_before_its_first_token(exported: Callable[..., Any]) -> None:
    with onnxpress.load(exported(MODELS / "tiny-lm"), threads=1) as model:
        pipe = onnxpress.pipeline(model=model)
        settings = {"max_new_tokens": 50, "do_sample": False, "return_details": True}
        cut = pipe("Once upon", max_time=1e-9, **settings)[0]
        assert (cut["completion_tokens"], cut["finish_reason"]) == (1, "cancelled")
        assert pipe("Once upon", max_time=1000, **settings) == pipe("Once upon", **settings)
        with pytest.raises(InputError, match="max_time=0"):
            pipe("Once upon", max_time=0)
