"""sentence-similarity: the vector, or the vectors, of a text, as the checkpoint's sentence-transformers files say.

Prompt, tokens, encoder, pooling, the layers after it (a graph of its own), the checkpoint's normalization, cut to
`dimensions`, normalization where a call asks for it: in this order. All but the encoder and the layers after it is done
here, in numpy, for a whole batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError, InvalidManifest, UnsupportedFormat
from onnxpress.format.manifest import EmbeddingSettings
from onnxpress.math import normalize, pool
from onnxpress.pipelines.arguments import translate
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.beside_vectors import (
    DENSE,
    EQUAL,
    SPARSE,
    TOKENS,
    check_kinds,
    compare_all,
    kinds_of,
    vectors_beside,
)
from onnxpress.pipelines.inputs import Texts
from onnxpress.pipelines.known_arguments import OF_VECTORS
from onnxpress.pipelines.known_names import OF_EMBEDDERS
from onnxpress.pipelines.packing import packed
from onnxpress.pipelines.prompts import check_name, check_texts, choose_prompt
from onnxpress.pipelines.query_routes import TextRoute, route_for, routes_of
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.pipelines.token_roles import DOCUMENT, QUERY, ROLES, as_role, check_role, longest
from onnxpress.pipelines.vector_kinds import KINDS, compare, sparse_of, strongest
from onnxpress.samples import Batch, Sample
from onnxpress.text.tokenizer import Encoding, Truncation

#: Prompt names that sentence-transformers knows for every checkpoint; without a prompt of its own they add nothing.
_COMMON_PROMPTS = ROLES

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


class SentenceSimilarity(Pipeline[SentenceSimilarityOptions, TextProcessor]):
    """`pipe(text)` -> float32 (dimensions,); `pipe([text, ...])` -> float32 (n, dimensions); a generator or dataset
    gives a lazy iterator of float32 (dimensions,). `pipe({"source_sentence": text, "sentences": [text, ...]})` -> a
    list of similarities, one for each of the sentences.

    A text longer than the checkpoint's limit is cut to it, as sentence-transformers does.

    Raises:
        InvalidManifest: the artifact does not say how vectors are made.
    """

    options_type = SentenceSimilarityOptions
    processor_type = TextProcessor
    arguments = OF_VECTORS
    absent = OF_EMBEDDERS

    @overload
    def __call__(self, inputs: Any, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: str | Texts, **options: Any) -> NDArray[np.float32]: ...
    @overload
    def __call__(self, inputs: Mapping[str, Any], **options: Any) -> list[float]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """The vectors of texts, or the similarities of one text to others."""
        return super().__call__(inputs, **options)

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

    def limit_of(self, options: SentenceSimilarityOptions) -> int | None:
        """The most tokens of a text of a call with these options; what is longer is cut."""
        truncation = self._truncated(options)
        return None if truncation is None else truncation.max_length

    def length_of(self, text: str, options: SentenceSimilarityOptions) -> int:
        """The tokens of a text that is not cut, with its prompt."""
        return len(self._encoded(self._text(text, options), options, cut=False).ids)

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
        return {**dict.fromkeys(_COMMON_PROMPTS, ""), **self.embedding.prompts}

    def _prompted(self, role: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the first prompt of a role; "" keeps the checkpoint's default prompt away."""
        arguments = {"role": role, **arguments}
        if arguments.get("prompt") is not None or arguments.get("prompt_name") is not None:
            return arguments
        known = self.prompts
        return {**arguments, "prompt_name": next(name for name in _PROMPTS_OF[role] if name in known)}

    @cached_property
    def _routes(self) -> tuple[TextRoute, TextRoute]:
        return routes_of(self.manifest, self.embedding)

    def _route(self, options: SentenceSimilarityOptions) -> TextRoute:
        return route_for(self._routes, self.embedding, options.role)

    def prepare(self, item: Any, options: SentenceSimilarityOptions) -> Prepared[bool]:
        if isinstance(item, Mapping):
            return Prepared(tuple(self._samples(_compared(item), options)), True)
        text = self._text(item, options)
        return Prepared((self._sample(self._encoded(text, options), options),), False)

    def prepare_many(self, items: Sequence[Any], options: SentenceSimilarityOptions) -> list[Prepared[bool]]:
        return [Prepared((sample,), False) for sample in self._samples(items, options)]

    def foresee(self, item: Any, options: SentenceSimilarityOptions) -> int | None:
        return self.processor.foresee(item) if isinstance(item, str) else None

    def compute(self, samples: Sequence[Sample], options: SentenceSimilarityOptions) -> Sequence[Any]:
        route = self._route(options)
        if route.name == self.graph_name:
            return super().compute(samples, options)
        batch = self.processor.collator.collate(samples)
        arrays = {tensor.name: batch.arrays[tensor.name] for tensor in route.graph.inputs}
        return self.reduce(batch, self.session.run(arrays, graph=route.name), options)

    def reduce(self, batch: Batch, outputs: Outputs, options: SentenceSimilarityOptions) -> list[Any]:
        settings, route = self.embedding, self._route(options)
        hidden = outputs[route.graph.outputs[0].name]
        pooled = hidden.ndim == 2 or settings.kind == TOKENS  # by the graph, or not at all
        vectors = hidden if pooled else pool(hidden, batch.attention, route.pooling, skip=self._skipped(options))
        for name, graph in self.manifest.graphs.items():
            if graph.role == "head" and route.headed:
                vectors = self.session.run({graph.inputs[0].name: vectors}, graph=name)[graph.outputs[0].name]
        if vectors.shape[-1] != settings.dimensions:  # another tool's graph, whose file does not tell
            raise UnsupportedFormat(
                f"{self.artifact.folder}: its vectors have {vectors.shape[-1]} numbers, and its files say "
                f"{settings.dimensions}: one of them is of another model. Get both from the same export."
            )
        if route.normalize and options.normalize is None:
            vectors = normalize(vectors)
        vectors = vectors[..., : self._dimensions(options)]
        if options.normalize:
            vectors = normalize(vectors)
        values: list[Any] = list(vectors)
        if settings.kind == TOKENS:
            values = [vectors[i][batch.span(i)][sample.context] for i, sample in enumerate(batch.samples)]
        if settings.kind == SPARSE and options.sparse is not False:
            values = [sparse_of(vector, options.max_active_dims) for vector in vectors]
        return values if options.kinds is None else self._named(batch, outputs, values, options)

    def _named(
        self, batch: Batch, outputs: Outputs, values: list[Any], options: SentenceSimilarityOptions
    ) -> list[dict[str, Any]]:
        """The vectors of the kinds that are asked for, by name."""
        settings, kinds = self.embedding, options.kinds or ()
        named: list[dict[str, Any]] = [{} for _ in values]
        if settings.beside is not None:
            named = vectors_beside(batch, outputs, settings.beside, kinds, options.max_active_dims)
        for vectors, value in zip(named, values, strict=True):
            vectors[settings.kind] = np.array(value) if settings.kind == DENSE else value
        return [{kind: vectors[kind] for kind in kinds} for vectors in named]

    def finish(self, context: bool, values: list[Any], options: SentenceSimilarityOptions) -> Any:
        if context:
            source, *others = values
            similarities: list[float] = self.similarity(source, others)[0].tolist() if others else []
            return similarities
        if isinstance(values[0], dict):
            return values[0]
        return np.array(values[0], dtype=np.float32)  # a copy: a view would keep its whole batch alive

    def collect(self, results: Iterator[Any], count: int, options: SentenceSimilarityOptions) -> Any:
        """The vectors as one array; a list where texts were compared, or have vectors of another kind."""
        listed = options.kinds is not None or self.embedding.kind == TOKENS
        if listed or (self.embedding.kind == SPARSE and options.sparse is not False):
            return list(results)
        vectors = np.empty((count, self._dimensions(options)), dtype=np.float32)
        for index, result in enumerate(results):
            if isinstance(result, list):
                return [*vectors[:index], result, *results]
            vectors[index] = result
        return vectors

    def _options(self, base: Any, changes: Mapping[str, Any]) -> Any:
        options = super()._options(base, changes)
        self._check(options)
        return options

    def _check(self, options: SentenceSimilarityOptions) -> None:
        settings, dimensions = self.embedding, options.dimensions
        most = options.max_active_dims
        if most is not None and not (isinstance(most, int) and most >= 1):
            raise InputError(f"max_active_dims is {most!r}; it must be a positive number, or None.")
        if options.kinds is not None:
            check_kinds(options.kinds, settings)
        if SPARSE not in kinds_of(settings) and (most is not None or options.sparse):
            raise InputError("This model makes no sparse vectors: leave max_active_dims and sparse out.")
        if dimensions is not None and not (isinstance(dimensions, int) and 1 <= dimensions <= settings.dimensions):
            raise InputError(f"dimensions is {dimensions!r}; it must be from 1 to {settings.dimensions}, or None.")
        check_name(options.prompt_name, {*settings.prompts, *_COMMON_PROMPTS})

    def _dimensions(self, options: SentenceSimilarityOptions) -> int:
        settings = self.embedding
        return options.dimensions or settings.truncate_dimensions or settings.dimensions

    def _prompt(self, options: SentenceSimilarityOptions) -> str:
        settings = self.embedding
        return choose_prompt(settings.prompts, settings.default_prompt_name, options.prompt, options.prompt_name)

    def _skipped(self, options: SentenceSimilarityOptions) -> int:
        """Tokens of the prompt that pooling leaves out: those it has alone, less a closing special token."""
        prompt = self._prompt(options)
        if self.embedding.include_prompt or not prompt:
            return 0
        encoding = self._encoded(self._cased(prompt), options)
        return len(encoding.ids) - encoding.special_tokens_mask[-1]

    def _encoded(self, text: str, options: SentenceSimilarityOptions, *, cut: bool = True) -> Encoding:
        """A text, its prompt before it, as it is read in its role."""
        truncation = self._truncated(options) if cut else None
        special = self._route(options).special_tokens
        return self.processor.tokenizer.encode(text, truncation=truncation, special_tokens=special)

    def _samples(self, items: Sequence[Any], options: SentenceSimilarityOptions) -> Iterator[Sample]:
        texts = [self._text(item, options) for item in items]
        truncation, special = self._truncated(options), self._route(options).special_tokens
        for encoding in self.processor.encodings(texts, truncation=truncation, special_tokens=special):
            yield self._sample(encoding, options)

    def _sample(self, encoding: Encoding, options: SentenceSimilarityOptions) -> Sample:
        if not encoding.ids and self._route(options).empty_is_zero:
            padding = np.array([self.processor.settings.pad_token_id], dtype=np.int64)
            absent = {name: np.zeros_like(padding) for name in self.processor.collator.names}
            return Sample({**absent, "input_ids": padding}, 1)
        if self._route(options).name != self.graph_name:  # whose limit is its own
            return self.processor.sample_within(encoding, self._route(options).max_length)
        sample, tokens = self.processor.sample_of(encoding), self.embedding.tokens
        return sample if tokens is None else as_role(sample, tokens, options.role)

    def _text(self, item: Any, options: SentenceSimilarityOptions) -> str:
        return self._cased(self._prompt(options) + self.processor.text(item))

    def _cased(self, text: str) -> str:
        return text.lower() if self.embedding.do_lower_case else text

    def _truncated(self, options: SentenceSimilarityOptions) -> Truncation | None:
        tokens, route = self.embedding.tokens, self._route(options)
        if route.name != self.graph_name:
            return None if route.max_length is None else Truncation(route.max_length)
        lengths = [route.max_length]
        if tokens is not None:
            lengths.append(longest(tokens, options.role))
        return self.processor.truncation(max_length=min((n for n in lengths if n is not None), default=None))


def _of_kinds(side: Any) -> bool:
    """Whether these are results of a call with `kinds`."""
    return bool(isinstance(side, (list, tuple)) and side and isinstance(side[0], Mapping) and set(side[0]) & set(KINDS))


def _compared(item: Mapping[str, Any]) -> list[Any]:
    """The text that others are compared with, and then those.

    Raises:
        InputError: the object has other fields.
    """
    if not {"source_sentence", "sentences"} <= set(item) or not isinstance(item["sentences"], (list, tuple)):
        raise InputError(f'Expected a text or {{"source_sentence": ..., "sentences": [...]}}, got {item!r:.60}.')
    return [item["source_sentence"], *item["sentences"]]
