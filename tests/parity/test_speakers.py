"""text-to-audio against transformers' pipeline, which is given the same noise: equal lengths, equal waves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from onnxpress import pipeline
from tests.fixtures.store import Store
from tests.fixtures.tiny_speakers import SPEAKERS, tiny_speaker

TEXTS = ("hello world", "a", "the quick brown fox", "it's a longer text of words, isn't it?")
VOICE = [0.1, -0.2, 0.3, 0.1, 0.5, -0.2]

#: Name -> what a call passes on to the model.
PARAMETERS: dict[str, dict[str, Any]] = {
    "vits": {},
    "vits of many voices": {"speaker_id": 1},
    "vits of sure durations": {"speaking_rate": 0.5},
    "speecht5": {"speaker_embeddings": VOICE, "maxlenratio": 3.0, "minlenratio": 0.5},
    "speecht5 of single frames": {"speaker_embeddings": VOICE, "maxlenratio": 2.0, "threshold": 0.3},
}


@contextmanager
def _noise_of(seed: int) -> Iterator[None]:
    """PyTorch draws what numpy's generator of a seed does."""
    import torch

    generator = np.random.default_rng(seed)

    def randn(*shape: int, **options: Any) -> Any:
        return torch.from_numpy(generator.standard_normal(shape, dtype=np.float32))

    def bernoulli(values: Any, p: float) -> Any:
        kept = np.zeros(values.shape, np.float32)  # for earlier frames, which are not said again
        kept[-1] = generator.random(values.shape[-1], dtype=np.float32) < p
        return torch.from_numpy(kept)

    with (
        patch.object(torch, "randn", randn),
        patch.object(torch, "randn_like", lambda values, **options: randn(*values.shape)),
        patch.object(torch, "bernoulli", bernoulli),
    ):
        yield


def _theirs(checkpoint: Path) -> Any:
    import transformers

    folder = checkpoint / "vocoder"
    vocoder = {"vocoder": transformers.SpeechT5HifiGan.from_pretrained(folder)} if folder.is_dir() else {}
    return transformers.pipeline("text-to-audio", model=str(checkpoint), **vocoder)


@pytest.mark.nightly
@pytest.mark.parametrize("name", SPEAKERS)
def test_every_speaker(name: str, tmp_path: Path, store: Store) -> None:
    import torch

    checkpoint, parameters = tiny_speaker(name, tmp_path / name), PARAMETERS[name]
    as_tensors = {key: torch.tensor([value]) if isinstance(value, list) else value for key, value in parameters.items()}
    theirs = _theirs(checkpoint)
    with pipeline(model=store.artifact(checkpoint), threads=1) as ours:
        assert ours.task == "text-to-audio"
        lengths = set()
        for seed, text in enumerate(TEXTS):
            with _noise_of(seed):
                expected = theirs(text, forward_params=as_tensors)
            obtained = ours(text, forward_params=parameters, seed=seed)
            assert obtained["sampling_rate"] == expected["sampling_rate"] == 8_000
            assert obtained["audio"].shape == expected["audio"].shape and obtained["audio"].dtype == np.float32
            assert np.abs(obtained["audio"] - expected["audio"]).max() < 1e-3
            assert np.abs(expected["audio"]).max() > 1e-2
            lengths.add(len(obtained["audio"]))
        assert len(lengths) > 2
        if name.startswith("vits"):
            theirs.model.noise_scale = theirs.model.noise_scale_duration = 0.0
            quiet = {"noise_scale": 0.0, **({} if "sure" in name else {"noise_scale_duration": 0.0})}
            expected = theirs(TEXTS[0], forward_params=as_tensors)["audio"]
            obtained = ours(TEXTS[0], forward_params={**parameters, **quiet}, seed=None)["audio"]
            assert obtained.shape == expected.shape and np.abs(obtained - expected).max() < 1e-4
