"""Models that keep a state of fixed shape in some layers or all, and models that keep nothing: what is traced of them.

A state is traced one token at a time: loops over the tokens of a text are Python's, of a length that tracing fixes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import (
    Cache,
    DummyLayer,
    DynamicLayer,
    DynamicSlidingWindowLayer,
    LinearAttentionAndFullAttentionLayer,
    LinearAttentionLayer,
)

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.errors import TraceError
from onnxpress_exporter.graphs.names import DECODER
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.graphs.traced_cache.cache import GrowingLayer, first_line
from onnxpress_exporter.graphs.traced_cache.modules import Tensors, chosen_scores, positions, vocabulary

#: What transformers calls a cache, in a model's arguments and outputs.
_CACHES = ("past_key_values", "cache_params")
_PAST, _PRESENT = "past_key_values", "present"
#: Tokens that a model reads whole and in pieces; of the range of scores: what two orders of adding up may differ in.
_PROBE = (5, 11, 7, 8, 13, 6)
_ROUNDING = 1e-4


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


class _GrowingHybrid(LinearAttentionAndFullAttentionLayer):  # type: ignore[no-untyped-call]
    """A state, and keys and values of all tokens, also of none."""

    def get_seq_length(self) -> int:
        assert self.keys is not None
        return self.keys.shape[-2]


def cache_argument(model: Any) -> str | None:
    """What the model calls its cache; None: it takes none."""
    parameters = inspect.signature(model.forward).parameters
    return next((name for name in _CACHES if name in parameters), None)


def keeps_states(model: Any) -> bool:
    """Whether some layer keeps a state instead of keys and values; what is neither is left to who traces it."""
    name = cache_argument(model)
    if name != "past_key_values":
        return True
    try:
        cache = getattr(model(torch.tensor([_PROBE]), use_cache=True), name, None)
    except Exception:  # said by `kept_by_decoder`, in its own words
        return False
    return any(isinstance(layer, LinearAttentionLayer) for layer in getattr(cache, "layers", ()))


def entries(model: Any) -> tuple[Entry, ...]:
    """What each layer keeps, in order.

    Raises:
        TraceError: something that is neither keys and values nor a state of transformers' own layers.
    """
    name = cache_argument(model)
    try:
        cache = None if name is None else getattr(model(torch.tensor([_PROBE]), use_cache=True), name, None)
    except Exception as error:
        raise TraceError(f"it cannot read {len(_PROBE)} tokens: {first_line(error)}") from error
    if not isinstance(cache, Cache):
        raise TraceError(f"it keeps what it has read as {type(cache).__name__}, not as transformers' layers of a cache")
    layers: list[Any] = cache.layers
    return tuple(entry for number, layer in enumerate(layers) for entry in _of_layer(number, layer))


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


class Step(torch.nn.Module):
    """One token after a state: takes and returns what `step_spec` says."""

    def __init__(self, model: Any, entries: Sequence[Entry]) -> None:
        super().__init__()
        self.checkpoint = model
        self.entries = tuple(entries)
        self.layers = 1 + max((entry.layer for entry in entries), default=-1)
        self.cache = cache_argument(model) or ""

    @property
    def config(self) -> Any:
        """Of the model: the tracer asks how attention is computed."""
        return self.checkpoint.config

    def set_attn_implementation(self, name: str) -> None:
        """Of the model."""
        self.checkpoint.set_attn_implementation(name)

    def read(self, ids: Sequence[int]) -> torch.Tensor:
        """Scores after each token of a text, float32 (1, tokens, vocabulary)."""
        past = {f"{_PAST}.{entry.name}": entry.zeros() for entry in self.entries}
        scores = []
        for place, token in enumerate(ids):
            where = {"position_ids": torch.tensor([[place]])} if positions(self.checkpoint) else {}
            outputs = self(input_ids=torch.tensor([[token]]), **where, **past)
            scores.append(outputs.pop("logits"))
            past = {name.replace(_PRESENT, _PAST, 1): tensor for name, tensor in outputs.items()}
        return torch.cat(scores, 1)

    def forward(self, **tensors: torch.Tensor) -> Tensors:
        by_layer: list[dict[str, torch.Tensor]] = [{} for _ in range(self.layers)]
        for entry in self.entries:
            by_layer[entry.layer][entry.kind] = tensors.pop(f"{_PAST}.{entry.name}")
        cache = Cache(layers=[_layer(states) for states in by_layer])
        outputs = self.checkpoint(**tensors, **{self.cache: cache}, use_cache=True)
        layers: list[Any] = cache.layers
        present = {f"{_PRESENT}.{entry.name}": _tensor(layers[entry.layer], entry.kind) for entry in self.entries}
        return {"logits": outputs.logits, **present}


def _tensor(layer: Any, kind: str) -> torch.Tensor:
    tensor: torch.Tensor
    if kind in ("key", "value"):
        tensor = getattr(layer, f"{kind}s")
    else:
        tensor = getattr(layer, f"{kind[:-1]}_states")[int(kind[-1])]
    return tensor


def step_spec(model: Any, entries: Sequence[Entry]) -> GraphSpec:
    """A decoder that reads one token of each row."""
    inputs = [TensorInfo("input_ids", "int64", ("rows", 1))]
    if positions(model):
        inputs.append(TensorInfo("position_ids", "int64", ("rows", 1)))
    inputs += [TensorInfo(f"{_PAST}.{entry.name}", "float32", ("rows", *entry.axes)) for entry in entries]
    outputs = [TensorInfo("logits", "float32", ("rows", 1, vocabulary(model)))]
    for entry in entries:
        axes = tuple("total" if axis == "past" else axis for axis in entry.axes)
        outputs.append(TensorInfo(f"{_PRESENT}.{entry.name}", "float32", ("rows", *axes)))
    return GraphSpec(DECODER, tuple(inputs), tuple(outputs), "decoder")


def check_steps(step: Step) -> None:
    """Make sure that a text read token by token, from zeros on, has the scores of the text read whole.

    Raises:
        TraceError: it has not.
    """
    try:
        scores = step.read(_PROBE)
    except Exception as error:
        raise TraceError(f"it does not run token by token: {first_line(error)}") from error
    whole = step.checkpoint(torch.tensor([_PROBE]), use_cache=False).logits
    _same(scores, whole, "a text read token by token has other scores than the text read whole")


class Whole(torch.nn.Module):
    """Rows read whole, of which nothing is kept: takes and returns what `whole_spec` says."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.checkpoint = model

    @property
    def config(self) -> Any:
        """Of the model: the tracer asks how attention is computed."""
        return self.checkpoint.config

    def set_attn_implementation(self, name: str) -> None:
        """Of the model."""
        self.checkpoint.set_attn_implementation(name)

    def forward(self, input_ids: torch.Tensor, logits_to_keep: torch.Tensor) -> Tensors:
        with chosen_scores(self.checkpoint, logits_to_keep) as chosen:
            return {"logits": chosen(_read_whole(self.checkpoint, input_ids))}


