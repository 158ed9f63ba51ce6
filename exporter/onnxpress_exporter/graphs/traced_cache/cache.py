"""What a model keeps of the tokens it has read: keys and values, or something that no graph here can hold."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import (
    Cache,
    DummyLayer,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    EncoderDecoderCache,
)

from onnxpress_exporter.errors import TraceError
from onnxpress_exporter.graphs.traced_cache.specs import Kept

#: Layers whose keys and values are those of all tokens, or of the last ones, which a mask can select as well.
_KNOWN = (DynamicLayer, DynamicSlidingWindowLayer)
#: Tokens that a model is asked to read.
_PROBE = ((5, 6, 7), (8, 9, 10))


class GrowingLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values float32 (rows, heads, past, size) of all tokens, also of none.

    A layer with a window has one too: it would drop tokens, but the model's mask hides them all the same.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def get_seq_length(self) -> int:
        """Known from the shape, for an empty past too."""
        assert self.keys is not None
        return self.keys.shape[-2]


def growing(pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Cache:
    """A cache that holds keys and values, one pair for each layer."""
    return Cache(layers=[GrowingLayer(keys, values) for keys, values in pairs])


def pairs_of(cache: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """What a cache holds, layer by layer."""
    return [(layer.keys, layer.values) for layer in cache.layers]


def first_line(error: Exception) -> str:
    """What an error says, without what it shows after it."""
    return f"{(str(error).splitlines() or ['no reason given'])[0]} ({type(error).__name__})"


def kept_by_decoder(model: Any) -> tuple[Kept, ...]:
    """What each layer keeps of a token.

    Raises:
        TraceError: no keys and values, or not in a form that grows with the text.
    """
    _takes_cache(model)
    return _kept(_after(model, input_ids=torch.tensor(_PROBE)))


def kept_after_encoder(model: Any) -> tuple[tuple[Kept, ...], tuple[Kept, ...]]:
    """What each layer of a decoder keeps of its own tokens, and of the encoder's text.

    Raises:
        TraceError: as `kept_by_decoder`.
    """
    _takes_cache(model)
    ids = torch.tensor(_PROBE)
    cache = _after(model, encoder_outputs=_encoded(model, ids), decoder_input_ids=ids[:, :2])
    if not isinstance(cache, EncoderDecoderCache):
        raise TraceError(f"it keeps what it has read as {type(cache).__name__}, not as keys and values of two texts")
    return _kept(cache.self_attention_cache), _kept(cache.cross_attention_cache)


def _takes_cache(model: Any) -> None:
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise TraceError("it takes no keys and values of what it has read before")


def _encoded(model: Any, ids: torch.Tensor) -> Any:
    """What the encoder makes of a text."""
    try:
        return model.get_encoder()(input_ids=ids)
    except Exception as error:
        raise TraceError(f"its encoder cannot read three tokens: {first_line(error)}") from error


def _after(model: Any, **texts: torch.Tensor) -> Any:
    """What a model keeps after reading."""
    try:
        return getattr(model(**texts, use_cache=True), "past_key_values", None)
    except Exception as error:
        raise TraceError(f"it cannot read three tokens: {first_line(error)}") from error


def _kept(cache: Any) -> tuple[Kept, ...]:
    if cache is None:
        raise TraceError("it keeps nothing of what it has read")
    if type(cache) is not DynamicCache:
        raise TraceError(f"it keeps what it has read as {type(cache).__name__}, not as keys and values")
    layers_kept = []
    layers: list[Any] = list(cache.layers)
    while layers and isinstance(layers[-1], DummyLayer):
        layers.pop()  # Gemma 3n's last layers attend to the keys of others
    for number, layer in enumerate(layers):
        if type(layer) not in _KNOWN:
            raise TraceError(
                f"layer {number} keeps a state of another kind than keys and values ({type(layer).__name__})"
            )
        keys, values = layer.keys, layer.values
        if not layer.is_initialized or keys.ndim != 4 or values.ndim != 4 or keys.shape[:3] != values.shape[:3]:
            raise TraceError(f"layer {number} has no keys and values of its own")
        layers_kept.append(Kept(int(keys.shape[1]), int(keys.shape[3]), int(values.shape[3])))
    if not layers_kept:
        raise TraceError("it keeps nothing of what it has read")
    return tuple(layers_kept)
