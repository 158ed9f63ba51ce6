"""text-ranking: documents ordered by how well they answer a query, as a cross-encoder scores each pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, overload

import numpy as np

from onnxpress.errors import InputError
from onnxpress.math import top_k
from onnxpress.pipelines.arguments import translate
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.class_scores import FUNCTIONS, function_name
from onnxpress.pipelines.inputs import Row, Texts, as_pairs, listed, picked
from onnxpress.pipelines.known_arguments import OF_RANKING
from onnxpress.pipelines.known_names import OF_CROSS_ENCODERS
from onnxpress.pipelines.labels import class_labels
from onnxpress.pipelines.loaded import LoadedModel
from onnxpress.pipelines.prompts import check_name, check_texts, choose_prompt
from onnxpress.pipelines.text_processor import TextProcessor
from onnxpress.samples import Batch


class RankedDocument(TypedDict):
    """`index` counts the documents as they were given."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class TextRankingOptions:
    """`top_k`: return only so many, None: all. `function_to_apply`: "sigmoid" or "none"; None: as the checkpoint's
    config says, which is sigmoid where it says nothing. `max_length`: cut pairs to fewer tokens than the limit.
    `prompt`: text put before the query; `prompt_name`: one of the checkpoint's prompts; neither: its default one."""

    top_k: int | None = None
    function_to_apply: Any = None
    max_length: int | None = None
    prompt: str | None = None
    prompt_name: str | None = None

    def __post_init__(self) -> None:
        check_texts(prompt=self.prompt, prompt_name=self.prompt_name)
        if self.top_k is not None and (not isinstance(self.top_k, int) or self.top_k < 0):
            raise InputError(f"top_k is {self.top_k!r}; it must be a number of documents, or None for all of them.")
        if self.function_to_apply is not None and function_name(self.function_to_apply) == "softmax":
            raise InputError("function_to_apply cannot be softmax: a pair has one score. Use sigmoid or none.")
        if self.max_length is not None and (not isinstance(self.max_length, int) or self.max_length < 1):
            raise InputError(f"max_length is {self.max_length!r}; it must be a positive number of tokens, or None.")


