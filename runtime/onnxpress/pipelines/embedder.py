"""What users of sentence-transformers call an embedder by: `encode` and its kin, `similarity`, `prompts`, ...

How the vectors are computed is in `sentence_similarity`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError, InvalidManifest
from onnxpress.format.manifest import EmbeddingSettings
from onnxpress.pipelines.arguments import translate
from onnxpress.pipelines.base import Pipeline
from onnxpress.pipelines.beside_vectors import EQUAL, SPARSE, compare_all, kinds_of
from onnxpress.pipelines.known_arguments import OF_VECTORS
from onnxpress.pipelines.known_names import OF_EMBEDDERS
from onnxpress.pipelines.packing import packed
from onnxpress.pipelines.prompts import check_texts
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.pipelines.token_roles import DOCUMENT, QUERY, ROLES, check_role
from onnxpress.pipelines.vector_kinds import KINDS, compare, sparse_of, strongest

#: Prompt names that sentence-transformers knows for every checkpoint; without a prompt of its own they add nothing.
COMMON_PROMPTS = ROLES

#: The names of a role's prompt, of which a checkpoint has one.
_PROMPTS_OF = {QUERY: (QUERY,), DOCUMENT: (DOCUMENT, "passage", "corpus")}


@dataclass(frozen=True, slots=True)
class SentenceSimilarityOptions:
    """`prompt`: text put before each input; `prompt_name`: one of the checkpoint's prompts; neither: its default one.

    `normalize`: vectors of length 1; None: as the checkpoint does. `dimensions`: keep only the first so many, for
    models trained for that (Matryoshka); None: as the checkpoint says. A vector that the checkpoint normalizes is cut
    afterwards, as sentence-transformers does, so that it is shorter than 1; `normalize=True` makes it 1 again.

    Of models that read them differently, `role`: "query" or "document", as `encode_query` and `encode_document` say;
    None: as the library's `encode`, a document of any length. Of sparse vectors, `max_active_dims`: only so many, the
    largest; `sparse`: False gives all numbers.

    `kinds`: of "dense", "sparse" and "tokens" those to be given of a text, by name; None: the one that the model is
    for, alone. Some models give several (BGE-M3), of one pass.
    """

    prompt: str | None = None
    prompt_name: str | None = None
    normalize: bool | None = None
    dimensions: int | None = None
    role: str | None = None
    max_active_dims: int | None = None
    sparse: bool | None = None
    kinds: Sequence[str] | None = None

    def __post_init__(self) -> None:
        check_texts(prompt=self.prompt, prompt_name=self.prompt_name)
        if self.role is not None:
            check_role(self.role)


class SentenceEmbedder(Pipeline[SentenceSimilarityOptions, TextProcessor]):
    """The names that a pipeline of vectors has beside the call."""

    options_type = SentenceSimilarityOptions
    processor_type = TextProcessor
    arguments = OF_VECTORS
    absent = OF_EMBEDDERS

    @property
    def embedding(self) -> EmbeddingSettings:
        """How the checkpoint makes its vectors."""
        settings = self.manifest.postprocessing.embedding
        if settings is None:
            raise InvalidManifest(
                f"{self.artifact.folder}: postprocessing.embedding is missing, so it is not known how to make one "
                "vector of a text. Export again with --task sentence-similarity."
            )
        return settings

    def similarity(self, a: Any, b: Any) -> NDArray[np.float32]:
        """Compare vectors by the checkpoint's measure: cosine, dot product, a distance times -1, or of vectors of
        tokens the sum over those of `a` of the largest product with one of those of `b`.

        Args:
            a: float32 (n, dimensions) or (dimensions,); or a result, or several, of another kind.
            b: float32 (m, dimensions) or (dimensions,); or as `a`.

        Returns:
            float32 (n, m), larger for more similar texts.

        Raises:
            InputError: not vectors of one size.
        """
        first, second = ([side] if isinstance(side, Mapping) else side for side in (a, b))
        if _of_kinds(first) and _of_kinds(second):
            return compare_all(first, second, self.embedding, dict.fromkeys(first[0], 1.0))
        return compare(KINDS[self.embedding.kind], a, b, self.embedding)

    def similarity_pairwise(self, a: Any, b: Any) -> NDArray[np.float32]:
        """Compare the vectors at the same place of two arrays (n, dimensions): float32 (n)."""
        firsts, seconds = a, b
        if self.embedding.kind == "dense":
            firsts, seconds = np.atleast_2d(np.asarray(a)), np.atleast_2d(np.asarray(b))
        if len(firsts) != len(seconds):
            raise InputError(f"Expected as many vectors on both sides, got {len(firsts)} and {len(seconds)}.")
        pairs = zip(firsts, seconds, strict=True)
        return np.array([self.similarity(first, second)[0, 0] for first, second in pairs], dtype=np.float32)

    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *,
        precision: str = "float32",
        **arguments: Any,
    ) -> Any:
        """sentence-transformers' name of a call: float32 (dimensions) of a text, (n, dimensions) of texts; of sparse
        vectors and of vectors of tokens, a list of what a text gives.

        Takes SentenceTransformer's arguments, which mean those of a call. `precision`: "binary" and "ubinary" pack a
        vector to a bit for each number.
        """
        options = translate(arguments, self.arguments)
        if prompt_name is not None or prompt is not None:
            options |= {"prompt_name": prompt_name, "prompt": prompt}
        at_once = isinstance(inputs, (str, Mapping)) or not isinstance(inputs, Iterable)
        vectors: Any = self(inputs if at_once else list(inputs), **options)
        if self.embedding.kind != "dense" and precision == "float32":
            return vectors
        return packed(vectors, precision)

    def score(self, query: str, documents: Sequence[str], **options: Any) -> list[float]:
        """How well each document answers a query: `similarity` of what `encode_query` and `encode_document` give.

        Of a model that gives several kinds of vectors, the mean of what each says; `weights`, by kind, weigh them.
        """
        if not documents:
            return []
        weights = options.pop("weights", EQUAL if self.embedding.beside is not None else None)
        if weights is not None:
            options["kinds"] = tuple(weights)
            asked, read = self.encode_query([query], **options), self.encode_document(list(documents), **options)
            return compare_all(asked, read, self.embedding, weights)[0].tolist()  # type: ignore[no-any-return]
        asked, read = self.encode_query([query], **options), self.encode_document(list(documents), **options)
        scores: list[float] = self.similarity(asked, read)[0].tolist()
        return scores

    def decode(self, vectors: Any, top_k: int | None = None) -> Any:
        """sentence-transformers' names of a sparse vector's numbers: [(token, weight), ...], the largest first; of
        several vectors, a list of such.

        Raises:
            InputError: the model makes no sparse vectors.
        """
        if SPARSE not in kinds_of(self.embedding):
            raise InputError("decode names the tokens of sparse vectors, and this model makes none.")
        if not isinstance(vectors, Mapping):
            if getattr(vectors, "ndim", None) != 1:
                return [self.decode(vector, top_k) for vector in vectors]
            vectors = sparse_of(vectors)
        token = self.processor.tokenizer.token
        return [(token(index), weight) for index, weight in strongest(vectors, top_k)]

    def encode_query(self, inputs: Any, **arguments: Any) -> Any:
        """`encode` with the checkpoint's prompt for queries, unless another is given."""
        return self.encode(inputs, **self._prompted(QUERY, arguments))

    def encode_document(self, inputs: Any, **arguments: Any) -> Any:
        """`encode` with the checkpoint's prompt for documents, unless another is given."""
        return self.encode(inputs, **self._prompted(DOCUMENT, arguments))

    def as_role(self, role: str) -> dict[str, Any]:
        """The options with which a text is read as `encode_query` and `encode_document` read it.

        Raises:
            InputError: no such role.
        """
        check_role(role)
        return self._prompted(role, {})

    def get_embedding_dimension(self) -> int:
        """The size of a vector."""
        return self._dimensions(self.options)

    get_sentence_embedding_dimension = get_embedding_dimension

    @property
    def max_seq_length(self) -> int | None:
        """The most tokens of a text; what is longer is cut. None: no limit."""
        return self.processor.limit(self.embedding.max_length)

    def get_max_seq_length(self) -> int | None:
        """sentence-transformers' older name of `max_seq_length`."""
        return self.max_seq_length

    @property
    def similarity_fn_name(self) -> str:
        """How `similarity` compares vectors: "cosine", "dot", "euclidean" or "manhattan"."""
        return self.embedding.similarity

    @property
    def prompts(self) -> Mapping[str, str]:
        """The checkpoint's prompts by name."""
        return {**dict.fromkeys(COMMON_PROMPTS, ""), **self.embedding.prompts}

    def _prompted(self, role: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the first prompt of a role; "" keeps the checkpoint's default prompt away."""
        arguments = {"role": role, **arguments}
        if arguments.get("prompt") is not None or arguments.get("prompt_name") is not None:
            return arguments
        known = self.prompts
        return {**arguments, "prompt_name": next(name for name in _PROMPTS_OF[role] if name in known)}

    def _dimensions(self, options: SentenceSimilarityOptions) -> int:
        settings = self.embedding
        return options.dimensions or settings.truncate_dimensions or settings.dimensions


def _of_kinds(side: Any) -> bool:
    """Whether these are results of a call with `kinds`."""
    return bool(isinstance(side, (list, tuple)) and side and isinstance(side[0], Mapping) and set(side[0]) & set(KINDS))
