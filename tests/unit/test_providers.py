"""Every execution provider's row, and the names of devices."""

from __future__ import annotations

import pytest

from onnxpress.engine.providers import CUDA, PROVIDERS, Provider, index_of, parse_device, provider_of, require_device
from onnxpress.errors import DeviceUnavailable, InputError


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=lambda row: row.family)
def test_every_row_says_everything(row: Provider) -> None:
    assert PROVIDERS[row.family] is row
    assert row.name.endswith("ExecutionProvider")
    assert row.memory
    assert row.budget_tokens > 0
    assert row.install.endswith(".")
    options = row.options_of(3)
    assert options.get("device_id") == ("3" if row.numbered else None)
    assert all(isinstance(text, str) for pair in options.items() for text in pair)


def test_cuda_asks_for_what_it_needs_and_answers_as_verified() -> None:
    assert CUDA.options_of(1) == {
        "device_id": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }


@pytest.mark.parametrize(
    ("device", "name"),
    [
        (None, "cpu"),
        (-1, "cpu"),
        ("cpu", "cpu"),
        ("cpu:0", "cpu"),
        (0, "cuda:0"),
        (2, "cuda:2"),
        ("cuda", "cuda:0"),
        ("cuda:1", "cuda:1"),
        ("cuda:01", "cuda:1"),
    ],
)
def test_names_of_devices(device: object, name: str) -> None:
    assert parse_device(device) == name
    assert provider_of(name).family == name.partition(":")[0]
    assert index_of(name) == int(name.partition(":")[2] or 0)


@pytest.mark.parametrize("device", ["gpu", "cpu:1", "cuda:x", "cuda:-1", "", True, -2, 1.5, "CUDA"])
def test_other_names_are_refused(device: object) -> None:
    with pytest.raises(InputError, match=r'is not a device\. There are: "cpu", "cuda:N"'):
        parse_device(device)


def test_a_device_that_is_not_here_says_what_to_install() -> None:
    require_device("cpu")
    with pytest.raises(DeviceUnavailable, match=r"onnxpress\[gpu\]"):
        require_device("cuda:0")
