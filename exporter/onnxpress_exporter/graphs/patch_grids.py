"""SigLIP2's pictures of any aspect: patches of grids of unlike sizes in one batch.

Its class resizes its table of positions for one picture after the other, by a function that has no counterpart in ONNX.
What it computes is a sum of the table's rows and columns, with weights that follow from the picture's grid alone: here
they are computed for all patches of a batch at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from transformers.models.siglip2.modeling_siglip2 import Siglip2VisionEmbeddings

_RESIZE = "resize_positional_embeddings"


def grid_module(model: Any, config: Any, read: Callable[..., Mapping[str, Any]]) -> torch.nn.Module:
    """What `read` makes of patches, with positions in a form that one graph has for all grids."""

    class Grids(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint, self.config = model, config
            self.set_attn_implementation = model.set_attn_implementation

        def forward(
            self, pixel_values: torch.Tensor, pixel_attention_mask: torch.Tensor, spatial_shapes: torch.Tensor
        ) -> Any:
            with _at_once():
                return read(
                    pixel_values=pixel_values,
                    pixel_attention_mask=pixel_attention_mask,
                    spatial_shapes=spatial_shapes,
                )

    return Grids().eval()


@contextmanager
def _at_once() -> Iterator[None]:
    before = Siglip2VisionEmbeddings.__dict__[_RESIZE]
    setattr(Siglip2VisionEmbeddings, _RESIZE, staticmethod(resized_positions))
    try:
        yield
    finally:
        setattr(Siglip2VisionEmbeddings, _RESIZE, before)


def resized_positions(
    positional_embeddings: torch.Tensor, spatial_shapes: torch.Tensor, max_length: int
) -> torch.Tensor:
    """As the class's own: past a picture's last patch its first one's position.

    Args:
        positional_embeddings: float32 (height, width, size).
        spatial_shapes: int64 (pictures, 2), patches high and wide.

    Returns: float32 (pictures, max_length, size).
    """
    rows, columns, size = positional_embeddings.shape
    high, wide = spatial_shapes[:, :1], spatial_shapes[:, 1:]
    places = torch.arange(max_length, dtype=spatial_shapes.dtype)[None]
    places = torch.where(places < high * wide, places, torch.zeros_like(places))
    down, across = _shares(places // wide, high, rows), _shares(places % wide, wide, columns)
    shares = down[:, :, :, None] * across[:, :, None, :]
    return shares.flatten(2) @ positional_embeddings.reshape(rows * columns, size)


def _shares(places: torch.Tensor, counts: torch.Tensor, length: int) -> torch.Tensor:
    """The weights of `length` numbers in each of `counts` numbers that they are resized to, as
    `torch.nn.functional.interpolate(mode="bilinear", antialias=True)` has them: a triangle around a place's middle, as
    wide as the step between two where there are fewer, else as wide as the numbers themselves.

    Args:
        places: int64 (pictures, patches); counts: int64 (pictures, 1).

    Returns: float32 (pictures, patches, length).
    """
    step = length / counts.to(torch.float32)
    middle = (places.to(torch.float32) + 0.5) * step
    distance = (torch.arange(length, dtype=torch.float32) + 0.5 - middle[:, :, None]).abs()
    weights = (1 - distance / step.clamp(min=1.0)[:, :, None]).clamp(min=0.0)
    return weights / weights.sum(-1, keepdim=True)
