"""Ranks the continuations of beams, which is what costs time in a beam search beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids, Logits
from onnxpress.generation.largest import Places, Rows, blocks_of, largest, log_sums
from onnxpress.generation.rules import Written
from onnxpress.generation.search.beam_texts import BeamText
from onnxpress.generation.settings import GenerationConfig


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best continuations of each text, best first, all (texts, count): the beam that each continues, the token,
    and the float32 sum of log-probabilities."""

    beams: Places
    tokens: Places
    sums: Rows


def rank(
    scores: Logits,
    normalizers: Rows | None,
    texts: Sequence[BeamText],
    ids: Ids,
    sums: Rows,
    step: int,
    config: GenerationConfig,
) -> Ranked:
    """Rank continuations by one token: enough that as many as there are beams do not end the text.

    scores: float32 (texts * beams, vocabulary), changed; normalizers: float32 (texts * beams), the logarithms of the
    sums of the scores' exponentials if they are known; ids: int64 (texts, beams, tokens), after each prompt `step`
    generated ones; sums: float32 (texts, beams), where the first step has one beam.

    Raises:
        InputError: fewer tokens than continuations, or scores that are no numbers.
    """
    beams = sums.shape[1]
    count = max(2, 1 + len(config.ends)) * config.num_beams
    if count > beams * scores.shape[1]:
        raise InputError(f"num_beams={config.num_beams} is too many for a vocabulary of {scores.shape[1]} tokens")
    ruled = any(text.rules for text in texts)
    absolute = ruled and _absolute(texts, step, config)
    if normalizers is None and (absolute or (ruled and not config.renormalize_logits)):
        normalizers = log_sums(scores, scores.max(axis=1))
    taken = normalizers
    if absolute and normalizers is not None:
        scores -= normalizers[:, None]
        taken = None
    for number, text in enumerate(texts if ruled else ()):
        for beam in range(beams):
            written = Written(ids[number, beam, : len(text.prompt) + step], len(text.prompt))
            for rule in text.rules:
                rule(written, scores[number * beams + beam])
    blocks = blocks_of(scores, count)
    if config.renormalize_logits if ruled else taken is None:
        taken = log_sums(scores, blocks.highest)
    add = sums.reshape(-1) - taken if taken is not None else sums.reshape(-1)
    ranked = _drawn(scores, texts, add, count) if config.do_sample else Ranked(*largest(blocks, count, beams, add))
    if np.isnan(ranked.sums).any():
        raise InputError("the model's scores are not numbers: its weights, or this precision of them, are broken")
    return ranked


def _absolute(texts: Sequence[BeamText], step: int, config: GenerationConfig) -> bool:
    """Whether a rule needs log-probabilities, because it reads more than differences between scores.

    Else it may see the model's own scores, and no pass over all of them is needed to shift them.
    """
    forces = (config.forced_bos_token_id is not None and step == 0) or (
        bool(config.forced_eos_token_id) and any(text.most == step + 1 for text in texts)
    )
    return (
        config.repetition_penalty != 1
        or config.remove_invalid_values
        or config.do_sample
        or (forces and not config.renormalize_logits)
    )


def _drawn(scores: Rows, texts: Sequence[BeamText], add: Rows, count: int) -> Ranked:
    """Continuations drawn without replacement, in the order drawn: the largest sums with Gumbel noise added.

    (Kool, van Hoof, Welling: Stochastic Beams and Where to Find Them, ICML 2019.)
    """
    beams = len(scores) // len(texts)
    noisy = np.full_like(scores, -np.inf)
    for number, text in enumerate(texts):
        rows = slice(number * beams, (number + 1) * beams)
        alive = np.nonzero(scores[rows] > -np.inf)
        noise = text.random.gumbel(size=len(alive[0])).astype(np.float32)
        noisy[rows][alive] = scores[rows][alive] + add[rows][alive[0]] + noise
    places, tokens, _ = largest(blocks_of(noisy, count), count, beams)
    owners = places + np.arange(0, len(scores), beams)[:, None]
    return Ranked(places, tokens, scores[owners, tokens] + add[owners])
