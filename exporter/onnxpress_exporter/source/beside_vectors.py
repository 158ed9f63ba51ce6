"""Finds the layers of a checkpoint that gives more than one vector of a text in one pass (BGE-M3): a weight and a
vector for each of its tokens, by a linear layer each, in files of FlagEmbedding's beside the transformer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.source.weights import check_safetensors

if TYPE_CHECKING:
    import torch

#: What FlagEmbedding calls the layers' files, without the ending.
LAYERS = ("sparse_linear", "colbert_linear")
_SAFE, _PICKLED = ".safetensors", ".pt"


@dataclass(frozen=True, slots=True)
class LinearLayer:
    """float32 weight (out, in) and bias (out,)."""

    weight: torch.Tensor
    bias: torch.Tensor


def has_layers(folder: Path) -> bool:
    """Whether both layers are there, in one form or the other."""
    return all(any((folder / f"{name}{ending}").is_file() for ending in (_SAFE, _PICKLED)) for name in LAYERS)


def read_layers(folder: Path, width: int, *, allow_pickled: bool) -> tuple[LinearLayer, LinearLayer]:
    """The layer that weighs tokens, and the one that makes their vectors.

    Args:
        width: of the transformer's states.
        allow_pickled: whether FlagEmbedding's own files may be read, which are pickles. They are read as tensors alone:
            no code in them runs.

    Raises:
        UnsupportedCheckpoint: they are pickled and that is not allowed, or they are no linear layers of this width.
    """
    weighs, makes = (_read(folder, name, width, allow_pickled) for name in LAYERS)
    if len(weighs.weight) != 1:
        raise UnsupportedCheckpoint(f"{folder}: {LAYERS[0]} gives {len(weighs.weight)} numbers for a token, not one.")
    return weighs, makes


def _read(folder: Path, name: str, width: int, allow_pickled: bool) -> LinearLayer:
    safe, pickled = folder / f"{name}{_SAFE}", folder / f"{name}{_PICKLED}"
    if not safe.is_file() and not allow_pickled:
        raise UnsupportedCheckpoint(
            f"{pickled} is a pickle, a format that can run code when it is opened, and there is no {safe.name}. If you "
            f"trust its author, allow pickled weights; better, save its tensors as {safe.name}. Without the two files "
            "of such layers the model can be exported for its dense vectors alone."
        )
    tensors = _tensors(safe if safe.is_file() else pickled)
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    out = shapes.get("weight", (0,))[0]
    if shapes != {"weight": (out, width), "bias": (out,)}:
        raise UnsupportedCheckpoint(f"{folder}: {name} should be a linear layer of {width} numbers; it has {shapes}.")
    return LinearLayer(tensors["weight"].float(), tensors["bias"].float())


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    import torch
    from safetensors.torch import load_file

    if path.suffix == _SAFE:
        check_safetensors(path)
        return dict(load_file(path))
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UnsupportedCheckpoint(f"{path} does not hold tensors alone: {str(error).splitlines()[0]}") from error
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise UnsupportedCheckpoint(f"{path} holds no tensors by name.")
    return tensors
