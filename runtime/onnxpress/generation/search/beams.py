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


class BeamSearch:
    """The beams of some texts, a token further with each `step`. `results`: of each text that is done its best ones.

    Arguments:
        decoder: a row for each prompt, which holds the beginning of it, or nothing.
        hooks: of each text, its number times `num_return_sequences` to what `ended` is asked.
        texts: what an encoder read.

    Raises:
        InputError: as of `beam_search`.
    """

    def __init__(
        self,
        decoder: Decoder,
        prompts: Sequence[Sequence[int]],
        config: GenerationConfig,
        hooks: Sequence[Hooks],
        texts: Sequence[Sequence[int]] | None = None,
    ) -> None:
        for each in hooks:
            check_call(config, each)
            if each.constraint is not None:
                raise InputError(f"num_beams={config.num_beams} cannot be constrained: set num_beams=1")
        check_prompts(prompts, decoder)
        for row, prompt in enumerate(prompts):
            decoder.mark_prompt(row, len(prompt))
        rules = [each.rules for each in hooks]
        self._decoder, self._config, self._hooks = decoder, config, hooks
        self._beams = _begin(beam_texts(prompts, texts, config, decoder.limit, rules), config.num_beams)
        self.results: list[list[Generated]] = [[] for _ in prompts]
        #: Of each text why nothing came of it, if nothing did.
        self.errors: list[InputError | None] = [None] * len(prompts)

    @property
    def running(self) -> list[int]:
        """The numbers of the texts that are not done."""
        return [text.number for text in self._beams.texts]

    @property
    def tokens(self) -> int:
        """How many tokens the rows of these hold, or will once the prompts are read."""
        return sum(int(end) for end in self._beams.ends) * self._config.num_beams

    def step(self) -> None:
        """Go one token further."""
        beams, config = self._beams, self._config
        ranked = rank(*_scores(self._decoder, beams), beams.texts, beams.ids, beams.sums, beams.step, config)
        self._beams = self._followed(ranked, _hits(ranked, beams, config, self._hooks))

    def abort(self, error: InputError) -> None:
        """End every text: nothing comes of any."""
        for number in self.running:
            self.errors[number] = error
        self._beams = _Beams([], self._beams.ids[:0], self._beams.sums[:0], self._beams.step)

    def stop(self, number: int) -> None:
        """End a text here: what was found so far is its result."""
        beams = self._beams
        places = [place for place, text in enumerate(beams.texts) if text.number != number]
        if len(places) == len(beams.texts):
            return
        place = self.running.index(number)
        text = beams.texts[place]
        text.stop(beams.ids[place], beams.sums[place], beams.step)
        self._finish(text)
        order = [places[item] for item in settled(places)]
        if order:
            width = beams.sums.shape[1]
            self._decoder.select([place * width + beam for place in order for beam in range(width)])
        self._beams = _Beams([beams.texts[place] for place in order], beams.ids[order], beams.sums[order], beams.step)

    def _finish(self, text: BeamText) -> None:
        try:
            self.results[text.number] = text.results(self._config.num_return_sequences)
        except InputError as error:
            self.errors[text.number] = error

    def _followed(self, ranked: Ranked, hits: Flags) -> _Beams:
        """Go one token further: put complete texts aside, follow the best others, note what is finished."""
        beams, config = self._beams, self._config
        width = beams.sums.shape[1]
        sums = np.where(hits, -np.inf, ranked.sums)
        order = np.argsort(-sums, axis=1, kind="stable")[:, : config.num_beams]
        each = np.arange(len(order))[:, None]
        sums = sums[each, order]
        unfinished = self._open(ranked, hits, sums[:, 0])
        following = [unfinished[item] for item in settled(unfinished)]
        texts = [beams.texts[place] for place in following]
        if not following:
            return _Beams(texts, beams.ids[:0], sums[:0], beams.step + 1)
        parents = ranked.beams[each, order][following]
        sources = (parents + np.array(following)[:, None] * width).reshape(-1).tolist()
        if sources != list(range(width * len(beams.texts))):
            self._decoder.select(sources)
        ids = np.empty((*parents.shape, beams.ids.shape[2] + 1), np.int64)
        ids[:, :, :-1] = beams.ids[np.array(following)[:, None], parents]
        ids[np.arange(len(following)), :, beams.ends[following]] = ranked.tokens[each, order][following]
        return _Beams(texts, ids, sums[following], beams.step + 1)

    def _open(self, ranked: Ranked, hits: Flags, best: Rows) -> list[int]:
        """Which texts go on, once those that are complete are put aside; the others' results are noted.

        best: float32 (texts), the best sum that is followed.
        """
        beams, config = self._beams, self._config
        step = beams.step + 1
        following = []
        for place, text in enumerate(beams.texts):
            # Only the best may complete a text: the others are there so that enough can be followed.
            for number in np.flatnonzero(hits[place, : config.num_beams]):
                stopped = step < text.most or ranked.tokens[place, number] in config.ends
                finish: FinishReason = "stop" if stopped else "length"
                text.add(_written(ranked, beams, text, place, number), ranked.sums[place, number], finish)
            if text.closed(best[place], step, config.early_stopping) or hits[place].all():
                self._finish(text)
            else:
                following.append(place)
        return following


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
    search = BeamSearch(decoder, prompts, config, [hooks] * len(prompts), texts)
    while search.running:
        if hooks.cancelled is not None and hooks.cancelled():
            for number in search.running:
                search.stop(number)
        else:
            search.step()
        for error in search.errors:
            if error is not None:
                raise error
    return search.results


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


def _hits(ranked: Ranked, beams: _Beams, config: GenerationConfig, hooks: Sequence[Hooks]) -> Flags:
    """bool (texts, continuations): which are complete with their new token."""
    hits = np.zeros(ranked.tokens.shape, np.bool_)
    for end in config.ends:
        hits |= ranked.tokens == end
    hits |= np.array([text.most == beams.step + 1 for text in beams.texts])[:, None]
    for place, text in enumerate(beams.texts):
        hook = hooks[text.number].ended
        if hook is None:
            continue
        for number in np.flatnonzero(~hits[place]):
            ended = hook(text.number * config.num_return_sequences)
            hits[place, number] = any(ended(token) for token in _written(ranked, beams, text, place, number).tolist())
    return hits


def _written(ranked: Ranked, beams: _Beams, text: BeamText, place: int, number: np.intp) -> Ids:
    """int64 (new tokens): what a continuation has generated."""
    start = len(text.prompt)
    before = beams.ids[place, ranked.beams[place, number], start : start + beams.step]
    return np.append(before, ranked.tokens[place, number])
