"""Measures how far a backend's answers are from PyTorch's: one function for each form of answer.

Answers are plain JSON values in the schema of the task's pipeline. Agreements and cosines are 1 for equal answers,
differences 0. Knows nothing of tasks, backends or time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.pipelines.vector_kinds import dense_of, max_similarity

Answers = Sequence[Any]

#: Nearest texts that are compared.
NEIGHBOURS = 10

#: Of two labels the reference prefers neither that it gives at most so many times the other's score: in 49 of 100 cases
#: it expects the other one.
NEAR_TIE = 1.05

#: What vectors of towers are called.
TEXTS, PICTURES, SOUNDS = "texts", "pictures", "sounds"
Figures = dict[str, float]

#: The reference's answers and a variant's -> figures by name.
Compare = Callable[[Answers, Answers], Figures]


def batch_distance(alone: Answers, together: Answers) -> Figures:
    """How far vectors in a batch are from the same texts' alone: 0 where none depends on its neighbours."""
    return {"batch cosine distance": 1 - compare_vectors(alone, together)["cosine, worst"]}


def batch_disagreement(compare: Compare) -> Compare:
    """The share of inputs whose answer alone and in a batch differ, by the agreements of `compare`."""

    def disagreement(alone: Answers, together: Answers) -> Figures:
        figures = compare(alone, together)
        return {"batch disagreement": 1 - min(value for name, value in figures.items() if name.endswith(" agreement"))}

    return disagreement


def compare_vectors(reference: Answers, answers: Answers) -> Figures:
    """One vector per text; hidden states are compared as one long vector; of several kinds each is, and the least
    counts."""
    if (kinds := _kinds(reference)) is not None:
        return _least(compare_vectors, kinds, reference, answers)
    cosines = [_cosine(np.ravel(a), np.ravel(b)) for a, b in zip(reference, answers, strict=True)]
    return {"cosine, mean": float(np.mean(cosines)), "cosine, worst": float(np.min(cosines))}


def compare_embeddings(reference: Answers, answers: Answers) -> Figures:
    """The vector or the vectors of each text, and which texts are each one's nearest."""
    if (kinds := _kinds(reference)) is not None:
        return _least(compare_embeddings, kinds, reference, answers)
    figures = compare_vectors(reference, answers)
    if len(reference) <= 2 * NEIGHBOURS:
        return figures
    if np.ndim(reference[0]) > 1:
        near = [_nearest_sets(side) for side in (reference, answers)]
        overlaps = [len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(*near, strict=True)]
        return figures | {"neighbour overlap": float(np.mean(overlaps))}
    return figures | {"neighbour overlap": neighbour_overlap(np.asarray(reference), np.asarray(answers))}


def _kinds(answers: Answers) -> Sequence[str] | None:
    """The kinds of vectors that texts have by name; None: they have one of one kind."""
    return list(answers[0]) if len(answers) and isinstance(answers[0], Mapping) else None


def _least(compare: Compare, kinds: Sequence[str], reference: Answers, answers: Answers) -> Figures:
    """Of each figure the least among the kinds."""
    figures = [compare(*_of_kind(reference, answers, kind)) for kind in kinds]
    return {name: min(some[name] for some in figures) for name in figures[0]}


def _of_kind(reference: Answers, answers: Answers, kind: str) -> tuple[Answers, Answers]:
    """The vectors of one kind on both sides; sparse ones with all numbers up to the last that any of them has."""
    ours, theirs = ([answer[kind] for answer in side] for side in (reference, answers))
    if not isinstance(ours[0], Mapping):
        return ours, theirs
    width = 1 + max(int(vector["indices"].max(initial=0)) for vector in (*ours, *theirs))
    return [dense_of(vector, width) for vector in ours], [dense_of(vector, width) for vector in theirs]


def _nearest_sets(texts: Answers) -> NDArray[np.int64]:
    """Of each text, those that answer it best by its vectors of tokens, each float (tokens, dimensions)."""
    similar = max_similarity(texts, texts, mean=False)
    np.fill_diagonal(similar, -np.inf)
    return _best(similar, NEIGHBOURS)


def neighbour_overlap(reference: NDArray[Any], vectors: NDArray[Any], count: int = NEIGHBOURS) -> float:
    """Mean share of each text's `count` nearest other texts by cosine that stay among its nearest.

    Both float (texts, dimensions).
    """
    near = [_nearest(side, count) for side in (reference, vectors)]
    return float(np.mean([len(set(a) & set(b)) / count for a, b in zip(*near, strict=True)]))


