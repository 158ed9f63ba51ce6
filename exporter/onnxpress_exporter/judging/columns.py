"""Which column of a table plays which role for a task: the usual names are in a table, others are named by the user.

Knows nothing of what cells hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxpress.errors import InputError
from onnxpress_exporter.judging.data import Table

#: Names of the labels of a text, in the datasets of the Hub.
_LABELS = ("label", "labels", "class", "category", "score", "stars", "rating", "target", "coarse_label", "intent")
_TEXTS = ("text", "sentence", "content", "review", "comment", "tweet", "document", "query")

#: first text -> the second one beside it.
PAIRS: Mapping[str, str] = {
    "text": "text_pair",
    "premise": "hypothesis",
    "sentence1": "sentence2",
    "question1": "question2",
    "question": "sentence",
}

#: task -> the ways in which its rows are laid out: role -> names of its column. The first that a table has is taken.
LAYOUTS: Mapping[str, Sequence[Mapping[str, Sequence[str]]]] = {
    "fill-mask": [{"text": _TEXTS, "target": ("target", "word", "answer", "label", "masked_word")}],
    "question-answering": [
        {
            "question": ("question",),
            "context": ("context", "passage", "paragraph"),
            "answers": ("answers", "answer", "answer_text"),
        }
    ],
    "sentence-similarity": [
        {
            "sentence1": ("sentence1", "text1", "sentence_A", "sentence_a", "premise"),
            "sentence2": ("sentence2", "text2", "sentence_B", "sentence_b", "hypothesis"),
            "score": ("score", "similarity", "similarity_score", "relatedness_score", "label", "labels"),
        }
    ],
    "text-classification": [
        *({"text": (first,), "text_pair": (second,), "label": _LABELS} for first, second in PAIRS.items()),
        {"text": _TEXTS, "label": _LABELS},
    ],
    "text-ranking": [
        {
            "query": ("query", "question"),
            "documents": ("documents", "docs", "passages", "texts"),
            "relevance": ("relevance", "labels", "label", "relevances", "scores"),
        },
        {
            "query": ("query", "question"),
            "documents": ("documents", "docs", "passages", "texts"),
            "relevant": ("relevant", "positives"),
        },
    ],
    "token-classification": [
        {"tokens": ("tokens", "words"), "tags": ("ner_tags", "tags", "labels", "ner", "pos_tags", "label")},
        {"text": ("text", "sentence"), "entities": ("entities", "spans")},
    ],
    "zero-shot-classification": [{"text": _TEXTS, "label": _LABELS}],
}


def find_columns(table: Table, task: str, given: Mapping[str, str]) -> dict[str, str]:
    """role -> column, of the first layout of the task that the table has. A column within another is "outer.inner".

    Args:
        given: what the user says; these roles are not looked up.

    Raises:
        InputError: a task without a metric, a role that it does not have, or a column that the table lacks.
    """
    if task not in LAYOUTS:
        raise InputError(
            f"--eval-data: {task} has no metric of its own, because its answers are not right or wrong. Tasks that do: "
            f"{', '.join(sorted(LAYOUTS))}."
        )
    roles = sorted({role for layout in LAYOUTS[task] for role in layout})
    for role, column in given.items():
        if role not in roles:
            raise InputError(f"--eval-column {role}={column}: {task} has the roles {', '.join(roles)}.")
        if column.partition(".")[0] not in table.columns:
            raise InputError(f"--eval-column {role}={column}: {table.name} has the columns {', '.join(table.columns)}.")
    for layout in LAYOUTS[task]:
        found = {role: given.get(role) or _first(table, names) for role, names in layout.items()}
        if set(given) <= set(layout) and all(found.values()):
            return {role: column for role, column in found.items() if column}
    wanted = "; or ".join(", ".join(one) for one in _shapes(task))
    raise InputError(
        f"{table.name}: {task} needs columns for {wanted}. It has {', '.join(table.columns)}. Name them with "
        "--eval-column ROLE=COLUMN."
    )


def _first(table: Table, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _shapes(task: str) -> list[tuple[str, ...]]:
    """The roles of each layout, each set of them once, the shortest first."""
    return sorted({tuple(layout) for layout in LAYOUTS[task]}, key=lambda roles: (len(roles), roles))
