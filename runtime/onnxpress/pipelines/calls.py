"""Inputs of the command line to calls of a pipeline, one answer for each input.

Knows which tasks take something else than one text at a time; knows nothing of terminals.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard

from onnxpress.errors import InputError
from onnxpress.pipelines.base import TextPipeline

if TYPE_CHECKING:
    from onnxpress.pipelines.text_generation import TextGeneration


def answers(pipe: TextPipeline[Any], inputs: Iterable[Any], options: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Each input with its result, in order, streaming.

    text-ranking takes its inputs as the documents of `query`, and gives one result for each, best first.
    question-answering takes texts as questions about the option `context`.
    """
    if pipe.task == "text-ranking" and "query" in options:
        documents = list(inputs)
        for entry in pipe(documents=documents, **options):
            yield documents[entry["index"]], entry
        return
    given: deque[Any] = deque()
    call = dict(options)
    context = call.pop("context", None) if pipe.task == "question-answering" else None

    def arguments() -> Iterator[Any]:
        for item in inputs:
            given.append(item)
            yield _question(item, context) if pipe.task == "question-answering" else item

    for result in pipe(arguments(), **call):
        yield given.popleft(), result


def streams(pipe: TextPipeline[Any], options: Mapping[str, Any]) -> TypeGuard[TextGeneration]:
    """Whether a call has one text for each input, to be shown while it is written."""
    several = {"num_beams", "num_return_sequences", "return_tensors", "return_full_text", "return_details"}
    return pipe.task == "text-generation" and not several & set(options)


def _question(item: Any, context: str | None) -> Any:
    if not isinstance(item, str):
        return item
    if context is None:
        raise InputError(
            'question-answering takes {"question": ..., "context": ...}, or questions with --set context=TEXT.'
        )
    return {"question": item, "context": context}
