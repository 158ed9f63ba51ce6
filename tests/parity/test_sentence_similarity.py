"""sentence-similarity against sentence-transformers: pooling, prompts, heads, Matryoshka, any text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from onnxpress import InputError, pipeline
from tests.fixtures.tiny import HIDDEN, write_sentence_files
from tests.parity.texts import SENTENCES, parity, texts

TASK = "sentence-similarity"
TOLERANCE = 1e-5
TEXTS = [*SENTENCES, "", "fox", "the quick brown fox " * 60]

PROMPTS = {"query": "the fox asks: ", "document": "lazy "}

#: Everything after the encoder that can differ: how write_sentence_files is called, and the encoder.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "mean": ("bert", {}),
    "all poolings": (
        "bert",
        {
            "pooling": ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"),
            "normalize": False,
            "max_seq_length": 12,
        },
    ),
    "prompts left out of pooling": (
        "roberta",
        {
            "pooling": ("cls", "mean", "weightedmean", "max"),
            "prompts": PROMPTS,
            "default_prompt_name": "document",
            "include_prompt": False,
        },
    ),
    "two heads": (
        "bert",
        {"prompts": PROMPTS, "dense": ((HIDDEN, 24, "Tanh"), (24, 20, "Identity")), "max_seq_length": None},
    ),
}


@pytest.fixture(scope="module")
def made(tiny: Callable[..., Path], shared: Path) -> Callable[[str], Path]:
    """`made(kind)` -> the folder of a checkpoint with sentence-transformers' files."""

    @cache
    def make(kind: str) -> Path:
        architecture, settings = KINDS[kind]
        if not settings:
            return tiny(architecture, TASK)
        bare = tiny(architecture, TASK, num_hidden_layers=1)  # what comes after it is what differs
        folder = shared / f"sentence-{kind.replace(' ', '-')}"
        if not folder.exists():
            for path in bare.iterdir():  # the encoder alone
                if path.is_file() and path.name != "modules.json":
                    folder.mkdir(exist_ok=True)
                    shutil.copy(path, folder)
            write_sentence_files(folder, **settings)
        return folder

    return make


