"""A loaded model, read by name: weights, norms, activations, rotations. Notes which weights were read.

Knows no family. A reader asks for what it knows; what it did not ask for makes the model not buildable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch

from onnxpress_exporter.errors import NotBuildable
from onnxpress_exporter.graphs.build.architecture import LanguageHead, Linear, Norm, Rope
from onnxpress_exporter.graphs.build.mlp import ACTIVATIONS

#: Rotations whose frequencies are the same at every length; "dynamic" and "longrope" are not.
ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn"})


class Source:
    """A transformers model and its config."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.config: Any = model.config
        self._model = model
        # A tied weight has several names.
        self._weights = dict(model.named_parameters(remove_duplicate=False))
        self._read: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether there is a weight of this name."""
        return name in self._weights

    def module(self, name: str) -> Any:
        """A part of the model, for what is in no weight; "" for the model. AttributeError: it is not there."""
        return self._model.get_submodule(name)

    def tensor(self, name: str) -> torch.Tensor:
        """A weight. LookupError: it is not there."""
        if name not in self._weights:
            raise LookupError(f"there is no weight {name}")
        self._read.add(name)
        weight = self._weights[name].detach()
        if not weight.is_floating_point() or weight.is_meta:
            raise NotBuildable(f"its weight {name} is not of plain numbers")
        return weight

    def linear(self, name: str, *, transposed: bool = False) -> Linear:
        """A projection, with its bias if it has one; `transposed` where it stores (inputs, outputs)."""
        weight = self.tensor(f"{name}.weight")
        bias = self.tensor(f"{name}.bias") if self.has(f"{name}.bias") else None
        return Linear(weight.T if transposed else weight, bias)

    def norm(self, name: str, kind: Literal["rms", "layer"], epsilon: float, *, plus_one: bool = False) -> Norm:
        """A normalization; `plus_one` where its weight is stored less one."""
        weight = self.tensor(f"{name}.weight").float()
        bias = self.tensor(f"{name}.bias") if self.has(f"{name}.bias") else None
        if kind == "rms" and bias is not None:
            raise NotBuildable(f"{name} has a bias")
        return Norm(kind, weight + 1.0 if plus_one else weight, epsilon, bias)

    def activation(self, field: str) -> str:
        """The config's field that names one."""
        name = getattr(self.config, field)
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise NotBuildable(f"activation {name!r} has no operator")
        return name

    def refuse_if(self, *fields: str) -> None:
        """Refuse a config that has one of these options on."""
        for field in fields:
            if getattr(self.config, field, None):
                raise NotBuildable(f"{field} is {getattr(self.config, field)!r}")

    def head(
        self,
        table: torch.Tensor,
        *,
        factor: float = 1.0,
        softcap: float | None = None,
        projection: Linear | None = None,
        name: str = "lm_head",
    ) -> LanguageHead:
        """The head of this name; tied where its weights are the words' table."""
        head = self.linear(name)
        tied = head.weight.data_ptr() == table.data_ptr()
        return LanguageHead(head.weight, tied, head.bias, projection, factor, softcap)

    def rope(self, module: str, kind: str | None = None, *, interleaved: bool = False) -> Rope:
        """The rotation that a module of the model makes; `kind` of layers where there are several."""
        parameters = self.config.rope_parameters
        if kind is not None:
            parameters = parameters[kind]
        if parameters["rope_type"] not in ROPE_TYPES:
            raise NotBuildable(f"rope_type is {parameters['rope_type']!r}")
        rotation, prefix = self.module(module), "" if kind is None else f"{kind}_"
        frequencies = getattr(rotation, f"{prefix}inv_freq")
        factor = getattr(rotation, f"{prefix}attention_scaling")
        return Rope("rotary" if kind is None else f"rotary.{kind}", frequencies, factor, interleaved)

    def with_encoder(self) -> bool:
        """Whether there is an encoder; refuse a decoder that was taken from an encoder-decoder and looks at nothing."""
        if not self.config.is_encoder_decoder and not getattr(self.config, "add_cross_attention", False):
            raise NotBuildable("it is read with its encoder only")
        return bool(self.config.is_encoder_decoder)

    def windows(self) -> Sequence[int | None]:
        """Each layer's window, for families that read `layer_types`."""
        known = {"full_attention": None, "sliding_attention": self.config.sliding_window}
        if unknown := sorted(set(self.config.layer_types) - set(known)):
            raise NotBuildable(f"a layer's attention is {unknown[0]!r}")
        return [known[kind] for kind in self.config.layer_types]

    def same_window(self) -> Sequence[int | None]:
        """The same window in every layer, for families that read only `sliding_window`."""
        return [self.config.sliding_window] * int(self.config.num_hidden_layers)

    def check_all_read(self) -> None:
        """Refuse a model with weights that nobody asked for."""
        addresses = {self._weights[name].data_ptr() for name in self._read}
        for name, tensor in self._weights.items():
            if name not in self._read and tensor.data_ptr() not in addresses:
                raise NotBuildable(f"its weight {name} is not known")
