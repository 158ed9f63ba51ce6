"""Which tokens of time may come, and when one has to: a rule of generation, as transformers and OpenAI have it."""

from __future__ import annotations

import numpy as np

from onnxpress.generation.rules import Rule, Scores, Written
from onnxpress.speech.tokens import SpeechTokens


def times_rule(tokens: SpeechTokens) -> Rule:
    """Times come in pairs, but for the last; they do not go back; a text begins with one; and where all times together
    are likelier than any other token, one comes."""
    assert tokens.no_times is not None, "the model tells times"
    first, no_times, end = tokens.no_times + 1, tokens.no_times, tokens.end

    def rule(written: Written, scores: Scores) -> None:
        scores[no_times] = -np.inf
        new = written.generated
        last_is_time = len(new) >= 1 and new[-1] >= first
        if last_is_time:
            if len(new) < 2 or new[-2] >= first:
                scores[first:] = -np.inf
            else:
                scores[:end] = -np.inf
        times = new[new >= first]
        if len(times):
            closes = last_is_time and len(new) >= 2 and new[-2] < first
            scores[first : times[-1] + (0 if closes else 1)] = -np.inf
        if not len(new):
            scores[:first] = -np.inf
            if tokens.latest_start is not None:
                scores[first + tokens.latest_start + 1 :] = -np.inf
        highest = scores[first:].max(initial=-np.inf)
        if highest == -np.inf:
            return
        total = highest + np.log(np.exp(scores[first:] - highest).sum())
        if total > scores[:first].max():
            scores[:first] = -np.inf

    return rule
