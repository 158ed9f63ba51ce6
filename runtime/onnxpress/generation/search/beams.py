"""Beam search, and its drawing kin: of each text's continuations the best few are followed. Knows token ids alone.

What is followed, when a text is done and what is returned are as in transformers 5. Rows of the decoder are texts times
beams; a text that is done leaves the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Decoder, Ids, Logits
from onnxpress.generation.events import NO_HOOKS, FinishReason, Generated, Hooks
from onnxpress.generation.largest import Rows
from onnxpress.generation.pool.moves import settled
from onnxpress.generation.prompts import check_prompts, read_together, unread
from onnxpress.generation.requests import check_call
from onnxpress.generation.search.beam_ranking import Ranked, rank
from onnxpress.generation.search.beam_texts import BeamText, beam_texts
from onnxpress.generation.settings import GenerationConfig

Flags = NDArray[np.bool_]


@dataclass(slots=True)
class _Beams:
    """Texts that are not done. `ids` int64 (texts, beams, tokens), each as long as its text; `sums` float32
    (texts, beams) of log-probabilities, best first; `step`: how many tokens were generated."""

    texts: list[BeamText]
    ids: Ids
    sums: Rows
    step: int = 0

    @property
    def ends(self) -> NDArray[np.intp]:
        """int (texts): where each text's next token goes."""
        return np.array([len(text.prompt) + self.step for text in self.texts])


def beam_search(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    config: GenerationConfig,
    *,
    texts: Sequence[Sequence[int]] | None = None,
    hooks: Hooks = NO_HOOKS,
) -> list[list[Generated]]:
    """For each prompt, one row of the decoder each, its `num_return_sequences` best texts, the best first.

    `texts`: what an encoder read. A text's score is the sum of its tokens' log-probabilities over
    (their number) ** length_penalty. Cancelled, what was found so far is returned. `hooks.ended` is asked anew for each
    continuation of each text, which takes time.

    Raises:
        InputError: settings that do not go together, a prompt that is empty or leaves no room, more beams than tokens,
            a constraint.
    """
    check_call(config, hooks)
    if hooks.constraint is not None:
        raise InputError(f"num_beams={config.num_beams} cannot be constrained: set num_beams=1")
    check_prompts(prompts, decoder)
    for row, prompt in enumerate(prompts):
        decoder.mark_prompt(row, len(prompt))
    beams = _begin(beam_texts(prompts, texts, config, decoder.limit, hooks.rules), config.num_beams)
    results: list[list[Generated]] = [[] for _ in prompts]
    while beams.texts:
        if hooks.cancelled is not None and hooks.cancelled():
            for text, ids, sums in zip(beams.texts, beams.ids, beams.sums, strict=True):
                text.stop(ids, sums, beams.step)
                results[text.number] = text.results(config.num_return_sequences)
            break
        ranked = rank(*_scores(decoder, beams), beams.texts, beams.ids, beams.sums, beams.step, config)
        beams = _followed(decoder, beams, ranked, _hits(ranked, beams, config, hooks), config, results)
    return results


def _begin(texts: list[BeamText], beams: int) -> _Beams:
    ids = np.zeros((len(texts), beams, max((len(text.prompt) for text in texts), default=0)), np.int64)
    for number, text in enumerate(texts):
        ids[number, :, : len(text.prompt)] = text.prompt
    # All beams of a text begin alike: the first call's scores are those of one.
    return _Beams(texts, ids, np.zeros((len(texts), 1), np.float32))


def _scores(decoder: Decoder, beams: _Beams) -> tuple[Logits, Rows | None]:
    """Score the next tokens of each beam; with the logarithms of the sums where the decoder returns them."""
    if beams.step:
        last = beams.ids[np.arange(len(beams.texts)), :, beams.ends - 1]
        return decoder.step(last.reshape(-1), normalizers=True), decoder.log_normalizers
    prompts = [text.prompt for text in beams.texts]
    scores = read_together(decoder, prompts, normalizers=True)
    if scores is not None:
        return scores, decoder.log_normalizers
    each = [decoder.prefill(row, unread(decoder, row, prompt)) for row, prompt in enumerate(prompts)]
    return np.concatenate(each), None


def _hits(ranked: Ranked, beams: _Beams, config: GenerationConfig, hooks: Hooks) -> Flags:
    """bool (texts, continuations): which are complete with their new token."""
    hits = np.zeros(ranked.tokens.shape, np.bool_)
    for end in config.ends:
        hits |= ranked.tokens == end
    hits |= np.array([text.most == beams.step + 1 for text in beams.texts])[:, None]
    if hooks.ended is not None:
        for place, text in enumerate(beams.texts):
            for number in np.flatnonzero(~hits[place]):
                ended = hooks.ended(text.number * config.num_return_sequences)
                hits[place, number] = any(
                    ended(token) for token in _written(ranked, beams, text, place, number).tolist()
                )
    return hits


def _written(ranked: Ranked, beams: _Beams, text: BeamText, place: int, number: np.intp) -> Ids:
    """int64 (new tokens): what a continuation has generated."""
    start = len(text.prompt)
    before = beams.ids[place, ranked.beams[place, number], start : start + beams.step]
    return np.append(before, ranked.tokens[place, number])


def _followed(
    decoder: Decoder,
    beams: _Beams,
    ranked: Ranked,
    hits: Flags,
    config: GenerationConfig,
    results: list[list[Generated]],
) -> _Beams:
    """Go one token further: put complete texts aside, follow the best others, note the results of finished texts."""
    width = beams.sums.shape[1]
    sums = np.where(hits, -np.inf, ranked.sums)
    order = np.argsort(-sums, axis=1, kind="stable")[:, : config.num_beams]
    each = np.arange(len(order))[:, None]
    sums = sums[each, order]
    unfinished = _open(beams, ranked, hits, sums[:, 0], config, results)
    following = [unfinished[item] for item in settled(unfinished)]
    texts = [beams.texts[place] for place in following]
    if not following:
        return _Beams(texts, beams.ids[:0], sums[:0], beams.step + 1)
    parents = ranked.beams[each, order][following]
    sources = (parents + np.array(following)[:, None] * width).reshape(-1).tolist()
    if sources != list(range(width * len(beams.texts))):
        decoder.select(sources)
    ids = np.empty((*parents.shape, beams.ids.shape[2] + 1), np.int64)
    ids[:, :, :-1] = beams.ids[np.array(following)[:, None], parents]
    ids[np.arange(len(following)), :, beams.ends[following]] = ranked.tokens[each, order][following]
    return _Beams(texts, ids, sums[following], beams.step + 1)


def _open(
    beams: _Beams, ranked: Ranked, hits: Flags, best: Rows, config: GenerationConfig, results: list[list[Generated]]
) -> list[int]:
    """Which texts go on, once those that are complete are put aside; the others' results are written.

    best: float32 (texts), the best sum that is followed.
    """
    step = beams.step + 1
    following = []
    for place, text in enumerate(beams.texts):
        # Only the best may complete a text: the others are there so that enough can be followed.
        for number in np.flatnonzero(hits[place, : config.num_beams]):
            stopped = step < text.most or ranked.tokens[place, number] in config.ends
            finish: FinishReason = "stop" if stopped else "length"
            text.add(_written(ranked, beams, text, place, number), ranked.sums[place, number], finish)
        if text.closed(best[place], step, config.early_stopping) or hits[place].all():
            results[text.number] = text.results(config.num_return_sequences)
        else:
            following.append(place)
    return following
