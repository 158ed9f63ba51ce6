"""Every execution provider's row, and the names of devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxpress.engine import providers
from onnxpress.engine.providers import (
    CPU,
    CUDA,
    OPENVINO,
    PROVIDERS,
    Provider,
    ProviderOption,
    index_of,
    is_here,
    parse_device,
    provider_of,
    require_device,
)
from onnxpress.errors import DeviceUnavailable, InputError


@pytest.mark.parametrize("row", PROVIDERS.values(), ids=lambda row: row.family)
def test_every_row_says_everything(row: Provider) -> None:
    assert PROVIDERS[row.family] is row
    assert row.name.endswith("ExecutionProvider") or row.compiles
    assert row.memory
    assert row.words.startswith("a")
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
        "enable_cuda_graph": "0",
    }


@pytest.mark.parametrize("option", (*CUDA.options, *OPENVINO.options), ids=lambda option: option.name)
def test_every_option_says_what_it_is_and_stands_in_the_docs(option: ProviderOption) -> None:
    assert option.about.endswith(".")
    assert option.usual is None or option.read(option.usual) == option.usual
    usage = (Path(__file__).resolve().parents[2] / "docs" / "usage.md").read_text(encoding="utf-8")
    assert (
        f"| `{option.name}` | {', '.join(option.values) or 'bytes'} | {option.usual or ''} | {option.about} |" in usage
    )


def test_options_are_said_as_python_says_them() -> None:
    chosen = CUDA.chosen({"use_tf32": True, "gpu_mem_limit": 2**31, "arena_extend_strategy": "kNextPowerOfTwo"})
    assert chosen == {"use_tf32": "1", "gpu_mem_limit": "2147483648", "arena_extend_strategy": "kNextPowerOfTwo"}
    assert CUDA.options_of(0, chosen) == {**CUDA.options_of(0), **chosen}


@pytest.mark.parametrize(
    ("row", "options", "message"),
    [
        (CUDA, {"use_tf_32": 1}, r"cuda has no option 'use_tf_32'\. Did you mean 'use_tf32'\? There are: arena"),
        (CUDA, {"device_id": 1}, "cuda has no option 'device_id'"),
        (CUDA, {"arena_extend_strategy": "SameAsRequested"}, "Did you mean 'kSameAsRequested'"),
        (CUDA, {"use_tf32": 2}, r"use_tf32=2 is not one of 0, 1\."),
        (CUDA, {"use_tf32": None}, r"use_tf32=None is not one of 0, 1\."),
        (CUDA, {"gpu_mem_limit": -1}, "gpu_mem_limit=-1 is no number of bytes"),
        (CUDA, {"gpu_mem_limit": "4GB"}, "gpu_mem_limit='4GB' is no number of bytes"),
        (CPU, {"use_tf32": 1}, r"cpu has no option 'use_tf32'\. It takes none\."),
    ],
)
def test_other_options_are_refused_with_what_was_meant(row: Provider, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        row.chosen(options)


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
    with pytest.raises(InputError, match=r'is not a device\.( Did you mean .*)? There are: "cpu", "cuda:N"'):
        parse_device(device)


def test_openvino_takes_the_threads_and_what_is_made_for_processors() -> None:
    usual = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "2"}
    assert OPENVINO.options_of(0, {}, 2) == usual
    assert (
        OPENVINO.options_of(0, OPENVINO.chosen({"INFERENCE_PRECISION_HINT": "bf16"}), 2)["INFERENCE_PRECISION_HINT"]
        == "bf16"
    )
    assert CPU.options_of(0, {}, 2) == {}
    assert [row.target for row in (CPU, CUDA, OPENVINO)] == ["cpu", "cuda", "cpu"]
    assert parse_device("openvino") == "openvino"


def test_a_device_that_is_not_here_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_device("cpu")
    monkeypatch.setattr(providers, "find_spec", lambda name: None)
    with pytest.raises(DeviceUnavailable, match=r"pip install openvino.*Or pass device=\"cpu\""):
        require_device("openvino")
    assert is_here("cpu") and not is_here("openvino")
    with pytest.raises(DeviceUnavailable, match=r"onnxpress\[gpu\]"):
        require_device("cuda:0")
