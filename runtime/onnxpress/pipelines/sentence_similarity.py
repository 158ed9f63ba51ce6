"""sentence-similarity: the vector, or the vectors, of a text, as the checkpoint's sentence-transformers files say.

Prompt, tokens, encoder, pooling, the layers after it (a graph of its own), the checkpoint's normalization, cut to
`dimensions`, normalization where a call asks for it: in this order. All but the encoder and the layers after it is done
here, in numpy, for a whole batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError, UnsupportedFormat
from onnxpress.math import normalize, pool
from onnxpress.pipelines.base import Outputs
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.beside_vectors import (
    DENSE,
    SPARSE,
    TOKENS,
    check_kinds,
    kinds_of,
    vectors_beside,
)
from onnxpress.pipelines.embedder import COMMON_PROMPTS, SentenceEmbedder, SentenceSimilarityOptions
from onnxpress.pipelines.inputs import Texts
from onnxpress.pipelines.prompts import check_name, choose_prompt
from onnxpress.pipelines.query_routes import TextRoute, route_for, routes_of
from onnxpress.pipelines.token_roles import as_role, longest
from onnxpress.pipelines.vector_kinds import sparse_of
from onnxpress.samples import Batch, Sample
from onnxpress.text.tokenizer import Encoding, Truncation


class SentenceSimilarity(SentenceEmbedder):
    """`pipe(text)` -> float32 (dimensions,); `pipe([text, ...])` -> float32 (n, dimensions); a generator or dataset
    gives a lazy iterator of float32 (dimensions,). `pipe({"source_sentence": text, "sentences": [text, ...]})` -> a
    list of similarities, one for each of the sentences.

    A text longer than the checkpoint's limit is cut to it, as sentence-transformers does.

    Raises:
        InvalidManifest: the artifact does not say how vectors are made.
    """

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

    def limit_of(self, options: SentenceSimilarityOptions) -> int | None:
        """The most tokens of a text of a call with these options; what is longer is cut."""
        truncation = self._truncated(options)
        return None if truncation is None else truncation.max_length

    def length_of(self, text: str, options: SentenceSimilarityOptions) -> int:
        """The tokens of a text that is not cut, with its prompt."""
        return len(self._encoded(self._text(text, options), options, cut=False).ids)

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
        check_name(options.prompt_name, {*settings.prompts, *COMMON_PROMPTS})

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

    @cached_property
    def _usually_truncated(self) -> Truncation | None:
        return self._truncation_of(self.options)

    def _truncated(self, options: SentenceSimilarityOptions) -> Truncation | None:
        return self._usually_truncated if options is self.options else self._truncation_of(options)

    def _truncation_of(self, options: SentenceSimilarityOptions) -> Truncation | None:
        tokens, route = self.embedding.tokens, self._route(options)
        if route.name != self.graph_name:
            return None if route.max_length is None else Truncation(route.max_length)
        lengths = [route.max_length]
        if tokens is not None:
            lengths.append(longest(tokens, options.role))
        return self.processor.truncation(max_length=min((n for n in lengths if n is not None), default=None))


def _compared(item: Mapping[str, Any]) -> list[Any]:
    """The text that others are compared with, and then those.

    Raises:
        InputError: the object has other fields.
    """
    if not {"source_sentence", "sentences"} <= set(item) or not isinstance(item["sentences"], (list, tuple)):
        raise InputError(f'Expected a text or {{"source_sentence": ..., "sentences": [...]}}, got {item!r:.60}.')
    return [item["source_sentence"], *item["sentences"]]
