"""Scores a task's answers against the right ones: figures from 0 to 1 (correlations: from -1), larger is better. Pure.

Answers are in the schema of the task's pipeline. What a kept library computes is left to it: scikit-learn and scipy;
they are imported when a figure is asked for.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.fidelity import LOSS
from onnxpress_exporter.judging.boxes import average_precision
from onnxpress_exporter.judging.figures import edit_distance
from onnxpress_exporter.judging.maps import score_depths, score_segments

Figures = dict[str, float]

#: Documents of a ranking that count.
DEPTH = 10

#: What follows a figure's name where it is the reference's; LOSS follows it where it is the difference.
OF_REFERENCE = " of the reference"

#: Score from which a label of several counts as given.
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Scorer:
    """`names`: of the figures; `score`: answers and targets, in one order, to the figures."""

    names: tuple[str, ...]
    score: Callable[[Sequence[Any], Sequence[Any]], Figures]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`name`: what the rows are and how many. `items`: what the task's pipeline takes; `targets`: the right answers, as
    the scorer takes them; `options`: arguments of every call."""

    name: str
    scorer: Scorer
    items: Sequence[Any]
    targets: Sequence[Any]
    options: Mapping[str, Any] = field(default_factory=dict)


def score(evaluation: Evaluation, answers: Sequence[Any]) -> Figures:
    """Score one model's answers to `evaluation.items`, in their order."""
    return evaluation.scorer.score(answers, evaluation.targets)


def beside_reference(reference: Figures, figures: Figures) -> Figures:
    """List each figure, the reference's, and the loss: the reference's less this one, negative where it grew."""
    table: Figures = {}
    for name, value in figures.items():
        table |= {name: value, f"{name}{OF_REFERENCE}": reference[name], f"{name}{LOSS}": reference[name] - value}
    return table


def _one_label(answers: Sequence[Any], targets: Sequence[str]) -> Figures:
    """[{"label", "score"}, ...] for each text, all labels."""
    return _accuracy([max(labels, key=lambda entry: float(entry["score"]))["label"] for labels in answers], targets)


def _best_label(answers: Sequence[Any], targets: Sequence[str]) -> Figures:
    """{"labels", "scores"} for each text, best first."""
    return _accuracy([answer["labels"][0] for answer in answers], targets)


def _accuracy(predicted: Sequence[str], targets: Sequence[str]) -> Figures:
    from sklearn.metrics import accuracy_score, f1_score

    # The mean over the labels that the rows have: one that nobody asked for has no F1.
    labels = sorted(set(targets))
    macro = f1_score(targets, predicted, labels=labels, average="macro", zero_division=0)
    return {"accuracy": float(accuracy_score(targets, predicted)), "F1 macro": float(macro)}


def _several_labels(answers: Sequence[Any], targets: Sequence[frozenset[str]]) -> Figures:
    chosen = [{entry["label"] for entry in entries if entry["score"] >= HALF} for entries in answers]
    return {"F1 micro": _f1_of_sets(chosen, targets)}


def _entities(answers: Sequence[Any], targets: Sequence[tuple[str, frozenset[Any]]]) -> Figures:
    """Entities with group, start and end; only all three together are right (E. Tjong Kim Sang, CoNLL 2003)."""
    predicted = [
        {_trimmed(entity, text) for entity in entities} for entities, (text, _) in zip(answers, targets, strict=True)
    ]
    return {"entity F1": _f1_of_sets(predicted, [spans for _, spans in targets])}


def _trimmed(entity: Mapping[str, Any], text: str) -> tuple[str, int, int]:
    """Strip the spaces around an entity, which some tokenizers count as part of a word."""
    start, end = int(entity["start"]), int(entity["end"])
    written = text[start:end]
    start += len(written) - len(written.lstrip())
    return entity["entity_group"], start, start + len(written.strip())


def _f1_of_sets(predicted: Sequence[Any], targets: Sequence[Any]) -> float:
    """Micro F1 of the members of sets, over all rows together; 1 where the sets of both sides are empty."""
    from sklearn.metrics import f1_score

    wanted = {(row, entry) for row, entries in enumerate(targets) for entry in entries}
    obtained = {(row, entry) for row, entries in enumerate(predicted) for entry in entries}
    either = list(wanted | obtained)
    if not either:
        return 1.0
    return float(f1_score([pair in wanted for pair in either], [pair in obtained for pair in either], zero_division=0))


def _numbers(answers: Sequence[Any], targets: Sequence[float]) -> Figures:
    from scipy.stats import pearsonr

    values = [float(labels[0]["score"]) for labels in answers]
    return {"Spearman": _spearman(values, targets), "Pearson": _correlation(pearsonr, values, targets)}


