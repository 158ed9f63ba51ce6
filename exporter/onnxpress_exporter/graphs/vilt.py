"""ViLT without what no graph can hold: it looks for the patches that are no padding one picture at a time, and takes
them in an order drawn by lot, on which its answers do not depend. Pictures of one size have no padding.
Imports torch."""

from __future__ import annotations

from typing import Any

import torch

from onnxpress_exporter.errors import UnsupportedCheckpoint

#: Of the range of scores: what another order of adding up may come to.
_ROUNDING = 1e-4


class OneSize(torch.nn.Module):
    """Takes `input_ids`, `attention_mask`, `token_type_ids` and `pixel_values` of pictures of one size.

    Raises:
        UnsupportedCheckpoint: the model looks at some of a large picture's patches, which are drawn by lot; or its
            answers are not those of this module.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        most = model.config.max_image_length
        if most is not None and most >= 0:
            raise UnsupportedCheckpoint(
                f"{type(model).__name__} looks at {most} patches of a picture, drawn by lot where it has more "
                "(max_image_length), so that its answers differ from call to call. Set max_image_length to -1 in "
                "config.json, which looks at all."
            )
        self.checkpoint = model
        self._check()

    @property
    def config(self) -> Any:
        """Of the model: the tracer asks how attention is computed."""
        return self.checkpoint.config

    def set_attn_implementation(self, name: str) -> None:
        """Of the model."""
        self.checkpoint.set_attn_implementation(name)

    def forward(self, **inputs: torch.Tensor) -> Any:
        """What the model returns."""
        embeddings = self.checkpoint.vilt.embeddings
        pixels = inputs.pop("pixel_values")
        seen = self._patches(embeddings, pixels)
        mask = torch.ones(pixels.shape[0], seen.shape[1], dtype=torch.int64)
        embeddings.visual_embed = lambda *_, **__: (seen, mask, None)
        try:
            return self.checkpoint(pixel_values=pixels, **inputs)
        finally:
            del embeddings.visual_embed  # the class's own is seen again

    @staticmethod
    def _patches(embeddings: Any, pixels: torch.Tensor) -> torch.Tensor:
        """float32 (batch, patches + 1, width)."""
        patches = embeddings.patch_embeddings(pixels)
        side = embeddings.config.image_size // embeddings.config.patch_size
        table = embeddings.position_embeddings
        places = table[:, 1:].transpose(1, 2).reshape(1, patches.shape[1], side, side)
        places = torch.nn.functional.interpolate(places, size=patches.shape[2:], mode="bilinear", align_corners=True)
        first = embeddings.cls_token + table[:, :1]
        rest = (patches + places).flatten(2).transpose(1, 2)
        return torch.cat((first.expand(pixels.shape[0], -1, -1), rest), dim=1)

    def _check(self) -> None:
        generator = torch.Generator().manual_seed(0)
        patch = self.config.patch_size
        inputs = {
            "input_ids": torch.tensor([[5, 6, 7, 8], [9, 10, 11, 0]]),
            "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]),
            "pixel_values": torch.randn((2, 3, 2 * patch, 3 * patch), generator=generator),
        }
        with torch.no_grad():
            expected, obtained = self.checkpoint(**inputs).logits, self(**dict(inputs)).logits
        if not (expected - obtained).abs().max() <= _ROUNDING * (expected.max() - expected.min()):
            raise UnsupportedCheckpoint(f"{type(self.checkpoint).__name__} answers otherwise than this version knows.")