def _nearest(vectors: NDArray[Any], count: int) -> NDArray[np.int64]:
    lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    similar = (vectors / lengths) @ (vectors / lengths).T
    np.fill_diagonal(similar, -np.inf)
    return _best(similar, count)


def compare_towers(reference: Mapping[str, NDArray[Any]], vectors: Mapping[str, NDArray[Any]]) -> Figures:
    """Vectors of texts and of pictures or sounds, by name: each with the same one of the reference; and the share of
    each text's nearest of the others that stay among the nearest."""
    if not reference:
        return {}
    cosines = {name: compare_vectors(list(reference[name]), list(vectors[name])) for name in reference}
    figures = {f"{name} cosine, worst": figures["cosine, worst"] for name, figures in cosines.items()}
    figures |= {
        "cosine, mean": min(figures["cosine, mean"] for figures in cosines.values()),
        "cosine, worst": min(figures["cosine, worst"] for figures in cosines.values()),
    }
    others = next((name for name in reference if name != TEXTS), TEXTS)
    if TEXTS in reference and others != TEXTS and len(reference[others]) > 2 * NEIGHBOURS:
        near = [_best(side[TEXTS] @ side[others].T, NEIGHBOURS) for side in (reference, vectors)]
        overlaps = [len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(*near, strict=True)]
        figures["retrieval overlap"] = float(np.mean(overlaps))
    return figures


def _best(scores: NDArray[Any], count: int) -> NDArray[np.int64]:
    """The places of the largest `count` of each row."""
    places: NDArray[np.int64] = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return places


def _cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.shape != b.shape:
        return -1.0
    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / lengths if lengths else float(np.array_equal(a, b))


def compare_labels(reference: Answers, answers: Answers, near_tie: float = NEAR_TIE) -> Figures:
    """[{"label", "score"}, ...] for each text, all labels. A label that the reference finds nearly as likely as its own
    best agrees with it."""
    scores = [(_by("label", a), _by("label", b)) for a, b in zip(reference, answers, strict=True)]
    return _compare_best(scores, near_tie)


def compare_sorted_labels(reference: Answers, answers: Answers, near_tie: float = NEAR_TIE) -> Figures:
    """{"labels", "scores"} for each text, best first; otherwise as `compare_labels`."""
    scores = [
        (dict(zip(a["labels"], a["scores"], strict=True)), dict(zip(b["labels"], b["scores"], strict=True)))
        for a, b in zip(reference, answers, strict=True)
    ]
    return _compare_best(scores, near_tie)


def _compare_best(scores: Sequence[tuple[Mapping[Any, float], Mapping[Any, float]]], near_tie: float) -> Figures:
    """Scores of the reference and of a variant by label, for each text."""
    same = []
    for expected, obtained in scores:
        best, label = max(expected, key=expected.__getitem__), max(obtained, key=obtained.__getitem__)
        same.append(label == best or expected[best] <= near_tie * expected.get(label, 0.0))
    return {"label agreement": float(np.mean(same)), "largest score difference": _largest(scores)}


#: The same, with ties counted: of the same model's answers alone and in a batch.
equal_labels: Compare = partial(compare_labels, near_tie=1.0)
equal_sorted_labels: Compare = partial(compare_sorted_labels, near_tie=1.0)


def compare_entities(reference: Answers, answers: Answers) -> Figures:
    """Spans with their group: shared ones over all of either, of all texts together."""
    shared = either = 0
    for a, b in zip(reference, answers, strict=True):
        first, second = _spans(a), _spans(b)
        shared, either = shared + len(first & second), either + len(first | second)
    return {"span agreement": shared / either if either else 1.0}


def _spans(entities: Sequence[Mapping[str, Any]]) -> set[tuple[str, int, int]]:
    return {(entity["entity_group"], entity["start"], entity["end"]) for entity in entities}


def compare_spans(reference: Answers, answers: Answers) -> Figures:
    """{"start", "end", "score"} for each question, the best answer."""
    same = [(a["start"], a["end"]) == (b["start"], b["end"]) for a, b in zip(reference, answers, strict=True)]
    scores = [({"": a["score"]}, {"": b["score"]}) for a, b in zip(reference, answers, strict=True)]
    return {"span agreement": float(np.mean(same)), "largest score difference": _largest(scores)}


