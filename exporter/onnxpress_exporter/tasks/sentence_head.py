"""The graph of the layers that a sentence-transformers model has after pooling: Dense, LayerNorm.

Pooling and normalization are not here: the runtime does both in numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.source.sentence_transformers import HeadLayer
from onnxpress_exporter.source.weights import SAFETENSORS, check_weights

if TYPE_CHECKING:
    import torch

_POOLED = "pooled"  # a graph whose input and output share a name is not valid ONNX
_NAME = "sentence_embedding"


class WithLayers(Protocol):
    """What says which layers there are."""

    @property
    def dense(self) -> tuple[HeadLayer, ...]:
        """The layers, in order."""


def traceable_head(
    settings: WithLayers, *, allow_pickled_weights: bool = False, tokens: bool = False
) -> tuple[Traceable, ...]:
    """The layers after pooling, ready to be traced; nothing where there are none. `tokens`: they are of the vectors of
    tokens, which are not pooled.

    Raises:
        UnsupportedCheckpoint: as `load_sentence_head`.
    """
    spec = sentence_head_spec(settings, tokens=tokens)
    if spec is None:
        return ()
    module = load_sentence_head(settings, allow_pickled_weights=allow_pickled_weights)
    return (Traceable(spec, module, head_example_inputs(settings, tokens=tokens)),)


def sentence_head_spec(settings: WithLayers, *, tokens: bool = False) -> GraphSpec | None:
    """The graph named "head": float32 (batch, in) -> float32 (batch, out), of tokens (batch, sequence, in) -> (batch,
    sequence, out); None without layers."""
    if not settings.dense:
        return None
    axes = ("batch", "sequence") if tokens else ("batch",)
    return GraphSpec(
        name="head",
        inputs=(TensorInfo(_POOLED, "float32", (*axes, settings.dense[0].in_features)),),
        outputs=(TensorInfo(_NAME, "float32", (*axes, settings.dense[-1].out_features)),),
        role="head",
    )


def head_example_inputs(settings: WithLayers, *, tokens: bool = False) -> dict[str, torch.Tensor]:
    """Inputs to trace the head with: float32 (3, in_features), of tokens (3, 5, in_features), the same at each call."""
    import torch

    shape = (3, 5, settings.dense[0].in_features) if tokens else (3, settings.dense[0].in_features)
    return {_POOLED: torch.linspace(-1, 1, math.prod(shape), dtype=torch.float32).reshape(shape)}


def load_sentence_head(settings: WithLayers, *, allow_pickled_weights: bool = False) -> torch.nn.Module:
    """The layers after pooling as one module in float32 and eval mode.

    Raises:
        UnsupportedCheckpoint: a layer's weights are absent, pickled without leave, or do not fit, or its activation is
            not one of torch.nn's that keep the size of a vector.
    """
    import torch

    layers = [_layer(layer, allow_pickled_weights) for layer in settings.dense]

    class SentenceHead(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(layers)

        def forward(self, pooled: torch.Tensor) -> dict[str, torch.Tensor]:
            for layer in self.layers:
                pooled = layer(pooled)
            return {_NAME: pooled}

    return SentenceHead().requires_grad_(False).eval()


def _layer(layer: HeadLayer, allow_pickled: bool) -> torch.nn.Module:
    import torch

    weights = read_weights(layer.folder, allow_pickled)
    if layer.kind == "LayerNorm":
        return _filled({"norm": torch.nn.LayerNorm(layer.out_features)}, weights, layer.folder)["norm"]
    parts = {
        "linear": torch.nn.Linear(layer.in_features, layer.out_features, bias=layer.bias),
        "activation_function": _activation(layer),
    }
    if layer.residual and layer.in_features != layer.out_features:
        parts["residual"] = torch.nn.Linear(layer.in_features, layer.out_features, bias=False)
    _filled(parts, weights, layer.folder)

    class Dense(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.activation = parts["linear"], parts["activation_function"]
            self.residual = parts.get("residual")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.activation(self.linear(x))
            if not layer.residual:
                return y
            return y + (x if self.residual is None else self.residual(x))

    return Dense()


def read_weights(folder: Path, allow_pickled: bool) -> Mapping[str, torch.Tensor]:
    """The tensors of one layer, by name.

    Raises:
        UnsupportedCheckpoint: there are none, or they are pickled and that is not allowed.
    """
    import torch
    from safetensors.torch import load_file

    if check_weights(folder, allow_pickled=allow_pickled):
        return load_file(folder / SAFETENSORS[0])
    return torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)  # type: ignore[no-any-return]


def _filled(
    parts: dict[str, torch.nn.Module], weights: Mapping[str, torch.Tensor], folder: Path
) -> dict[str, torch.nn.Module]:
    """Give every part of a layer its weights, which bear its name: an activation may have some, too.

    Raises:
        UnsupportedCheckpoint: one is absent, of another size, or there is one that no part has.
    """
    import torch

    try:
        torch.nn.ModuleDict(parts).load_state_dict({name: value.float() for name, value in weights.items()})
    except RuntimeError as error:
        raise UnsupportedCheckpoint(f"The weights of {folder} do not fit its config: {error}.") from error
    return parts


def _activation(layer: HeadLayer) -> torch.nn.Module:
    """A layer's activation with its usual arguments, which are all that the library keeps."""
    import torch

    kind = getattr(torch.nn, layer.activation, None)
    if not (isinstance(kind, type) and issubclass(kind, torch.nn.Module)):
        raise UnsupportedCheckpoint(f"{layer.folder}: torch.nn has no {layer.activation}.")
    try:
        activation: torch.nn.Module = kind().eval()
        size = activation(torch.zeros(1, layer.out_features)).shape[-1]
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"{layer.folder}: torch.nn.{layer.activation} is no activation that works without arguments ({error})."
        ) from error
    if size != layer.out_features:
        raise UnsupportedCheckpoint(
            f"{layer.folder}: torch.nn.{layer.activation} makes {size} elements of {layer.out_features}; only "
            "activations that keep the size are supported."
        )
    return activation
