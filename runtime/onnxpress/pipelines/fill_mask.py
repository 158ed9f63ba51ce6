"""fill-mask: the most probable tokens for each masked place of a text."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict, overload

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import InputError
from onnxpress.math import softmax, top_k
from onnxpress.pipelines.base import Outputs, Pipeline
from onnxpress.pipelines.batching import Prepared
from onnxpress.pipelines.text_processor import TextProcessor, check_arguments
from onnxpress.samples import Batch
from onnxpress.text.tokenizer import Encoding, Truncation


class Filling(TypedDict):
    """One token in place of the mask: its probability, id and text, and the whole text with it."""

    score: float
    token: int
    token_str: str
    sequence: str


@dataclass(frozen=True, slots=True)
class FillMaskOptions:
    """`targets`: a word or a list of words to choose among. Scores stay probabilities over the whole vocabulary. Of a
    word that is not in the vocabulary its first token is taken, with a warning."""

    top_k: int = 5
    targets: str | Sequence[str] | None = None
    tokenizer_kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.top_k, (int, np.integer)) or isinstance(self.top_k, bool) or self.top_k < 1:
            raise InputError(f"top_k is {self.top_k!r}; it must be a positive integer.")
        if self.targets is not None:
            words = [self.targets] if isinstance(self.targets, str) else self.targets
            if not isinstance(words, (list, tuple)) or not all(isinstance(word, str) for word in words):
                raise InputError(f"targets must be a text or a list of texts, not {self.targets!r:.60}.")
        check_arguments(self.tokenizer_kwargs, "tokenizer_kwargs")


@dataclass(frozen=True, slots=True)
class Candidates:
    """The best tokens for one masked place, best first: ids and probabilities, both (top_k,)."""

    ids: NDArray[np.int64]
    scores: NDArray[Any]


class FillMask(Pipeline[FillMaskOptions, TextProcessor]):
    """`pipe("Paris is the [MASK] of France.")` -> a list of `Filling`; with several masks, one list for each.

    The scores of several masks are independent of each other. A list of one text gives what that text alone gives.
    """

    options_type = FillMaskOptions
    processor_type = TextProcessor

    @overload
    def __call__(self, inputs: Any, *, on_error: Literal["return"], **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: str, **options: Any) -> list[Filling] | list[list[Filling]]: ...
    @overload
    def __call__(self, inputs: Any, **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """A list for one mask; of several masks a list for each."""
        result = super().__call__(inputs, **options)
        return result[0] if isinstance(inputs, list) and len(inputs) == 1 else result

    def prepare(self, item: Any, options: FillMaskOptions) -> Prepared[Sequence[int]]:
        mask = self._mask_id()
        return self._prepared(item, self.processor.encode(item, options.tokenizer_kwargs), mask)

    def prepare_many(self, items: Sequence[Any], options: FillMaskOptions) -> list[Prepared[Sequence[int]]]:
        mask = self._mask_id()
        encodings = self.processor.encode_many(items, options.tokenizer_kwargs)
        return [self._prepared(item, encoding, mask) for item, encoding in zip(items, encodings, strict=True)]

    def foresee(self, item: Any, options: FillMaskOptions) -> int | None:
        return self.processor.foresee(item)

    def _prepared(self, item: Any, encoding: Encoding, mask: int) -> Prepared[Sequence[int]]:
        sample = self.processor.sample_of(encoding, [i for i, token in enumerate(encoding.ids) if token == mask])
        if not sample.context:
            word = self.processor.tokenizer.token(mask)
            raise InputError(
                f"There is no {word} in the text {item!r:.60} (or truncation cut it off). Put "
                "one where a word is to be filled in."
            )
        return Prepared((sample,), encoding.ids)

    def reduce(self, batch: Batch, outputs: Outputs, options: FillMaskOptions) -> list[list[Candidates]]:
        """Only the masked places are looked at: a row of the vocabulary is far larger than its best few."""
        targets = self._target_ids(options.targets)
        logits = outputs[self.answer_name]
        return [
            [
                _best(softmax(logits[index, batch.span(index).start + place]), targets, options.top_k)
                for place in sample.context
            ]
            for index, sample in enumerate(batch.samples)
        ]

    def finish(self, context: Sequence[int], values: list[Any], options: FillMaskOptions) -> Any:
        mask = self._mask_id()
        places = [place for place, token in enumerate(context) if token == mask]
        single = len(places) == 1
        filled = [
            [
                self._filling(context, place, int(token), float(score), single)
                for token, score in zip(best.ids, best.scores, strict=True)
            ]
            for place, best in zip(places, values[0], strict=True)
        ]
        return filled[0] if single else filled

    def _filling(self, ids: Sequence[int], place: int, token: int, score: float, single: bool) -> Filling:
        text = [*ids[:place], token, *ids[place + 1 :]]
        pad, tokenizer = self.processor.settings.pad_token_id, self.processor.tokenizer
        # With one mask the special tokens are left out; with more, the other masks have to stay visible.
        sequence = tokenizer.decode([number for number in text if number != pad], skip_special_tokens=single)
        return Filling(score=score, token=token, token_str=tokenizer.decode([token]), sequence=sequence)

    def _mask_id(self) -> int:
        mask = self.processor.tokenizer.special("mask")
        if mask is None:
            raise InputError(f"{self.artifact.folder}: its tokenizer has no mask token, so there is nothing to fill.")
        return mask

    def _target_ids(self, targets: str | Sequence[str] | None) -> NDArray[np.int64] | None:
        """The ids to choose among, each once, in increasing order; None: all.

        Raises:
            InputError: no target has any token.
        """
        if targets is None:
            return None
        words = [targets] if isinstance(targets, str) else targets
        ids = {token for word in words if (token := self._target_id(word)) is not None}
        if not ids:
            raise InputError("targets has no word that this model has a token for. Pass at least one.")
        return np.array(sorted(ids), dtype=np.int64)

    def _target_id(self, word: str) -> int | None:
        tokenizer = self.processor.tokenizer
        token = tokenizer.token_id(word)
        if token is not None:
            return token
        pieces = tokenizer.encode(word, truncation=Truncation(1), special_tokens=False).ids
        instead = f"its first token, {tokenizer.token(pieces[0])!r}, is taken" if pieces else "it is left out"
        warnings.warn(f"The target {word!r} is not in the vocabulary; {instead}.", UserWarning, stacklevel=2)
        return pieces[0] if pieces else None


def _best(probabilities: NDArray[Any], targets: NDArray[np.int64] | None, count: int) -> Candidates:
    if targets is None:
        ids = top_k(probabilities, count).astype(np.int64)
    else:
        ids = targets[top_k(probabilities[targets], count)]
    return Candidates(ids, probabilities[ids])
