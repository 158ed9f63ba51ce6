"""The forms in which models take and return what they keep of the tokens they have read: as named entries.

`Layers` is transformers' own, keys and values among it; the others are of models with a form of their own.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from transformers.cache_utils import (
    Cache,
    DummyLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionLayer,
)

from onnxpress_exporter.errors import TraceError
from onnxpress_exporter.graphs.traced_cache.cache import GrowingLayer

#: What transformers calls a cache, in a model's arguments and outputs.
_CACHES = ("past_key_values", "cache_params", "state")


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor that a layer keeps, float32 (rows, *shape); `axes` name it so in a spec."""

    layer: int
    kind: str
    axes: tuple[int | str, ...]

    @property
    def name(self) -> str:
        return f"{self.layer}.{self.kind}"

    def zeros(self) -> torch.Tensor:
        """Of a row without tokens."""
        return torch.zeros(1, *(0 if isinstance(axis, str) else axis for axis in self.axes))


Kept = Mapping[Entry, torch.Tensor]


class Form(Protocol):
    """How a model is given entries, and where they are after it has read on."""

    @staticmethod
    def entries(memory: Any) -> tuple[Entry, ...]:
        """Describe what a model has returned, in order.

        Raises:
            TraceError: something in it is of no known kind.
        """

    @staticmethod
    def give(memory: Kept) -> Any:
        """Put entries into what the model takes; copies, as models write into what they are given."""

    @staticmethod
    def take(held: Any, entries: Sequence[Entry]) -> list[torch.Tensor]:
        """The entries in what the model was given, after it has read."""


def cache_argument(model: Any) -> str | None:
    """What the model calls its cache; None: it takes none."""
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in _CACHES if name in parameters), None)


def form_of(memory: Any) -> type[Form]:
    """The form of what a model has returned.

    Raises:
        TraceError: no known one.
    """
    if isinstance(memory, Cache):
        return Layers
    if isinstance(getattr(memory, "rnn_state", None), Mapping):
        return Tuples
    if isinstance(memory, list) and len(memory) == Columns.COUNT:
        return Columns
    raise TraceError(f"it keeps what it has read as {type(memory).__name__}, not as transformers' layers of a cache")


class Layers:
    """Transformers' layers of a cache. Implements `Form`."""

    @staticmethod
    def entries(memory: Any) -> tuple[Entry, ...]:
        return tuple(entry for number, layer in enumerate(memory.layers) for entry in _of_layer(number, layer))

    @staticmethod
    def give(memory: Kept) -> Cache:
        layers = 1 + max((entry.layer for entry in memory), default=-1)
        by_layer: list[dict[str, torch.Tensor]] = [{} for _ in range(layers)]
        for entry, tensor in memory.items():
            by_layer[entry.layer][entry.kind] = tensor
        return Cache(layers=[_layer(tensors) for tensors in by_layer])

    @staticmethod
    def take(held: Any, entries: Sequence[Entry]) -> list[torch.Tensor]:
        return [_tensor(held.layers[entry.layer], entry.kind) for entry in entries]


class Columns:
    """RWKV's list of five tensors (rows, size, layers): one entry for each of them and each layer. Implements `Form`.

    Of the first two, the last token's states, the model makes one token's (rows, 1, size) only where there is one row.
    """

    COUNT = 5
    _SHIFTED = (0, 1)
    _SUM, _LARGEST = 3, 4
    #: The largest exponent before the first token: so low that nothing is left of what is scaled by it.
    _NOTHING = -6e4

    @staticmethod
    def entries(memory: Any) -> tuple[Entry, ...]:
        return tuple(
            Entry(layer, f"recurrent{place}", (int(tensor.shape[1]),))
            for layer in range(memory[0].shape[2])
            for place, tensor in enumerate(memory)
        )

    @classmethod
    def give(cls, memory: Kept) -> list[_Column]:
        columns = [_Column(place in cls._SHIFTED) for place in range(cls.COUNT)]
        for entry, tensor in memory.items():
            columns[int(entry.kind[-1])].of_layer[entry.layer] = tensor
        largest = columns[cls._LARGEST].of_layer
        for layer, total in columns[cls._SUM].of_layer.items():
            # A sum of exponentials is 0 before the first token alone.
            largest[layer] = torch.where(total == 0, cls._NOTHING, largest[layer])
        return columns

    @staticmethod
    def take(held: Any, entries: Sequence[Entry]) -> list[torch.Tensor]:
        return [held[int(entry.kind[-1])].of_layer[entry.layer] for entry in entries]


