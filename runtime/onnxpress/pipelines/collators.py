"""How samples become batches: padded token ids, and arrays of one shape that are stacked."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from onnxpress.format.manifest import TensorInfo
from onnxpress.samples import Batch, Sample

#: The input of a graph that is told where the words of tokens stand.
BOXES = "bbox"

#: The axis of token ids, as manifests name it.
SEQUENCE = "sequence"

#: The same, and that of what an encoder reads before a decoder writes, here and in other tools' exports.
SEQUENCES = frozenset((SEQUENCE, "encoder_sequence", "encoder_sequence_length"))


def token_sample(ids: Sequence[int], type_ids: Sequence[int] | None = None, context: object = None) -> Sample:
    """A row of token ids as a sample: `input_ids` and, where they are given, `token_type_ids`, int64 (sequence,)."""
    arrays = {"input_ids": np.array(ids, dtype=np.int64)}
    if type_ids is not None:
        arrays["token_type_ids"] = np.array(type_ids, dtype=np.int64)
    return Sample(arrays, len(ids), context)


def token_ids(sample: Sample) -> list[int]:
    """The ids of a sample of tokens."""
    ids: list[int] = sample.arrays["input_ids"].tolist()
    return ids


@dataclass(frozen=True, slots=True)
class Size:
    """The rows of a batch, and the tokens of a row with its padding; None: any number."""

    rows: int | None
    width: int | None


ANY_SIZE = Size(None, None)


def size_of(tensor: TensorInfo) -> Size:
    """The only size of a batch that an input of a graph takes. The tokens of a row are axis 1 of (batch, sequence)."""
    sizes = [axis if isinstance(axis, int) else None for axis in tensor.axes]
    return Size(*sizes) if len(sizes) == len(("batch", SEQUENCE)) else Size(sizes[0] if sizes else None, None)


@dataclass(frozen=True, slots=True)
class PadTokens:
    """Rows of token ids, the shorter ones filled up with `pad_id`; the cost of a sample is its number of tokens.

    Args:
        names: the inputs of the graph; of input_ids, attention_mask, token_type_ids and bbox, a batch has those in it.
        pads: whether rows of different lengths may share a batch.
        dtypes: those of inputs that are not int64.
        size: of a batch, where the graph takes no other. Rows that are missing are repeated.
    """

    names: tuple[str, ...]
    pad_id: int
    pad_type_id: int = 0
    side: Literal["left", "right"] = "right"
    pads: bool = True
    dtypes: Mapping[str, str] = field(default_factory=dict)
    size: Size = ANY_SIZE

    def key(self, sample: Sample) -> Hashable:
        """Rows of any length share a batch, unless padding changes the model's answers."""
        return None if self.pads else sample.cost

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """All arrays are (batch, sequence), of boxes (batch, sequence, 4), int64 but for `dtypes`."""
        if len(samples) == 1 and self.size == ANY_SIZE:
            return self._typed(self._alone(samples[0]))
        lengths = [sample.cost for sample in samples]
        width = self.size.width or max(lengths)
        spans = tuple(slice(0, n) if self.side == "right" else slice(width - n, width) for n in lengths)
        fills = {"input_ids": self.pad_id, "attention_mask": 0, "token_type_ids": self.pad_type_id, BOXES: 0}
        corners = {BOXES: (4,)}
        arrays = {
            name: np.full((self.size.rows or len(samples), width, *corners.get(name, ())), fills[name], dtype=np.int64)
            for name in self.names
            if name in fills
        }
        unpadded = {"attention_mask": 1, "token_type_ids": 0}  # where the sample has no such array
        for name, array in arrays.items():
            for row, sample, span in zip(array, samples, spans, strict=False):
                row[span] = sample.arrays[name] if name in sample.arrays else unpadded[name]
            array[len(samples) :] = array[0]
        return self._typed(Batch(tuple(samples), arrays, SEQUENCE, spans))

    def _typed(self, batch: Batch) -> Batch:
        if not self.dtypes:
            return batch
        return replace(
            batch,
            arrays={name: array.astype(self.dtypes.get(name, array.dtype)) for name, array in batch.arrays.items()},
        )

    def _alone(self, sample: Sample) -> Batch:
        """A batch of one sample, which needs no padding: the arrays are those of the sample, not copied."""
        row, arrays = sample.arrays["input_ids"][None], {}
        unpadded = {"attention_mask": np.ones_like, "token_type_ids": np.zeros_like}
        for name in self.names:
            if name in sample.arrays:
                arrays[name] = sample.arrays[name][None]
            elif name in unpadded:
                arrays[name] = unpadded[name](row)
        return Batch((sample,), arrays, SEQUENCE, (slice(0, sample.cost),))


@dataclass(frozen=True, slots=True)
class Stack:
    """Arrays of one shape, such as pictures of one size, one above the other.

    Args:
        pads: smaller ones are filled up with zeros at the ends of their axes. Only for a graph that a mask among the
            arrays tells what is filled up, and whose answers are then those of the sample alone.
        rows: of a batch, where the graph takes no other number. Those that are missing are repeated.
        dtypes: those of inputs that the graph takes in another than they come in.
    """

    pads: bool = False
    rows: int | None = None
    dtypes: Mapping[str, str] = field(default_factory=dict)

    def key(self, sample: Sample) -> Hashable:
        """Only arrays of equal shapes and dtypes can be stacked; where they are padded, all."""
        if self.pads:
            return None
        return tuple(sorted((name, array.shape, array.dtype.str) for name, array in sample.arrays.items()))

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Each array of a sample (...) becomes one of (batch, ...)."""
        all_rows = list(samples)
        all_rows += all_rows[:1] * (0 if self.rows is None else self.rows - len(samples))
        arrays = {name: self._stacked([sample.arrays[name] for sample in all_rows]) for name in samples[0].arrays}
        for name, dtype in self.dtypes.items():
            arrays[name] = arrays[name].astype(dtype)
        return Batch(tuple(samples), arrays)

    def _stacked(self, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
        if not self.pads or len({array.shape for array in arrays}) == 1:
            return np.stack(arrays)
        largest = [max(sizes) for sizes in zip(*(array.shape for array in arrays), strict=True)]
        stacked = np.zeros((len(arrays), *largest), arrays[0].dtype)
        for row, array in zip(stacked, arrays, strict=True):
            row[tuple(map(slice, array.shape))] = array
        return stacked


@dataclass(frozen=True, slots=True)
class Together:
    """Samples of tokens and of something else, such as a picture: each part as its own collator has it."""

    tokens: PadTokens
    others: Stack

    def key(self, sample: Sample) -> Hashable:
        """Samples whose tokens can be padded to one length, and whose other arrays can be stacked."""
        return self.tokens.key(self._tokens(sample)), self.others.key(self._rest(sample))

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Arrays of both; what is padded are the tokens."""
        batch = self.tokens.collate([self._tokens(sample) for sample in samples])
        stacked = self.others.collate([self._rest(sample) for sample in samples])
        return replace(batch, samples=tuple(samples), arrays={**batch.arrays, **stacked.arrays})

    def _tokens(self, sample: Sample) -> Sample:
        arrays = {name: array for name, array in sample.arrays.items() if name in self.tokens.names}
        return replace(sample, arrays=arrays, cost=len(arrays["input_ids"]))

    def _rest(self, sample: Sample) -> Sample:
        return replace(sample, arrays={n: array for n, array in sample.arrays.items() if n not in self.tokens.names})
