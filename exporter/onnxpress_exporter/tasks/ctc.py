"""Models with a CTC head: a token for each moment of a sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxpress.audio.transform import SoundTransform
from onnxpress.format.manifest import Postprocessing, TensorInfo
from onnxpress_exporter.source.checkpoint import Checkpoint
from onnxpress_exporter.source.feature_extractors import read_feature_extractor
from onnxpress_exporter.source.processors import load_feature_extractor
from onnxpress_exporter.tasks.row import Head

CTC = Head("AutoModelForCTC", ("ForCTC",))

#: Seconds of two sounds; what the second has more of moments tells how long one is.
_SECONDS = (4, 12)


def moment_logits(model: Any) -> tuple[TensorInfo, ...]:
    """ "logits" (batch, moments, tokens)."""
    return (TensorInfo("logits", "float32", ("batch", "moments", int(model.config.vocab_size))),)


def moments(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    """How many samples a moment has: what the config says, as transformers counts; where it does not, what two sounds
    show."""
    said = getattr(model.config, "inputs_to_logits_ratio", None)
    return Postprocessing(samples_of_moment=int(said) if said else _shown(checkpoint, model))


def _shown(checkpoint: Checkpoint, model: Any) -> int:
    import torch

    settings = read_feature_extractor(load_feature_extractor(checkpoint))
    transform = SoundTransform(settings)
    counts: list[int] = []
    for seconds in _SECONDS:
        sound = np.random.default_rng(0).normal(0, 0.1, seconds * settings.rate).astype(np.float32)
        with torch.no_grad():
            counts.append(int(model(torch.from_numpy(transform(sound).values)[None]).logits.shape[1]))
    return round((_SECONDS[1] - _SECONDS[0]) * settings.rate / (counts[1] - counts[0]))