def compare_fillings(reference: Answers, answers: Answers) -> Figures:
    """[{"token", "score"}, ...] for each text, best first."""
    tops = [a[0]["token"] == b[0]["token"] for a, b in zip(reference, answers, strict=True)]
    scores = [({"": a[0]["score"]}, {"": b[0]["score"]}) for a, b in zip(reference, answers, strict=True)]
    return {"top token agreement": float(np.mean(tops)), "largest score difference": _largest(scores)}


def compare_rankings(reference: Answers, answers: Answers) -> Figures:
    """[{"index", "score"}, ...] for each query, best first."""
    same = [_order(a) == _order(b) for a, b in zip(reference, answers, strict=True)]
    scores = [(_by("index", a), _by("index", b)) for a, b in zip(reference, answers, strict=True)]
    ordered = [_pairs_in_order(*pair) for pair in scores]
    return {
        "order agreement": float(np.mean(same)),
        "pairs in order": float(np.mean(ordered)),
        "largest score difference": _largest(scores),
    }


def _order(entries: Sequence[Mapping[str, Any]]) -> list[int]:
    return [entry["index"] for entry in entries]


def _pairs_in_order(reference: Mapping[Any, float], scores: Mapping[Any, float]) -> float:
    """Share of the pairs of documents that both put in the same order: (Kendall's tau + 1) / 2."""
    names = list(reference)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :] if reference[a] != reference[b]]
    same = [(reference[a] > reference[b]) == (scores[a] > scores[b]) for a, b in pairs]
    return float(np.mean(same)) if same else 1.0


def compare_continuations(reference: Answers, answers: Answers) -> Figures:
    """{"ids": [...]} for each prompt. After one other token a continuation goes its own way, so that the share of
    tokens before it tells more than how many agree."""
    agreements, prefixes = [], []
    for a, b in zip(reference, answers, strict=True):
        same = [x == y for x, y in zip(a["ids"], b["ids"], strict=True)]
        agreements.append(float(np.mean(same)))
        prefixes.append(same.index(False) / len(same) if False in same else 1.0)
    return {"token agreement": float(np.mean(agreements)), "equal prefix, mean": float(np.mean(prefixes))}


def compare_batches_of_continuations(reference: Answers, answers: Answers) -> Figures:
    """{"ids": [[...], ...]} for each batch of texts."""
    sides = ([{"ids": ids} for batch in side for ids in batch["ids"]] for side in (reference, answers))
    return compare_continuations(*sides)


def compare_transcripts(reference: Answers, answers: Answers) -> Figures:
    """{"text": ...} for each recording: words to insert, remove or replace, over the words of all references."""
    pairs = [(a["text"].split(), b["text"].split()) for a, b in zip(reference, answers, strict=True)]
    words = sum(len(expected) for expected, _ in pairs)
    edits = sum(edit_distance(expected, obtained) for expected, obtained in pairs)
    return {"word error": edits / words if words else float(edits > 0)}


def compare_heard(reference: Answers, answers: Answers) -> Figures:
    """{"text": ...} for each recording: 1 less the letters to insert, remove or replace, over those of all texts of
    either, at least 0."""
    pairs = [(a["text"], b["text"]) for a, b in zip(reference, answers, strict=True)]
    letters = sum(max(len(first), len(second)) for first, second in pairs)
    edits = sum(edit_distance(first, second) for first, second in pairs if first != second)
    return {"letter agreement": 1 - edits / letters if letters else 1.0}


def edit_distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Insertions, removals and replacements between two sequences. (R. Wagner, M. Fischer, J. ACM 21, 1974.)"""
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, start=1):
        above, row = row, [i]
        for j, b in enumerate(second, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def _by(key: str, entries: Sequence[Mapping[str, Any]]) -> dict[Any, float]:
    return {entry[key]: float(entry["score"]) for entry in entries}


def _largest(pairs: Sequence[Any]) -> float:
    """The largest difference of one score; a name that only one side has counts as a score of 0."""
    gaps = [abs(a.get(key, 0.0) - b.get(key, 0.0)) for a, b in pairs for key in a.keys() | b.keys()]
    return float(max(gaps, default=0.0))
