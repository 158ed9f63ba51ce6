"""One text of a beam search: what it began with, the best that are complete so far, and whether better can come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from onnxpress.errors import InputError
from onnxpress.generation.decoder import Ids
from onnxpress.generation.events import FinishReason, Generated
from onnxpress.generation.largest import Rows
from onnxpress.generation.rules import Rule
from onnxpress.generation.sampling import random_of, rules_of, warpers_of
from onnxpress.generation.settings import GenerationConfig

NOTHING = -1e9  # the score of a place for a complete text that is empty, as in transformers


@dataclass(slots=True)
class BeamText:
    """`most`: new tokens that it may have; `complete`: at most as many texts as there are beams, the best first."""

    number: int
    prompt: Ids
    most: int
    beams: int
    penalty: float
    rules: list[Rule]
    random: np.random.Generator
    complete: list[Generated] = field(default_factory=list)

    def add(self, ids: Ids, total: np.float32, finish: FinishReason) -> None:
        """Add a complete text: its new tokens, and the sum of their log-probabilities."""
        if total == -np.inf:
            return
        score = float(total / np.float32(max(len(ids), 1) ** self.penalty))
        self.complete.append(Generated(tuple(ids.tolist()), finish, len(self.prompt), None, score))
        # Sorting keeps the order of equal scores: what came first stays.
        self.complete.sort(key=_score, reverse=True)
        del self.complete[self.beams :]

    def closed(self, best: np.float32, step: int, early: object) -> bool:
        """Whether no better text is to be expected of beams whose best sum is `best` after `step` tokens.

        `early` True: when there are as many texts as beams. False: when the best beam, if it ended now, would be worse
        than the worst of them. "never": the same, if it went on to the longest and lost nothing.
        """
        full = len(self.complete) == self.beams
        if full and early is True:
            return True
        length = self.most if early == "never" and self.penalty > 0 else step
        worst = np.float32(_score(self.complete[-1]) if full else NOTHING)
        return not best / np.float32(length**self.penalty) > worst

    def stop(self, ids: Ids, sums: Rows, step: int) -> None:
        """Stop a cancelled search: the beams, int64 (beams, tokens) with sums float32 (beams), count as complete."""
        for beam, total in zip(ids, sums, strict=False):
            self.add(beam[len(self.prompt) : len(self.prompt) + step], total, "cancelled")

    def results(self, count: int) -> list[Generated]:
        """The best.

        Raises:
            InputError: there is none.
        """
        if not self.complete:
            raise InputError("no token may come next: the rules of this call exclude every one")
        return self.complete[:count]


def beam_texts(
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Sequence[int]] | None,
    config: GenerationConfig,
    limit: int | None,
    more: Sequence[Sequence[Rule]],
) -> list[BeamText]:
    """One for each prompt. `more`: of each the rules beside those that the settings ask for.

    Raises:
        InputError: a prompt leaves no room.
    """
    beams = []
    for number, prompt in enumerate(prompts):
        most = config.most_new_tokens(len(prompt), limit)
        rules = [*rules_of(config, len(prompt), most, texts[number] if texts else prompt), *more[number]]
        if config.do_sample:
            rules += warpers_of(config)
        ids = np.array(prompt, np.int64)
        beams.append(BeamText(number, ids, most, config.num_beams, config.length_penalty, rules, random_of(config, 0)))
    return beams


def _score(text: Generated) -> float:
    return text.score if text.score is not None else NOTHING
