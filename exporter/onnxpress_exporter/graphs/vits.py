"""VITS as two graphs: one reads tokens and says how long each lasts, one makes samples of all frames.

Between them stand the only sizes that depend on numbers: how many frames there are. transformers' code picks numbers
by masks and pads by lengths, which no graph does: here the same is computed at every place. Imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from transformers.models.vits import modeling_vits

#: Least widths, heights and slopes of the pieces of a curve, as transformers has them.
_LEAST = 1e-3


class VitsReader(nn.Module):
    """`input_ids` int64 (1, sequence), `duration_noise` float32 (1, 2, sequence) where durations take noise, and
    `speaker_id` int64 (1,) where there are several voices -> `durations` float32 (1, sequence), in frames at a rate of
    1; `means` and `log_deviations` float32 (1, sequence, bands)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.checkpoint, self.config = model, model.config

    def forward(self, input_ids: Any, duration_noise: Any = None, speaker_id: Any = None) -> dict[str, torch.Tensor]:
        model = self.checkpoint
        mask = torch.ones_like(input_ids).unsqueeze(-1).float()
        voice = voice_of(model, speaker_id)
        with _at_every_place():
            read = model.text_encoder(input_ids=input_ids, padding_mask=mask, attention_mask=None, return_dict=True)
            states, mask = read.last_hidden_state.transpose(1, 2), mask.transpose(1, 2)
            if duration_noise is None:
                log_durations = model.duration_predictor(states, mask, voice)
            else:
                log_durations = _noisy_durations(model.duration_predictor, states, mask, voice, duration_noise)
        return {
            "durations": torch.exp(log_durations)[:, 0],
            "means": read.prior_means,
            "log_deviations": read.prior_log_variances,
        }


class VitsVocoder(nn.Module):
    """`frames` float32 (1, frames, bands), and `speaker_id` as above -> `waveform` float32 (1, samples)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.checkpoint, self.config = model, model.config

    def forward(self, frames: Any, speaker_id: Any = None) -> dict[str, torch.Tensor]:
        model = self.checkpoint
        frames, voice = frames.transpose(1, 2), voice_of(model, speaker_id)
        mask = torch.ones_like(frames[:, :1])
        latents = model.flow(frames, mask, voice, reverse=True)
        return {"waveform": model.decoder(latents, voice)[:, 0]}


def voice_of(model: Any, speaker_id: Any) -> Any:
    """float32 (1, width, 1) of a speaker; None where there is one voice."""
    return None if speaker_id is None else model.embed_speaker(speaker_id).unsqueeze(-1)


def _noisy_durations(predictor: Any, inputs: Any, mask: Any, voice: Any, noise: Any) -> Any:
    """As `VitsStochasticDurationPredictor.forward` backwards, of noise that is given."""
    inputs = predictor.conv_pre(inputs)
    if voice is not None:
        inputs = inputs + predictor.cond(voice)
    inputs = predictor.conv_proj(predictor.conv_dds(inputs, mask)) * mask
    flows = list(reversed(predictor.flows))
    for flow in [*flows[:-2], flows[-1]]:  # without the one that transformers calls useless
        noise, _ = flow(torch.flip(noise, [1]), mask, global_conditioning=inputs, reverse=True)
    return noise[:, :1]


@contextmanager
def _at_every_place() -> Iterator[None]:
    """Curves and relative positions are computed at every place, and chosen from."""
    attention = modeling_vits.VitsAttention
    with (
        patch.object(modeling_vits, "_unconstrained_rational_quadratic_spline", _curve_backwards),
        patch.object(attention, "_get_relative_embeddings", _relative_embeddings),
    ):
        yield


def _relative_embeddings(attention: Any, table: Any, length: Any) -> Any:
    """Those of all distances from `1 - length` to `length - 1`; zeros beyond the window."""
    window = attention.window_size
    places = torch.arange(2 * length - 1) - (length - 1) + window
    inside = (places >= 0) & (places <= 2 * window)
    return table[:, places.clamp(0, 2 * window)] * inside.to(table.dtype)[None, :, None]


def _curve_backwards(
    inputs: Any, widths: Any, heights: Any, slopes: Any, reverse: bool = True, tail_bound: float = 5.0
) -> tuple[Any, None]:
    """A monotonic piecewise rational quadratic curve, from its values back (C. Durkan et al., arXiv 1906.04032, eq.
    6-8); beyond `tail_bound` it is the straight line. The names of the last two are transformers'."""
    inside = (inputs >= -tail_bound) & (inputs <= tail_bound)
    values = inputs.clamp(-tail_bound, tail_bound)
    ends = torch.full_like(slopes[..., :1], math.log(math.exp(1 - _LEAST) - 1))
    slopes = _LEAST + nn.functional.softplus(torch.cat([ends, slopes, ends], dim=-1))
    lefts, widths = _pieces(widths, tail_bound)
    bottoms, heights = _pieces(heights, tail_bound)
    tops = torch.cat([bottoms[..., 1:], torch.full_like(bottoms[..., :1], tail_bound + 1e-6)], dim=-1)
    # The piece of a value, as ones among zeros: the last whose bottom is not above it.
    chosen = ((values[..., None] >= bottoms) & (values[..., None] < tops)).to(values.dtype)

    def at(numbers: Any) -> Any:
        return (numbers * chosen).sum(dim=-1)

    left, width, bottom, height = at(lefts), at(widths), at(bottoms), at(heights)
    first, last, slope = at(slopes[..., :-1]), at(slopes[..., 1:]), at(heights / widths)
    above, bend = values - bottom, first + last - 2 * slope
    a = height * (slope - first) + above * bend
    b = height * first - above * bend
    c = -slope * above
    root = (2 * c) / (-b - torch.sqrt((b * b - 4 * a * c).clamp_min(0)))
    return torch.where(inside, root * width + left, inputs), None


def _pieces(numbers: Any, bound: float) -> tuple[Any, Any]:
    """Where the pieces of an axis begin, and their sizes; together they reach from `-bound` to `bound`."""
    count = numbers.shape[-1]
    sizes = _LEAST + (1 - _LEAST * count) * nn.functional.softmax(numbers, dim=-1)
    ends = 2 * bound * torch.cumsum(sizes, dim=-1)[..., :-1] - bound
    first, last = (torch.full_like(numbers[..., :1], edge) for edge in (-bound, bound))
    places = torch.cat([first, ends, last], dim=-1)
    return places[..., :-1], places[..., 1:] - places[..., :-1]
