"""Lets the runtime's decoders answer the questions that PyTorch answers. Knows no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onnxpress.generation.decoder import Decoder, DecoderModel, EncoderDecoderModel, Perceived
from onnxpress.generation.generate import complete
from onnxpress.generation.settings import GenerationConfig
from onnxpress_exporter.gate.cases import Case, Media, encoded

Logits = NDArray[np.float32]

#: Scores of so many tokens are asked for at once: a row of them has the vocabulary's size.
_AT_ONCE = 64


class Graphs:
    """A model over graphs.

    `start`: the token that a decoder begins with after an encoder; None: there is no encoder.
    """

    def __init__(
        self, model: DecoderModel | EncoderDecoderModel, name: str, start: int | None, ends: Sequence[int]
    ) -> None:
        self._model = model
        self.name = name
        self.start = start
        self._ends = tuple(ends)
        # Of the sound or the picture that was asked for last: to hear or to see it is most of the work.
        self._perceived: tuple[Media, Perceived] | None = None

    @property
    def limit(self) -> int | None:
        """The most tokens of a row."""
        return self._model.limit

    def opened(self, cases: Sequence[Case], more: int = 0) -> Decoder:
        """Empty rows, one for each case, with room for `more` tokens than it has."""
        room = max(len(case.ids) for case in cases) + more
        if self.start is None:
            return self._model.start(len(cases), room)  # type: ignore[union-attr]
        arrays, mask = encoded(cases)
        (media, *others) = (case.source for case in cases)
        if others or not isinstance(media, Media):
            return self._model.read(arrays, room, mask)  # type: ignore[union-attr]
        if self._perceived is None or self._perceived[0] is not media:
            self._perceived = media, self._model.perceive(arrays)  # type: ignore[union-attr]
        return self._perceived[1].decoder([0], room)

    def logits(self, case: Case, last: int | None = None) -> Logits:
        """float32 (tokens, vocabulary): what may follow each of the case's tokens, or of the `last` ones."""
        decoder = self.opened([case])
        count = len(case.ids)
        first = 0 if last is None else max(0, count - last)
        logits: Logits | None = None
        for place in range(0, count, _AT_ONCE):
            part = case.ids[place : place + _AT_ONCE]
            end = place + len(part)
            wanted = min(len(part), max(0, end - first))
            scores = decoder.prefill(0, part, max(1, wanted))
            if wanted:
                # In one array from the start: all scores of a long text are as large as a model.
                if logits is None:
                    logits = np.empty((count - first, scores.shape[1]), scores.dtype)
                logits[end - wanted - first : end - first] = scores
        decoder.close()
        assert logits is not None, "a case has tokens"
        return logits

    def step_logits(self, case: Case) -> None:
        """Asked as a reference, graphs are verified: their rounding is the limits' affair."""

    def write(self, case: Case, count: int, beams: int = 1) -> list[int]:
        """At most `count` tokens by the runtime's own search, without sampling and without rules."""
        decoder = self.opened([case], count)
        config = GenerationConfig(max_new_tokens=count, num_beams=beams, eos_token_id=self._ends)
        texts = None if case.text is None else [case.text]
        (completions,) = complete(decoder, [case.ids], config, texts=texts)
        decoder.close()
        return list(completions[0].ids)
