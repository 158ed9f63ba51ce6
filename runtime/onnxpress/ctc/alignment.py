"""Where tokens that are known were heard: the likeliest way to say them (Viterbi)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnxpress.ctc.frames import Tokens


def align(log_probabilities: NDArray[np.floating], ids: Sequence[int], blank: int) -> Tokens:
    """The moments of each token in the likeliest way to say them, for float (moments, tokens), natural logarithms.

    There must be a moment for each token, and one between equal neighbours.
    """
    if not len(ids):
        nothing = np.zeros(0, np.int64)
        return Tokens(nothing, nothing, nothing)
    states = np.full(2 * len(ids) + 1, blank, np.int64)  # a blank around each token
    states[1::2] = ids
    skips = np.zeros(len(states), bool)  # a token may follow a token without a blank, if it is another one
    skips[3::2] = states[3::2] != states[1:-2:2]
    scores = np.full(len(states), -np.inf)
    scores[:2] = log_probabilities[0][states[:2]]
    steps = np.zeros((len(log_probabilities), len(states)), np.int8)
    for moment, row in enumerate(log_probabilities[1:], start=1):
        ways = np.full((3, len(states)), -np.inf)
        ways[0], ways[1, 1:] = scores, scores[:-1]
        ways[2, 2:] = np.where(skips[2:], scores[:-2], -np.inf)
        steps[moment] = ways.argmax(axis=0)
        scores = ways.max(axis=0) + row[states]
    state = len(states) - 1 - int(scores[-2] > scores[-1])
    path = np.empty(len(log_probabilities), np.int64)
    for moment in range(len(path) - 1, -1, -1):
        path[moment] = state
        state -= int(steps[moment, state])
    places = 2 * np.arange(len(ids)) + 1
    return Tokens(np.array(ids, np.int64), np.searchsorted(path, places), np.searchsorted(path, places, side="right"))
