"""Tells, from a manifest alone, why a task does not suit a model whose graphs it could run. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable

from onnxpress.format.manifest import Manifest, PairScores, Postprocessing
from onnxpress.format.model import Adopted


def suits_any(manifest: Manifest) -> str | None:
    """No reason: every model that has the graphs will do."""
    return None


def lacks_one_score(manifest: Manifest) -> str | None:
    """Why a model cannot rank: it does not give a pair one score."""
    scores = len(manifest.postprocessing.labels)
    if scores == 1:
        return None
    return f"gives {scores} scores for a pair; ranking needs a model that gives one. Use it for text-classification."


def lacks_states(manifest: Manifest) -> str | None:
    """Why a model for vectors of texts has no states of their tokens: its graph pools them."""
    embedding = manifest.postprocessing.embedding
    if embedding is None or embedding.pooling or embedding.kind == "tokens":
        return None
    return "its graph gives vectors of texts, and no states of tokens. Export with --task feature-extraction for those."


def lacks_entailment(manifest: Manifest) -> str | None:
    """Why a model cannot judge labels that it was not trained on: none of its own stands for entailment."""
    labels = manifest.postprocessing.labels
    if entailment(manifest.postprocessing) is not None:
        return None
    return (
        f'no label starts with "entail" (there are: {", ".join(labels[:8])}), so this is not an NLI model and cannot '
        "judge labels it was not trained on. Use it for text-classification."
    )


def lacks_pair_scores(manifest: Manifest) -> str | None:
    """Why a model cannot compare texts with pictures or sounds: nothing says how."""
    if manifest.postprocessing.pairs is not None:
        return None
    return "it does not say how a text is compared with what it stands beside. Export again."


def pair_scores(manifest: Manifest) -> PairScores:
    """How a model that is not refused compares texts with pictures or sounds."""
    pairs = manifest.postprocessing.pairs
    assert pairs is not None, "a model without it is refused"
    return pairs


def says_how_to_pool(manifest: Manifest, adopted: Adopted) -> bool:
    """Whether a model's files, or the caller, say how it makes one vector of a text."""
    return any(fact.what == "pooling" and not fact.assumed for fact in adopted.facts)


def says_how_to_score(manifest: Manifest, adopted: Adopted) -> bool:
    """Whether a model's files say that it scores pairs of texts, and how."""
    return manifest.postprocessing.function_to_apply is not None and lacks_one_score(manifest) is None


def entailment(settings: Postprocessing) -> int | None:
    """The class that says that a text entails another; None: there is none."""
    if settings.entailment is not None:
        return settings.entailment
    return entailing(settings.labels)


def entailing(labels: Iterable[object]) -> int | None:
    """The place of the first label that says so; None: none does."""
    return next((place for place, label in enumerate(labels) if str(label).lower().startswith("entail")), None)