@cache
def sentence_transformer(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.fixture(scope="module", params=list(KINDS))
def pair(request: pytest.FixtureRequest, made: Callable[[str], Path], ours: Callable[..., Any]) -> Iterator[Any]:
    folder = made(request.param)
    yield ours(folder, TASK), sentence_transformer(folder)


def test_vectors(pair: tuple[Any, Any]) -> None:
    pipe, theirs = pair
    expected = theirs.encode(TEXTS)
    obtained = pipe(TEXTS)
    assert obtained.dtype == np.float32
    np.testing.assert_allclose(obtained, expected, atol=TOLERANCE, rtol=TOLERANCE)
    one = pipe(TEXTS[0])
    assert one.shape == expected.shape[1:]
    np.testing.assert_allclose(one, expected[0], atol=TOLERANCE, rtol=TOLERANCE)


def test_alone_is_as_in_a_batch(pair: tuple[Any, Any]) -> None:
    pipe, _ = pair
    together = pipe(TEXTS)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(pipe(text), vector, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("options", [{"prompt_name": "query"}, {"prompt": "brown fox "}, {"prompt": ""}])
def test_prompts(pair: tuple[Any, Any], options: dict[str, str]) -> None:
    pipe, theirs = pair
    np.testing.assert_allclose(pipe(TEXTS, **options), theirs.encode(TEXTS, **options), atol=TOLERANCE, rtol=TOLERANCE)


def test_dimensions(pair: tuple[Any, Any]) -> None:
    pipe, theirs = pair
    for normalized in (True, False):
        if pipe.embedding.normalize and not normalized:
            continue  # sentence-transformers cannot undo its Normalize module
        obtained = pipe(TEXTS, dimensions=7, normalize=normalized)
        expected = theirs.encode(TEXTS, truncate_dim=7, normalize_embeddings=normalized)
        np.testing.assert_allclose(obtained, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_normalize(pair: tuple[Any, Any]) -> None:
    pipe, _ = pair
    unit, raw = pipe(TEXTS, normalize=True), pipe(TEXTS, normalize=False)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(raw / np.linalg.norm(raw, axis=1, keepdims=True), unit, atol=1e-5)
    np.testing.assert_array_equal(pipe(TEXTS), unit if pipe.embedding.normalize else raw)


def test_generator_gives_the_same_lazily(pair: tuple[Any, Any]) -> None:
    pipe, _ = pair
    results = pipe(text for text in TEXTS)
    assert isinstance(results, Iterator)
    np.testing.assert_allclose(np.stack(list(results)), pipe(TEXTS), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("measure", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity(measure: str, made: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    from dataclasses import replace

    from sentence_transformers import SimilarityFunction

    theirs = SimilarityFunction.to_similarity_fn(measure)
    pipe = ours(made("all poolings"), TASK)
    vectors = pipe(TEXTS)
    measured = _with_embedding(pipe, replace(pipe.embedding, similarity=measure))
    for a, b in ((vectors[:5], vectors[3:]), (vectors[0], vectors), (vectors[:0], vectors)):
        expected = theirs(a, b).numpy() if len(a) else np.empty((0, len(vectors)))
        np.testing.assert_allclose(measured.similarity(a, b), expected, rtol=1e-4, atol=1e-4)


def test_lower_case_and_saved_dimensions(made: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    from dataclasses import replace

    pipe = ours(made("two heads"), TASK)
    lower = _with_embedding(pipe, replace(pipe.embedding, do_lower_case=True, truncate_dimensions=5))
    shouted = [text.upper() for text in SENTENCES[:5]]
    assert lower(shouted).shape == (5, 5)
    np.testing.assert_allclose(lower(shouted), pipe([text.lower() for text in shouted], dimensions=5), atol=TOLERANCE)
    assert lower(shouted, dimensions=20).shape == (5, 20)


def test_empty_list(pair: tuple[Any, Any]) -> None:
    pipe, theirs = pair
    assert pipe([]).shape == (0, theirs.get_embedding_dimension())
    assert pipe([]).dtype == np.float32
    assert list(pipe(iter([]))) == []


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("fox", {"prompt_name": "poem"}, "There is no prompt 'poem'; there are: document, query"),
        ("fox", {"prompt": 3}, "prompt must be a text"),
        ("fox", {"dimensions": 0}, "it must be from 1 to 32"),
        ("fox", {"dimensions": 33}, "it must be from 1 to 32"),
        (["fox", 3], {}, "takes texts, got int 3"),
        ("fox", {"truncate_dims": 3}, "has no argument 'truncate_dims'"),
    ],
)
def test_refused(
    made: Callable[[str], Path], ours: Callable[..., Any], inputs: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ours(made("mean"), TASK)(inputs, **options)


def test_similarity_of_other_sizes_is_refused(made: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    with pytest.raises(InputError, match="vectors of one size"):
        ours(made("mean"), TASK).similarity(np.zeros((2, 3)), np.zeros((2, 4)))


def test_options_of_the_pipeline(made: Callable[[str], Path], exported: Callable[..., Any]) -> None:
    artifact = exported(made("two heads"), TASK)
    pipe = pipeline("embeddings", artifact, dimensions=4, prompt_name="query", threads=1)
    assert pipe(["fox"]).shape == (1, 4)
    with pytest.raises(InputError, match="There is no prompt"):
        pipeline(TASK, artifact, prompt_name="poem")


@pytest.mark.parametrize("name", ["tiny-embedder"])
def test_trained(name: str, trained: Callable[[str], Path], ours: Callable[..., Any]) -> None:
    folder = trained(name)
    pipe, theirs = ours(folder, TASK), sentence_transformer(folder)

    @parity
    @given(text=texts())
    def check(text: str) -> None:
        np.testing.assert_allclose(pipe(text), theirs.encode(text), atol=TOLERANCE, rtol=TOLERANCE)
        options = {"prompt_name": "query"}
        np.testing.assert_allclose(pipe(text, **options), theirs.encode(text, **options), atol=TOLERANCE)

    check()
    # The vectors mean something: a question is nearest to its own answer.
    examples = [json.loads(line) for line in (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines()][:30]
    queries = pipe([example["query"] for example in examples], prompt_name="query")
    documents = pipe([example["document"] for example in examples], prompt_name="document")
    nearest = pipe.similarity(queries, documents).argmax(axis=1)
    assert np.mean(nearest == np.arange(len(examples))) > 0.8


def _with_embedding(pipe: Any, settings: Any) -> Any:
    """The same pipeline with other settings of the embedding."""
    import copy
    from dataclasses import replace

    other = copy.copy(pipe)
    other.manifest = replace(pipe.manifest, postprocessing=replace(pipe.manifest.postprocessing, embedding=settings))
    return other
