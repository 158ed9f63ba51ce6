"""Calls that nobody planned: odd values, odd containers, odd names. An answer that is meant, or a sentence."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest

import onnxpress
from onnxpress.errors import InputError, OnnxpressError, UnknownTask
from onnxpress.format.contents import at_home

from ..fixtures.artifacts import write_artifact
from ..fixtures.embedder import write_embedder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("odd") / "Modèle 中 'a b' $x")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Iterator[Any]:
    with onnxpress.pipeline(model=folder, threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with onnxpress.pipeline(model=write_embedder(tmp_path_factory.mktemp("odd") / "embedder"), threads=1) as opened:
        yield opened


def test_numbers_of_numpy_are_numbers(pipe: Any, embedder: Any, folder: Path) -> None:
    assert pipe(["good", "bad"], top_k=np.int64(2), batch_size=np.int32(1)) == pipe(["good", "bad"], top_k=2)
    assert pipe("good", timeout=np.float32(9.0), top_k=np.array(1)) == pipe("good", top_k=1)
    assert embedder("good", dimensions=np.int16(2), normalize=np.bool_(True)).shape == (2,)
    with onnxpress.pipeline(model=folder, threads=np.int64(1), dtype=np.float32) as opened:
        assert (opened.session.threads, opened.precision) == (1, "fp32")


def test_rows_of_a_table_are_inputs(pipe: Any) -> None:
    """Not the names of its columns, which pandas counts off."""
    table = pandas.DataFrame({"text": ["good", "bad"], "id": [1, 2]})
    assert pipe(table) == pipe(["good", "bad"])
    assert pipe(SimpleNamespace(columns=["text"], to_dicts=lambda: table.to_dict("records"))) == pipe(["good", "bad"])
    with pytest.raises(InputError, match=r"inputs\[0\]: .*'review'"):
        pipe(table.rename(columns={"text": "review"}))


@pytest.mark.parametrize("value", ["False", "no", [], 2, "true"])
def test_a_text_is_not_true(embedder: Any, value: Any) -> None:
    """ "False" would be."""
    with pytest.raises(InputError, match=r"normalize is .*; it must be True or False"):
        embedder("good", normalize=value)
    with pytest.raises(InputError, match="progress is"):
        embedder("good", progress=value)


@pytest.mark.parametrize("timeout", [math.nan, 0, -1, "1", True])
def test_no_time(pipe: Any, timeout: Any) -> None:
    with pytest.raises(InputError, match="timeout must be a positive number"):
        pipe("good", timeout=timeout)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda pipe: pipe.encode(None), "got NoneType None"),
        (lambda pipe: pipe.similarity("a", "b"), "similarity compares vectors, not 'a' and 'b'"),
        (lambda pipe: pipe.similarity([[1.0], [1.0, 2.0]], [[1.0]]), "similarity compares vectors"),
        (lambda pipe: pipe.similarity_pairwise(np.ones((2, 3)), np.ones((3, 3))), "as many vectors.*2 and 3"),
        (lambda pipe: pipe.save_pretrained(None), "save_directory is None"),
        (lambda pipe: pipe.save_pretrained(pipe.artifact.folder), "exists already. Choose another folder"),
    ],
)
def test_what_a_pipeline_cannot_take(embedder: Any, ask: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        ask(embedder)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"task": 3}, UnknownTask, "task is 3; it must be a name"),
        ({"task": ["ner"]}, UnknownTask, "it must be a name"),
        ({"precision": 8}, InputError, "precision is 8; it must be a text"),
        ({"revision": 1.0}, InputError, "revision is 1.0"),
        ({"threads": True}, InputError, "threads must be a positive integer"),
        ({"threads": 10**9}, InputError, "at most 4096"),
        ({"model": ""}, InputError, "'' names no folder"),
        ({"model": "https://huggingface.co/some/model/tree/main"}, InputError, "its id, 'some/model'"),
        ({"model": "a" * 5000}, InputError, "the name of no file"),
        ({"model": "a\0b"}, InputError, "the name of no file"),
    ],
)
def test_what_a_factory_cannot_take(
    folder: Path, arguments: dict[str, Any], error: type[OnnxpressError], says: str
) -> None:
    with pytest.raises(error, match=says):
        onnxpress.pipeline(**{"model": folder, **arguments})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((3, "out"), "model is a int; export takes a folder"),
        (("checkpoint", None), "out is None"),
        (("checkpoint", "out", None, 3), "precision is 3"),
        (("checkpoint", ""), "'' names no folder"),
    ],
)
def test_what_cannot_be_exported(arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(InputError, match=says):
        onnxpress.export(*arguments)


def test_a_model_takes_what_comes_naturally(folder: Path) -> None:
    with onnxpress.load(folder, threads=1) as model:
        expected = model(["good", "bad film"]).logits
        ids = model.tokenizer(["good", "bad film"], padding=True)
        masks = np.array(ids["attention_mask"])
        for mask in (masks.astype(float), masks.astype(np.float16), masks.astype(bool), masks.tolist()):
            assert np.array_equal(model(input_ids=ids["input_ids"], attention_mask=mask).logits, expected)
        assert np.array_equal(model(text for text in ("good", "bad film")).logits, expected)
        assert np.array_equal(model(pandas.Series(["good", "bad film"])).logits, expected)
        assert np.array_equal(model(model.tokenizer("bad film")).logits, model("bad film").logits)
        with pytest.raises(InputError, match=r"has no argument 'input_id'\. Did you mean 'input_ids'"):
            model(input_id=[[2]])
        with pytest.raises(InputError, match="attention_mask holds float64"):
            model(input_ids=[[2, 3]], attention_mask=[[1.0, 0.5]])


def test_hidden_and_forbidden_folders_are_not_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git" / "onnx").mkdir(parents=True)
    (tmp_path / ".git" / "onnx" / "model.onnx").write_bytes(b"")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"")

    def refuse(path: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "lstat", refuse)
        from onnxpress.layouts.files import Files

        assert Files(tmp_path).names == frozenset()
    assert Files(tmp_path).names == {"onnx/model.onnx"}
    assert at_home(tmp_path) == tmp_path