class TextRanking(Pipeline[TextRankingOptions, TextProcessor]):
    """`pipe(query=..., documents=[...])` -> `[{"index": 2, "score": 0.9}, ...]`, best first, ties in document order.

    A list of queries takes a list of lists of documents and gives a list of lists. For a stream, pass an iterator of
    `{"query": ..., "documents": [...]}`. Pairs longer than the model's limit are cut, the longer text first.

    Raises:
        ArtifactError: the model gives a pair more than one score.
    """

    options_type = TextRankingOptions
    processor_type = TextProcessor
    arguments = OF_RANKING
    absent = OF_CROSS_ENCODERS

    def __init__(self, model: LoadedModel, options: Mapping[str, Any]) -> None:
        super().__init__(model, options)
        class_labels(self)  # as many as the graph has scores

    @overload  # type: ignore[override]  # `inputs` is `query` here
    def __call__(self, query: Any, documents: Any = None, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, query: str, documents: Any, **options: Any) -> list[RankedDocument]: ...
    @overload
    def __call__(self, query: Texts, documents: Any, **options: Any) -> list[list[RankedDocument]]: ...
    @overload
    def __call__(self, query: Row, **options: Any) -> list[RankedDocument]: ...
    @overload
    def __call__(self, query: Any = None, documents: Any = None, **options: Any) -> Any: ...
    def __call__(self, query: Any = None, documents: Any = None, **options: Any) -> Any:
        """Rank documents.

        Args:
            query: a text; a list of texts; or, without `documents`, one mapping or a list or stream of mappings
                with "query" and "documents".
            documents: texts for one query; one list of texts for each of several queries.

        Raises:
            InputError: anything else.
        """
        query, documents = listed(query), listed(documents)
        if documents is None:
            if isinstance(query, str):
                raise InputError("documents is missing: pipe(query=text, documents=[text, ...]).")
            return super().__call__(query, **options)
        if isinstance(query, str):
            return super().__call__({"query": query, "documents": documents}, **options)
        if not isinstance(query, (list, tuple)) or not isinstance(documents, (list, tuple)):
            raise InputError(f"query must be a text or a list of texts, not {type(query).__name__}.")
        if len(query) != len(documents):
            raise InputError(f"{len(query)} queries need as many lists of documents, not {len(documents)}.")
        items = [{"query": text, "documents": its} for text, its in zip(query, documents, strict=True)]
        return super().__call__(items, **options)

    @property
    def max_seq_length(self) -> int | None:
        """The most tokens of a pair; what is longer is cut. None: no limit."""
        return self.processor.limit(self.options.max_length)

    @property
    def max_length(self) -> int | None:
        """sentence-transformers' older name of `max_seq_length`."""
        return self.max_seq_length

    def get_max_seq_length(self) -> int | None:
        """sentence-transformers' older name of `max_seq_length`."""
        return self.max_seq_length

    @property
    def num_labels(self) -> int:
        """Scores of a pair: one."""
        return 1

    @property
    def prompts(self) -> Mapping[str, str]:
        """The checkpoint's prompts by name."""
        return self.manifest.postprocessing.prompts

    def predict(self, inputs: Sequence[Any], **arguments: Any) -> Any:
        """sentence-transformers' name: the scores of pairs of texts, float32 (pairs); of one pair, a number.

        Takes CrossEncoder's arguments, which mean those of a call.
        """
        single = len(inputs) == 2 and all(isinstance(text, str) for text in inputs)
        pairs = as_pairs([inputs] if single else inputs)
        rows = [{"query": query, "documents": [document]} for query, document in pairs]
        ranked = self(rows, **translate(arguments, self.arguments)) if rows else []
        scores = np.array([documents[0]["score"] for documents in ranked], dtype=np.float32)
        return scores[0] if single else scores

    def rank(
        self,
        query: str,
        documents: Sequence[str],
        top_k: int | None = None,
        return_documents: bool = False,
        **arguments: Any,
    ) -> list[dict[str, Any]]:
        """sentence-transformers' name: `[{"corpus_id": 2, "score": 0.9}, ...]`, best first; `return_documents` adds
        their texts. Takes CrossEncoder's arguments."""
        ranked = self(query=query, documents=documents, top_k=top_k, **translate(arguments, self.arguments))
        results: list[dict[str, Any]] = [{"corpus_id": item["index"], "score": item["score"]} for item in ranked]
        if return_documents:
            for result in results:
                result["text"] = documents[result["corpus_id"]]
        return results

    def prepare(self, item: Any, options: TextRankingOptions) -> Prepared[None]:
        query, documents = _query(item)
        settings = self.manifest.postprocessing
        prompt = choose_prompt(settings.prompts, settings.default_prompt_name, options.prompt, options.prompt_name)
        truncation = self.processor.truncation(max_length=options.max_length)
        processor = self.processor
        encodings = processor.encodings([prompt + query] * len(documents), documents, truncation=truncation)
        return Prepared(tuple(processor.sample_of(encoding) for encoding in encodings), None)

    def _options(self, base: Any, changes: Mapping[str, Any]) -> Any:
        options = super()._options(base, changes)
        check_name(options.prompt_name, self.manifest.postprocessing.prompts)
        return options

    def reduce(self, batch: Batch, outputs: Outputs, options: TextRankingOptions) -> list[float]:
        name = options.function_to_apply or self.manifest.postprocessing.function_to_apply or "sigmoid"
        return FUNCTIONS[function_name(name)](outputs[self.answer_name][:, 0]).tolist()  # type: ignore[no-any-return]

    def finish(self, context: None, values: list[Any], options: TextRankingOptions) -> list[RankedDocument]:
        scores = np.array(values, dtype=np.float32)
        order = top_k(scores, len(values) if options.top_k is None else options.top_k)
        return [RankedDocument(index=int(i), score=float(scores[i])) for i in order]


def _query(item: Any) -> tuple[str, list[str]]:
    if not isinstance(item, Mapping) or not {"query", "documents"} & set(item):
        raise InputError(f'Expected {{"query": ..., "documents": [...]}}, got {type(item).__name__} {item!r:.60}.')
    query, documents = picked(item, ("query", "documents"))
    if not isinstance(query, str):
        raise InputError(f"query must be a text, not {type(query).__name__} {query!r:.60}.")
    if isinstance(documents, (str, bytes, Mapping)) or not isinstance(documents, Iterable):
        raise InputError(f"documents must be a list of texts, not {type(documents).__name__} {documents!r:.60}.")
    texts = list(listed(documents))
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"A document must be a text, not {type(text).__name__} {text!r:.60}.")
    return query, texts
