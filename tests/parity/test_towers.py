"""Texts beside pictures against transformers' pipeline, which reads all labels again for each picture."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress import InputError, pipeline
from tests.fixtures.store import Store
from tests.fixtures.tiny_tokenizers import WORDS
from tests.fixtures.tiny_towers import DETECTORS, TOWERS, tiny_tower_checkpoint
from tests.parity.alike import assert_alike
from tests.parity.test_pictures import PICTURES, picture

TASK = "zero-shot-image-classification"
LABELS = ["cat", "the quick brown fox", "two dogs and more words in Paris", "x", "Cat!"]


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, store: Store, reference: Callable[..., Any]
) -> Callable[..., tuple[Any, Any]]:
    """`pair(architecture)` -> our pipeline and transformers'."""

    def open_both(name: str, task: str = TASK) -> tuple[Any, Any]:
        checkpoint = tiny_tower_checkpoint(name, tmp_path_factory.mktemp("towers") / name)
        return pipeline(model=store.artifact(checkpoint)), reference(checkpoint, task)

    return open_both


@pytest.fixture(scope="module")
def clips(pair: Callable[..., tuple[Any, Any]]) -> tuple[Any, Any]:
    return pair("clip")


@pytest.mark.parametrize("options", [{}, {"hypothesis_template": "{} did it twice"}, {"timeout": 3.0}], ids=str)
def test_options(clips: tuple[Any, Any], options: dict[str, Any]) -> None:
    ours, theirs = clips
    expected = theirs(PICTURES, candidate_labels=LABELS, **options)
    assert_alike(ours(PICTURES, candidate_labels=LABELS, **options), expected)
    assert_alike(ours(PICTURES[0], LABELS, **options), expected[0])
    assert_alike(list(ours((image for image in PICTURES), LABELS, **options)), expected)
    assert_alike(ours(images=PICTURES[0], candidate_labels=tuple(LABELS), **options), expected[0])


def test_labels_in_one_string(clips: tuple[Any, Any]) -> None:
    ours, theirs = clips
    assert_alike(ours(PICTURES[1], "cat, x"), theirs(PICTURES[1], candidate_labels=["cat", "x"]))


def test_vectors_are_the_features_divided_by_their_length(clips: tuple[Any, Any]) -> None:
    import torch

    ours, theirs = clips
    with torch.no_grad():
        pixels = theirs.pipe.image_processor(images=PICTURES, return_tensors="pt")
        expected = theirs.pipe.model.get_image_features(**pixels).pooler_output
        tokens = theirs.pipe.tokenizer(LABELS, padding=True, return_tensors="pt")
        words = theirs.pipe.model.get_text_features(**tokens).pooler_output
    for obtained, raw in ((ours.embed_images(PICTURES), expected), (ours.embed_texts(LABELS), words)):
        assert obtained.dtype == np.float32
        assert np.allclose(obtained, torch.nn.functional.normalize(raw).numpy(), atol=1e-5)
    assert ours.embed_images(PICTURES[0]).shape == (1, 24) and ours.embed_texts("cat").shape == (1, 24)
    assert ours.embed_images([]).shape == (0, 24) and ours.embed_texts([]).shape == (0, 24)
    assert np.allclose(ours.embed_images(iter(PICTURES), batch_size=2), ours.embed_images(PICTURES), atol=1e-6)


words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)


@settings(max_examples=10)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=5),
    st.lists(words, min_size=1, max_size=6),
    st.lists(words, min_size=1, max_size=6),
)
def test_an_answer_depends_on_no_neighbour_and_no_earlier_label(
    clips: tuple[Any, Any], shapes: list[tuple[int, int]], labels: list[str], others: list[str]
) -> None:
    ours, theirs = clips
    images = [picture(*shape, seed) for seed, shape in enumerate(shapes)]
    ours(images[0], others)
    together = ours(images, labels)
    fresh = pipeline(TASK, ours)
    alone = [fresh(image, labels) for image in images]
    assert_alike(_by_label(together), _by_label(alone))
    assert_alike(_by_label(alone), _by_label([theirs(image, candidate_labels=labels) for image in images]))


def _by_label(answers: list[Any]) -> list[Any]:
    """Equal scores in any order."""
    return [sorted(answer, key=lambda entry: (entry["label"], entry["score"])) for answer in answers]


def test_wrong_calls_say_what_to_pass(clips: tuple[Any, Any]) -> None:
    ours, _ = clips
    with pytest.raises(InputError, match="candidate_labels is empty"):
        ours(PICTURES[0])
    with pytest.raises(InputError, match="Pass one picture or several"):
        ours(candidate_labels=["a"])
    with pytest.raises(InputError, match="cannot take a label"):
        ours(PICTURES[0], LABELS, hypothesis_template="a photo")
    with pytest.raises(InputError, match=r"tokens, and the model takes 64 at most"):
        ours(PICTURES[0], ["cat", "x " * 90])
    with pytest.raises(InputError, match="must be strings or numbers"):
        ours(PICTURES[0], [b"cat"])
    with pytest.raises(InputError, match="takes texts"):
        ours.embed_texts(["a", 5])
    assert ours.embed_texts("x " * 90, truncation=True).shape == (1, 24)
    with pytest.raises(InputError):  # it was cut before because that was asked for
        ours.embed_texts("x " * 90)


@pytest.mark.nightly
@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector(name: str, pair: Callable[..., tuple[Any, Any]]) -> None:
    ours, theirs = pair(name, "zero-shot-object-detection")
    for options in ({}, {"threshold": 0.5}, {"threshold": 0.0, "top_k": 7}, {"top_k": 0}):
        expected = theirs(PICTURES, candidate_labels=LABELS, **options)
        assert_alike(ours(PICTURES, LABELS, **options), expected)
        assert_alike([ours(image, LABELS, **options) for image in PICTURES], expected)
    assert_alike(ours(PICTURES[0], "cat, x"), theirs(PICTURES[0], candidate_labels="cat, x"))
    own = [LABELS[:1], LABELS[1:], *[["x"]] * (len(PICTURES) - 2)]
    assert_alike(ours(PICTURES, own), theirs(PICTURES, candidate_labels=own))


@pytest.mark.nightly
@pytest.mark.parametrize("name", TOWERS)
def test_every_architecture(name: str, pair: Callable[..., tuple[Any, Any]]) -> None:
    ours, theirs = pair(name)
    expected = theirs(PICTURES, candidate_labels=LABELS)
    assert_alike(_by_label(ours(PICTURES, LABELS)), _by_label(expected))
    assert_alike(_by_label([ours(image, LABELS) for image in PICTURES]), _by_label(expected))
    alone = [theirs(PICTURES[1], candidate_labels=[label]) for label in LABELS]
    assert_alike([ours(PICTURES[1], [label]) for label in LABELS], alone)


def test_copies_know_nothing_of_each_other(clips: tuple[Any, Any]) -> None:
    ours, _ = clips
    expected = ours(PICTURES[0], LABELS)
    with pickle.loads(pickle.dumps(ours)) as copied:
        assert_alike(copied(PICTURES[0], LABELS), expected)
