"""tiny-voice: a net of two layers that hears whether somebody speaks (`onnxpress.audio.voice`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from training.loop import prepare
from training.recipe import Recipe, Trained
from training.voices import frames_of, scene

from onnxpress.audio.voice import BANDS, PLACES, WEIGHTS, contexts

_STEPS, _ROWS, _RATE = 3_000, 512, 2e-3
_TRAINED, _HELD_OUT = 160, 24
_WIDTHS = (32, 16)

#: Of a step's targets, what both ends of speech count: the ear does not know them by a hundredth of a second either.
_SMOOTH = 0.03


def _scenes(count: int, *, held_out: bool) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """float32 (moments, numbers), and whether each is speech."""
    numbers, targets = [], []
    for number in range(count):
        samples, speech = scene(number, held_out=held_out)
        frames = frames_of(samples)
        moments = min(len(speech), len(frames) - 2 * PLACES[-1])
        numbers.append(contexts(frames, moments).astype(np.float16))
        targets.append(speech[:moments])
    return np.concatenate(numbers), np.concatenate(targets)


class VoiceNet(nn.Module):
    """The net, while it is trained."""

    def __init__(self) -> None:
        super().__init__()
        first, second = _WIDTHS
        self.first = nn.Linear(len(PLACES) * BANDS.mels.bands, first)
        self.second = nn.Linear(first, second)
        self.last = nn.Linear(second, 1)

    def forward(self, numbers: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.second(torch.relu(self.first(numbers))))
        scores: torch.Tensor = self.last(hidden)[:, 0]
        return scores


def _train(seed: int) -> Trained:
    prepare(seed)
    numbers, speech = _scenes(_TRAINED, held_out=False)
    net = VoiceNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=_STEPS)
    generator = np.random.default_rng(seed)
    for _ in range(_STEPS):
        rows = generator.integers(0, len(numbers), _ROWS)
        batch = torch.from_numpy(numbers[rows].astype(np.float32))
        batch = batch + 0.05 * torch.randn_like(batch)
        targets = torch.from_numpy(speech[rows].astype(np.float32)) * (1 - 2 * _SMOOTH) + _SMOOTH
        loss = nn.functional.binary_cross_entropy_with_logits(net(batch), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    held, wanted = _scenes(_HELD_OUT, held_out=True)
    with torch.no_grad():
        heard = (net(torch.from_numpy(held.astype(np.float32))) >= 0).numpy()
    metrics = {
        "frame_error": float((heard != wanted).mean()),
        "missed_speech": float((~heard & wanted).sum() / wanted.sum()),
        "false_speech": float((heard & ~wanted).sum() / (~wanted).sum()),
    }
    return Trained(net, None, metrics, len(wanted), {}, lambda folder: _save(net, folder))  # type: ignore[arg-type]


def _save(net: VoiceNet, folder: Path) -> Path:
    """The weights as float16, where the runtime has them, or in another folder than models/."""
    place = WEIGHTS if folder.parent == Path(__file__).parents[1] else folder / WEIGHTS.name
    layers = {"first": net.first, "second": net.second}
    arrays = {name: layer.weight.detach().numpy().T for name, layer in layers.items()}
    arrays |= {f"{name}_bias": layer.bias.detach().numpy() for name, layer in layers.items()}
    arrays |= {"last": net.last.weight.detach().numpy()[0], "last_bias": net.last.bias.detach().numpy()}
    np.savez(place, **{name: array.astype(np.float16) for name, array in arrays.items()})
    return place


RECIPE = Recipe(
    name="tiny-voice",
    task="voice-activity-detection",
    seed=31,
    metric="frame_error",
    target=0.12,
    train=_train,
    tolerances={},
    lower_is_better=True,
)