def _similarity(answers: Sequence[Any], targets: Sequence[float]) -> Figures:
    """One vector for each text, two texts for each target: cosines beside scores."""
    vectors: NDArray[np.float64] = np.asarray(answers, dtype=np.float64)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return {"Spearman": _spearman((vectors[0::2] * vectors[1::2]).sum(axis=1).tolist(), targets)}


def _spearman(values: Sequence[float], targets: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, values, targets)


def _correlation(measure: Callable[..., Any], values: Sequence[float], targets: Sequence[float]) -> float:
    """A correlation; 0 where a model gives all rows the same, which scipy does not define."""
    return 0.0 if np.ptp(values) == 0 else float(np.clip(measure(values, targets).statistic, -1, 1))


def _rankings(answers: Sequence[Any], targets: Sequence[Sequence[float]]) -> Figures:
    """[{"index", "score"}, ...] for each query, best first. Queries without a relevant document say nothing of an order
    and are left out. NDCG: K. Järvelin, J. Kekäläinen, TOIS 20, 2002, with linear gains."""
    from sklearn.metrics import ndcg_score

    gains, reciprocal = [], []
    for ranking, relevance in zip(answers, targets, strict=True):
        if not any(relevance):
            continue
        order = [int(entry["index"]) for entry in ranking]
        scores = np.empty(len(order))
        scores[order] = -np.arange(len(order))
        gains.append(ndcg_score([list(relevance)], [scores], k=DEPTH))
        first = next(place for place, index in enumerate(order, 1) if relevance[index])
        reciprocal.append(1 / first if first <= DEPTH else 0.0)
    return {f"NDCG@{DEPTH}": float(np.mean(gains)), f"MRR@{DEPTH}": float(np.mean(reciprocal))}


def _words(answers: Sequence[Any], targets: Sequence[str]) -> Figures:
    """The most probable token is the word; case does not count, for many vocabularies have none."""
    right = [
        candidates[0]["token_str"].strip().casefold() == word.casefold()
        for candidates, word in zip(answers, targets, strict=True)
    ]
    return {"accuracy": float(np.mean(right))}


def _answers(answers: Sequence[Any], targets: Sequence[Sequence[str]]) -> Figures:
    """SQuAD's exact match and F1, the best over the right answers (P. Rajpurkar et al., EMNLP 2016); where there are
    none, only the empty answer is right (P. Rajpurkar, R. Jia, P. Liang, ACL 2018)."""
    exact, shared = [], []
    for answer, right in zip(answers, targets, strict=True):
        normalized = normalized_answer(answer["answer"])
        wanted = [normalized_answer(text) for text in right or ("",)]
        exact.append(float(normalized in wanted))
        shared.append(max(_shared_words(normalized, text) for text in wanted))
    return {"exact match": float(np.mean(exact)), "answer F1": float(np.mean(shared))}


def normalized_answer(text: str) -> str:
    """SQuAD's: lower case, without punctuation and articles, one space between words."""
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", plain).split())


def _shared_words(answer: str, wanted: str) -> float:
    """F1 of the words as a bag; with an empty answer on either side, whether both are."""
    if not answer or not wanted:
        return float(answer == wanted)
    first, second = Counter(answer.split()), Counter(wanted.split())
    return 2 * (first & second).total() / (first.total() + second.total())


def _written(answers: Sequence[Any], targets: Sequence[str]) -> Figures:
    """{"..._text": str} for each text, alone or the first of several. ROUGE-L: the F1 of the longest words that both
    have in one order (C.-Y. Lin, ACL 2004), and the share of texts that are the target, word for word."""
    exact, shared = [], []
    for answer, target in zip(answers, targets, strict=True):
        first = answer if isinstance(answer, Mapping) else answer[0]
        (text,) = (str(value) for name, value in first.items() if name.endswith("_text"))
        words, wanted = words_of(text), words_of(target)
        exact.append(float(words == wanted))
        common = _longest_in_order(words, wanted)
        shared.append(2 * common / (len(words) + len(wanted)) if words or wanted else 1.0)
    return {"exact match": float(np.mean(exact)), "ROUGE-L": float(np.mean(shared))}


def _read(answers: Sequence[Any], targets: Sequence[str]) -> Figures:
    """[{"generated_text": str}, ...] for each picture, the first of several. The share of texts that are the target,
    spaces aside; and 1 less the letters, and the words, to insert, remove or replace over those of all targets, at
    least 0: what is told of recognized text as character and word error rate."""
    texts = [" ".join(str(answer[0]["generated_text"]).split()) for answer in answers]
    return _recognized(texts, [" ".join(target.split()) for target in targets])


def _transcribed(answers: Sequence[Any], targets: Sequence[str]) -> Figures:
    """{"text": str} for each sound: as `_read`, of words alone, in lower case: who speaks says no comma."""
    texts = [" ".join(words_of(str(answer["text"]))) for answer in answers]
    return _recognized(texts, [" ".join(words_of(target)) for target in targets])