class _Column:
    """Stands for a tensor (rows, size, layers) of which the model reads and writes one layer at a time."""

    def __init__(self, shifted: bool) -> None:
        self.of_layer: dict[int, torch.Tensor] = {}
        self._shifted = shifted

    def __getitem__(self, place: tuple[slice, slice, int]) -> torch.Tensor:
        tensor = self.of_layer[place[2]]
        return tensor.unsqueeze(1) if self._shifted else tensor

    def __setitem__(self, place: tuple[slice, slice, int], tensor: torch.Tensor) -> None:
        self.of_layer[place[2]] = tensor


class Tuples:
    """xLSTM's tuples of tensors, one for each layer. Implements `Form`."""

    @staticmethod
    def entries(memory: Any) -> tuple[Entry, ...]:
        return tuple(
            Entry(layer, f"recurrent{place}", tuple(map(int, tensor.shape[1:])))
            for layer, tensors in memory.rnn_state.items()
            for place, tensor in enumerate(tensors)
        )

    @staticmethod
    def give(memory: Kept) -> SimpleNamespace:
        states: dict[int, list[torch.Tensor]] = {}
        for entry, tensor in memory.items():
            states.setdefault(entry.layer, []).append(tensor.clone())
        return SimpleNamespace(rnn_state=states, seqlen_offset=0)

    @staticmethod
    def take(held: Any, entries: Sequence[Entry]) -> list[torch.Tensor]:
        return [held.rnn_state[entry.layer][int(entry.kind[-1])] for entry in entries]


def _of_layer(number: int, layer: Any) -> list[Entry]:
    layer_entries = []
    if not isinstance(layer, LinearAttentionLayer | DynamicLayer | DummyLayer):
        raise TraceError(f"layer {number} keeps a state of an unknown kind ({type(layer).__name__})")
    if isinstance(layer, LinearAttentionLayer):
        for kind, states in (("conv", layer.conv_states), ("recurrent", layer.recurrent_states)):
            for place, state in states.items():
                if state is not None:
                    layer_entries.append(Entry(number, f"{kind}{place}", tuple(map(int, state.shape[1:]))))
    keys = getattr(layer, "keys", None)
    if keys is not None and keys.ndim == 4:
        if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionAndFullAttentionLayer):
            raise TraceError(f"layer {number} keeps keys of an unknown kind ({type(layer).__name__})")
        tensors: dict[str, Any] = {"key": keys, "value": getattr(layer, "values", None)}
        for kind, tensor in tensors.items():
            layer_entries.append(Entry(number, kind, (int(tensor.shape[1]), "past", int(tensor.shape[3]))))
    return layer_entries


def _layer(tensors: dict[str, torch.Tensor]) -> Any:
    """A layer of a cache that holds these tensors."""
    if not tensors:
        return DummyLayer()  # type: ignore[no-untyped-call]
    if tensors.keys() == {"key", "value"}:
        return GrowingLayer(tensors["key"], tensors["value"])
    count = 1 + max(int(kind[-1]) for kind in tensors if kind not in ("key", "value"))
    layer: Any = (_GrowingHybrid if "key" in tensors else LinearAttentionLayer)(number_of_states=count)
    for kind, tensor in tensors.items():
        if kind in ("key", "value"):
            layer.dtype, layer.device, layer.is_initialized = tensor.dtype, tensor.device, True
            setattr(layer, f"{kind}s", tensor)
            continue
        place, states = int(kind[-1]), kind[:-1]
        # Steps write into states, which inputs of a graph may not be.
        getattr(layer, f"{states}_states")[place] = tensor.clone()
        getattr(layer, f"is_{states}_states_initialized")[place] = True
        layer.has_previous_state[place] = True
        layer.dtype, layer.device = tensor.dtype, tensor.device
        if states == "conv":
            layer.conv_kernel_size[place] = tensor.shape[-1]
    return layer


class _GrowingHybrid(LinearAttentionAndFullAttentionLayer):  # type: ignore[no-untyped-call]
    """A state, and keys and values of all tokens, also of none."""

    def get_seq_length(self) -> int:
        assert self.keys is not None
        return self.keys.shape[-2]


def _tensor(layer: Any, kind: str) -> torch.Tensor:
    tensor: torch.Tensor
    if kind in ("key", "value"):
        tensor = getattr(layer, f"{kind}s")
    else:
        tensor = getattr(layer, f"{kind[:-1]}_states")[int(kind[-1])]
    return tensor
