"""The rules that a call's settings ask for, in transformers' order; how its tokens are drawn; what is told of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onnxpress.generation import rules as rule
from onnxpress.generation.drawing import Draw, DrawKind
from onnxpress.generation.largest import best_places
from onnxpress.generation.rules import Rule, Scores
from onnxpress.generation.settings import GenerationConfig
from onnxpress.generation.structured.constraints import Constraint

#: Tokens and the natural logarithms of their probabilities, the likeliest first.
Best = tuple[tuple[int, float], ...]


def rules_of(
    config: GenerationConfig, prompt: int, most: int, read: Sequence[int], constraint: Constraint | None = None
) -> list[Rule]:
    """The rules of one row, in the order in which they apply; none where a plain search has none.

    `prompt`: how many tokens it has; `most`: how many may follow; `read`: the encoder's text, or else the prompt.
    """
    rules: list[Rule] = []
    if config.repetition_penalty != 1:
        rules.append(rule.repetition_penalty(config.repetition_penalty))
    if config.presence_penalty or config.frequency_penalty:
        rules.append(rule.occurrence_penalty(config.presence_penalty, config.frequency_penalty))
    if config.no_repeat_ngram_size:
        rules.append(rule.no_repeated_ngram(config.no_repeat_ngram_size))
    if config.encoder_no_repeat_ngram_size:
        rules.append(rule.not_again(read, config.encoder_no_repeat_ngram_size))
    words = [word for word in config.bad_words_ids if word not in {(end,) for end in config.eos_token_id}]
    if words:
        rules.append(rule.no_words(words))
    least = config.least_new_tokens(prompt)
    if least and config.ends:
        rules.append(rule.not_before(least, config.ends))
    if config.forced_bos_token_id is not None and prompt == 1:
        rules.append(rule.forced(0, [config.forced_bos_token_id]))
    if config.forced_eos_token_id:
        rules.append(rule.forced(most - 1, config.forced_eos_token_id))
    if config.remove_invalid_values:
        rules.append(rule.numbers_only())
    if config.suppress_tokens:
        rules.append(rule.never(config.suppress_tokens))
    if config.begin_suppress_tokens:
        after_forced = int(prompt == 1 and config.forced_bos_token_id is not None)
        rules.append(rule.never(config.begin_suppress_tokens, place=after_forced))
    if constraint is not None:
        rules.append(lambda written, scores: constraint.restrict(scores))
    return rules


def warpers_of(config: GenerationConfig) -> list[Rule]:
    """The rules that only drawing has; they read no text. A beam keeps a token more than those that end it."""
    least = 1 if config.num_beams == 1 else max(1, len(config.ends)) + 1
    rules: list[Rule] = []
    if config.temperature != 1:
        rules.append(rule.temperature(config.temperature))
    if config.top_k:
        rules.append(rule.top_k(max(config.top_k, least)))
    if config.top_p < 1:
        rules.append(rule.top_p(config.top_p, least))
    if config.min_p:
        rules.append(rule.min_p(config.min_p, least))
    if config.typical_p < 1:
        rules.append(rule.typical_p(config.typical_p, least))
    return rules


def draw_of(config: GenerationConfig, which: int) -> Draw | None:
    """The way to draw text number `which` of a prompt; None where it is not drawn.

    Draws depend on the seed and on `which` alone, so a prompt is continued the same way alone and in a batch.
    """
    if not config.do_sample:
        return None
    kind = DrawKind(config.top_k, config.temperature, config.top_p, config.min_p or 0.0, config.typical_p)
    return Draw(random_of(config, which), kind)


def random_of(config: GenerationConfig, which: int) -> np.random.Generator:
    """A generator, seeded with the call's seed and the number of the text in its prompt; without a seed, by chance."""
    return np.random.default_rng(None if config.seed is None else [config.seed, which])


def logprob_of(scores: Scores, token: int) -> float:
    """The natural logarithm of a token's probability."""
    highest = scores.max()
    return float(scores[token] - highest - np.log(np.exp(scores - highest).sum()))


def best_logprobs(scores: Scores, count: int) -> Best:
    """The likeliest tokens with the natural logarithms of their probabilities, by float32 (vocabulary) scores."""
    places = best_places(scores, count)
    places = places[np.argsort(-scores[places], kind="stable")]
    highest = scores.max()
    logarithm = np.log(np.exp(scores - highest).sum())
    # In the order in which `logprob_of` subtracts: the same token has the same number in both.
    return tuple((int(place), float(scores[place] - highest - logarithm)) for place in places)