def _read_whole(model: Any, ids: torch.Tensor) -> torch.Tensor:
    keeps = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
    scores: torch.Tensor = model(ids, **keeps).logits
    return scores


def whole_spec(model: Any) -> GraphSpec:
    """A decoder that reads rows of one length whole."""
    inputs = (
        TensorInfo("input_ids", "int64", ("rows", "sequence")),
        TensorInfo("logits_to_keep", "int64", ("kept",)),
    )
    return GraphSpec(
        DECODER, inputs, (TensorInfo("logits", "float32", ("rows", "kept", vocabulary(model))),), "decoder"
    )


def check_whole(model: Any) -> None:
    """Make sure that a token's scores do not change with what follows it.

    Raises:
        TraceError: they do, or it does not read token ids alone.
    """
    ids = torch.tensor([_PROBE])
    try:
        whole, begun = _read_whole(model, ids), _read_whole(model, ids[:, :-2])
    except Exception as error:
        raise TraceError(f"it cannot read {len(_PROBE)} tokens: {first_line(error)}") from error
    ahead = "a token's scores change with the tokens after it"
    if getattr(model.config, "is_decoder", None) is False:
        ahead += ' ("is_decoder" is false in its config.json)'
    _same(whole[:, :-2], begun, ahead)


def _same(scores: torch.Tensor, expected: torch.Tensor, otherwise: str) -> None:
    if scores.shape != expected.shape or not (
        (scores - expected).abs().max() <= _ROUNDING * (expected.max() - expected.min())
    ):
        raise TraceError(otherwise)