def _recognized(texts: Sequence[str], wanted: Sequence[str]) -> Figures:
    pairs = list(zip(texts, wanted, strict=True))
    letters = sum(edit_distance(text, right) for text, right in pairs) / max(sum(map(len, wanted)), 1)
    words = sum(edit_distance(text.split(), right.split()) for text, right in pairs)
    return {
        "exact match": float(np.mean([text == right for text, right in pairs])),
        "character accuracy": max(0.0, 1 - letters),
        "word accuracy": max(0.0, 1 - words / max(sum(len(right.split()) for right in wanted), 1)),
    }


def _answered(answers: Sequence[Any], targets: Sequence[str]) -> Figures:
    """[{"answer", ...}, ...] for each question, best first: the share that is the target, articles and case aside."""
    right = [
        normalized_answer(row[0]["answer"]) == normalized_answer(target)
        for row, target in zip(answers, targets, strict=True)
    ]
    return {"accuracy": float(np.mean(right))}


def _found_in_document(answers: Sequence[Any], targets: Sequence[Sequence[str]]) -> Figures:
    """[{"answer", ...}, ...] for each question, best first; case and spaces aside, the best over the right answers,
    where there are none the empty one. ANLS: 1 less the letters to change over those of the longer text, 0 from half on
    (A. Biten et al., ICCV 2019)."""
    exact, alike = [], []
    for row, right in zip(answers, targets, strict=True):
        text = _plain(row[0]["answer"] or "" if row else "")
        wanted = [_plain(target) for target in right or ("",)]
        exact.append(float(text in wanted))
        shares = [edit_distance(text, target) / max(len(text), len(target), 1) for target in wanted]
        alike.append(max(1 - share if share < HALF else 0.0 for share in shares))
    return {"exact match": float(np.mean(exact)), "ANLS": float(np.mean(alike))}


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def words_of(text: str) -> list[str]:
    """Words in lower case; of scripts without spaces between words, each character."""
    return re.findall(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+", text.casefold())


def _longest_in_order(first: Sequence[str], second: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(second) + 1)
    for word in first:
        diagonal = 0
        for place, other in enumerate(second, start=1):
            diagonal, row[place] = row[place], diagonal + 1 if word == other else max(row[place], row[place - 1])
    return row[-1]


def _next_tokens(answers: Sequence[tuple[int, int]], targets: Sequence[Any]) -> Figures:
    """Score pairs of one text each: how many of its tokens the model prefers, and how many it has."""
    right, count = (sum(numbers) for numbers in zip(*answers, strict=True))
    return {"token accuracy": right / max(count, 1)}


ANSWER = Scorer(("accuracy",), _answered)
ANSWERS = Scorer(("exact match", "answer F1"), _answers)
BEST_LABEL = Scorer(("accuracy", "F1 macro"), _best_label)
#: Boxes of a picture, with all candidates in the answers.
FOUND = Scorer(("mAP", "mAP@.5"), average_precision)
DOCUMENT = Scorer(("exact match", "ANLS"), _found_in_document)
DEPTHS = Scorer(("1 - abs-rel", "within 1.25"), score_depths)
ENTITIES = Scorer(("entity F1",), _entities)
LABEL = Scorer(("accuracy", "F1 macro"), _one_label)
#: Whose answers are not a pipeline's: which tokens of a given text a model would have written itself.
NEXT_TOKENS = Scorer(("token accuracy",), _next_tokens)
NUMBER = Scorer(("Spearman", "Pearson"), _numbers)
RANKING = Scorer((f"NDCG@{DEPTH}", f"MRR@{DEPTH}"), _rankings)
READ = Scorer(("exact match", "character accuracy", "word accuracy"), _read)
SEGMENTS = Scorer(("mean IoU", "pixel accuracy"), score_segments)
SEVERAL_LABELS = Scorer(("F1 micro",), _several_labels)
SIMILARITY = Scorer(("Spearman",), _similarity)
TRANSCRIBED = Scorer(READ.names, _transcribed)
WORD = Scorer(("accuracy",), _words)
WRITTEN = Scorer(("exact match", "ROUGE-L"), _written)

SCORERS = (
    *(ANSWERS, BEST_LABEL, ENTITIES, FOUND, LABEL, NEXT_TOKENS, NUMBER, RANKING, SEVERAL_LABELS, SIMILARITY, WORD),
    *(ANSWER, DEPTHS, DOCUMENT, READ, SEGMENTS, TRANSCRIBED, WRITTEN),
)

#: The names of all figures.
METRICS: tuple[str, ...] = tuple(dict.fromkeys(name for scorer in SCORERS for name in scorer.names))
