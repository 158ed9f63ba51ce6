"""feature-extraction of sounds over a hand-made graph, whose states are the samples themselves."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import onnx_ir
import pytest
import soundfile

from onnxpress import InputError, pipeline
from onnxpress.fetching import addresses
from onnxpress.fetching.limits import SOUND, FetchLimits
from onnxpress.format.manifest import GraphFiles, Postprocessing, Variant
from onnxpress.format.processors import Processors
from onnxpress.format.sounds import SoundSettings
from tests.fixtures.artifacts import seal
from tests.fixtures.graphs import graph, info_of
from tests.fixtures.manifests import manifest

RATE = 1_000
_GRAPH = """
model (float[batch,time] input_values) => (float[batch,moments,1] last_hidden_state) {
    last_hidden_state = Unsqueeze (input_values, last)
}
"""


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("states") / "artifact"
    (folder / "onnx").mkdir(parents=True)
    model = graph(_GRAPH, last=np.array([-1]))
    onnx_ir.save(model, folder / "onnx" / "model.onnx")
    seal(
        folder,
        replace(
            manifest(),
            task="feature-extraction",
            padding=False,
            graphs={"model": info_of(model, "encoder")},
            variants={"fp32": Variant({"model": GraphFiles("onnx/model.onnx")}, 0)},
            processors=Processors(audio=SoundSettings(("input_values",), RATE)),
            postprocessing=Postprocessing(),
        ),
    )
    return pipeline(model=folder, threads=1)


def test_states_are_those_of_each_sound_alone(pipe: Any) -> None:
    sounds = [np.random.default_rng(n).uniform(-1, 1, 40 + 7 * (n // 2)).astype(np.float32) for n in range(5)]
    for sound, states in zip(sounds, pipe(sounds, return_tensors="np"), strict=True):
        np.testing.assert_array_equal(states, sound[None, :, None])
    assert pipe(sounds[0]) == sounds[0][None, :, None].tolist()
    assert pipe([]) == []


def test_a_model_that_is_given_all_of_a_sound_takes_no_endless_one(pipe: Any) -> None:
    long = {"blocks": (np.zeros(RATE, np.float32) for _ in range(10_000)), "sampling_rate": RATE}
    with pytest.raises(InputError, match=r"lasts 601 seconds or longer.*pass max_seconds"):
        pipe(long)
    assert len(pipe(np.zeros(700 * RATE, np.float32), max_seconds=701, return_tensors="np")[0]) == 700 * RATE
    for wrong in (0, True, "1"):
        with pytest.raises(InputError, match="max_seconds is"):
            pipe(np.zeros(9, np.float32), max_seconds=wrong)


def test_addresses_are_fetched_where_the_call_allows_it(pipe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.linspace(-0.5, 0.5, 60, dtype=np.float32)
    file, asked = BytesIO(), []
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")

    def fetch(url: str, limits: FetchLimits) -> bytes:
        asked.append((url, limits))
        return file.getvalue()

    monkeypatch.setattr(addresses, "fetch", fetch)
    url = "https://sounds.example/talk.wav"
    for option in ({}, {"allow_urls": False}):
        with pytest.raises(InputError, match="allow_urls=True"):
            pipe(url, **option)
    with pytest.raises(InputError, match="allow_urls is 1"):
        pipe(url, allow_urls=1)
    assert not asked
    states = pipe([url, {"path": url}], allow_urls=True, return_tensors="np")
    assert all(np.array_equal(each, samples[None, :, None]) for each in states)
    assert asked == [(url, SOUND)] * 2
