"""A loaded model, read by name: weights, norms, activations, rotations. Notes which weights were read.

Knows no family. A reader asks for what it knows; what it did not ask for makes the model not buildable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any, Literal, TypeVar

import torch

from onnxpress_exporter.errors import NotBuildable, ReaderError
from onnxpress_exporter.graphs.build.architecture import Rope
from onnxpress_exporter.graphs.build.blocks import ACTIVATIONS, Linear, Norm

#: Rotations whose frequencies are the same at every length; "dynamic" and "longrope" are not.
ROPE_TYPES = frozenset({"default", "linear", "llama3", "yarn"})


Architecture = TypeVar("Architecture")


def read_with(reader: Callable[[Source], Architecture], model: torch.nn.Module) -> Architecture:
    """What a reader makes of a model.

    Raises:
        NotBuildable: the reader says what it does not know; or it fails on a class that came with the checkpoint.
        ReaderError: it fails on a class of transformers.
    """
    source = Source(model)
    try:
        architecture = reader(source)
    except NotBuildable:
        raise
    except Exception as error:
        kind, reason = type(model), f"{type(error).__name__}: {error}"
        if not kind.__module__.startswith("transformers.models."):
            raise NotBuildable(f"{kind.__name__} came with the checkpoint, and its reader fails: {reason}") from error
        raise ReaderError(
            f"The reader of {source.config.model_type!r} fails on {kind.__name__}: {reason}. This is a fault of "
            f"onnxpress (with transformers {version('transformers')}), not of the checkpoint: please report it, with "
            "its config.json."
        ) from error
    source.check_all_read()
    return architecture


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
        found = self._weights[name].detach()
        if not found.is_floating_point() or found.is_meta:
            raise NotBuildable(f"its weight {name} is not of plain numbers")
        return found

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

    def grouped(self, name: str, heads: int, kv_heads: int) -> Sequence[Linear]:
        """Queries, keys and values of a projection that packs, for each head of keys, its queries, key and value."""
        packed = self.linear(name)
        groups = heads // kv_heads

        def part(tensor: torch.Tensor, which: slice) -> torch.Tensor:
            rest = tensor.shape[1:]
            return tensor.reshape(kv_heads, groups + 2, -1, *rest)[:, which].reshape(-1, *rest)

        return [
            Linear(part(packed.weight, which), None if packed.bias is None else part(packed.bias, which))
            for which in (slice(0, groups), slice(groups, groups + 1), slice(groups + 1, groups + 2))
        ]

    def head(self, name: str, table: torch.Tensor) -> Linear | None:
        """The head; None where it is the words' table."""
        head = self.linear(name)
        return None if head.bias is None and head.weight.data_ptr() == table.data_ptr() else head

    def rope(self, module: str, kind: str | None = None, *, interleaved: bool = False) -> Rope:
        """The rotation that a module of the model makes; `kind` of layers where there are several."""
        parameters = self.config.rope_parameters
        if kind is not None:
            parameters = parameters[kind]
        if parameters["rope_type"] not in ROPE_TYPES:
            raise NotBuildable(f"rope_type is {parameters['rope_type']!r}")
        found, prefix = self._model.get_submodule(module), "" if kind is None else f"{kind}_"
        frequencies = getattr(found, f"{prefix}inv_freq")
        factor = getattr(found, f"{prefix}attention_scaling")
        return Rope("rotary" if kind is None else f"rotary.{kind}", frequencies, factor, interleaved)

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
