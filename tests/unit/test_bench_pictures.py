"""The pictures that benchmarks are run on: the same for the same seed, of the size asked for, opened by the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onnxpress.errors import InputError
from onnxpress.image.opening import open_picture
from onnxpress_bench.comparison import Settings
from onnxpress_bench.environments import HOME_VARIABLE
from onnxpress_bench.workloads import Model, Sizes, workload_of
from onnxpress_bench.workloads.pictures import make_picture, parse_size, write_picture

SETTINGS = Settings(blocks=1, latency_s=0.1, warm_up_s=0.1, stream_s=0.1, threads=1, seed=3)


def test_a_picture_follows_from_its_seed_and_has_its_size(tmp_path: Path) -> None:
    first, again, other = (np.asarray(make_picture(90, np.random.default_rng(seed))) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()
    picture = open_picture(write_picture(tmp_path, 90, 1))
    assert max(picture.size) == 90


def test_inputs_are_paths_by_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setattr("onnxpress_bench.workloads.pictures.STREAM_ITEMS", 3)
    workload = workload_of("image-classification")
    inputs = workload.make_inputs(Model("image-classification", tmp_path), SETTINGS, Sizes(pictures=("1x64", "2x32")))
    assert {name: [len(query) for query in queries] for name, queries in inputs.shapes.items()} == {
        "1x64": [1] * 8,
        "2x32": [2, 2],
    }
    assert (inputs.unit, inputs.tokens["2x32"]) == ("pictures", 32.0)
    assert len(inputs.stream) == len(inputs.stream_tokens) == 3
    assert max(open_picture(inputs.first).size) == 64


@pytest.mark.parametrize("name", ["8", "0x500", "1x8", "1x9000", "ax500"])
def test_what_is_no_size_is_told(name: str) -> None:
    with pytest.raises(InputError, match="no size of pictures"):
        parse_size(name)
