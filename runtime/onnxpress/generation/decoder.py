"""What a search needs of a model: slots of tokens that are read once and remembered.

Implemented over graphs with a shared cache, over graphs with a growing one, and in tests over PyTorch. Knows no search,
no sampling and no text.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxpress.generation.pool.blocks import KeptBlocks

Logits = NDArray[np.float32]
Ids = NDArray[np.int64]


class Decoder(Protocol):
    """Rows of tokens that were read, each in a slot, numbered from 0 on, with its past. Not for several threads.

    A row joins by `admit`, reads its prompt in chunks by `prefill`, and continues by `step`; `select` removes rows,
    multiplies them and moves them to other slots.
    """

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens that each row has."""

    @property
    def limit(self) -> int | None:
        """The most tokens that a row may have; None: no limit."""

    @property
    def admits(self) -> bool:
        """Whether rows may join. After an encoder they may not: a row's text was read with the others' texts."""

    @property
    def steps_uneven(self) -> bool:
        """Whether rows of different lengths may take a step together."""

    @property
    def log_normalizers(self) -> Logits | None:
        """float32 (rows): the logarithm of the sum of the exponentials of each row that the last `step` returned.

        In a buffer that the next call writes over. None: it was not asked for, or the model does not tell it.
        """

    def admit(self) -> int:
        """Add an empty row after the others; its slot. Only where `admits`."""

    def recall(self, row: int, ids: Ids) -> None:
        """Give an empty row the longest beginning of `ids` int64 (tokens) that was read before, if it is of use.

        A hint that `prefill` gets chunks of a prompt that begins so. `lengths` tells how much there was.
        """

    def mark_prompt(self, row: int, tokens: int, owner: Hashable = 0) -> None:
        """Tell how many of a row's first tokens are its prompt, and not written: some models read these otherwise.

        All of them, where it is not told. Rows made of this one have as many. `owner`: whose row it is; of what others
        have read nothing is of use to it.
        """

    def prefill(self, row: int, ids: Sequence[int] | Ids, keep: int = 1) -> Logits:
        """Append tokens, at least one, to one row.

        Returns float32 (keep, vocabulary): what may follow each of the last `keep` of them. A copy.
        """

    def step(self, ids: Ids, normalizers: bool = False) -> Logits:
        """Append one token to each of the first rows: ids int64 (rows). `normalizers`: are `log_normalizers` wanted?

        Returns float32 (rows, vocabulary), in a buffer that the next call writes over; the caller may change it.
        """

    def truncate(self, row: int, length: int) -> None:
        """Forget a row's tokens from `length` on."""

    def select(self, sources: Sequence[int]) -> None:
        """Row i becomes what row sources[i] was; there are len(sources) rows then.

        After an encoder, rows of one text stand side by side, the same number for each text.
        """

    def close(self) -> None:
        """Free the memory."""


class DecoderModel(Protocol):
    """A decoder-only model."""

    @property
    def limit(self) -> int | None:
        """The most tokens that a row may have."""

    def start(
        self, rows: int, expected_tokens: int, store: KeptBlocks | None = None, *, steady: bool = False
    ) -> Decoder:
        """Empty rows, with room for so many tokens at first.

        steady: what a row comes to shall not depend on how many others there are, not even by rounding.
        store: where rows look for what others have read and leave what they have; a kind that keeps nothing ignores it.
        """


class EncoderDecoderModel(Protocol):
    """A model that reads a text, a picture or a sound whole, and then writes."""

    @property
    def limit(self) -> int | None:
        """The most tokens that a row may have."""

    def encode(self, input_ids: Ids, attention_mask: Ids, expected_tokens: int, **more: NDArray[Any]) -> Decoder:
        """Read texts, int64 (texts, encoder_sequence) both; one empty row for each, which `select` multiplies."""

    def read(
        self,
        inputs: Mapping[str, NDArray[Any]],
        expected_tokens: int,
        mask: Ids | None = None,
        at_once: int | None = None,
    ) -> Decoder:
        """The same of what the encoder's graph takes, by its names, such as pictures, (texts, ...) each.

        Args:
            mask: int64 (texts, encoder_sequence), what the decoder's rows see of it; None: all.
            at_once: texts that are read side by side at most; None: all. The decoder writes about all of them.
        """

    def perceive(self, inputs: Mapping[str, NDArray[Any]]) -> Perceived:
        """As `read`, once for several decoders."""


class Perceived(Protocol):
    """What an encoder has read: texts, pictures or sounds, each of which is a row."""

    def decoder(self, rows: Sequence[int], expected_tokens: int, *, last: bool = False) -> Decoder:
        """Empty rows that write about these; several decoders may. `last`: these rows are asked for nothing after it,
        so that nothing is copied where texts end."""

    def follow(self, row: int, ids: Sequence[int], first: int) -> Mapping[str, NDArray[Any]]:
        """Read a text about one of them at once; every output of the decoder's graph by name, scores from token number
        `first` on: "logits" float32 (1, tokens, vocabulary)."""

    def keys(self, row: int, layer: int) -> NDArray[np.float32]:
        """float32 (heads, places, size): what a layer of the decoder compares with."""
