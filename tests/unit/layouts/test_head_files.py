"""Layers after pooling, read from a sentence-transformers folder, against numpy; and what is refused of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import onnxpress
from onnxpress.errors import ArtifactError, CorruptFile, MissingFile, UnsupportedFormat
from onnxpress.layouts.head_files import ACTIVATIONS

from ...fixtures.foreign import of_tokens, write_foreign, write_modules, write_safetensors

RNG = np.random.default_rng(1)
W, B = RNG.normal(size=(3, 2)).astype(np.float32), RNG.normal(size=3).astype(np.float32)
PROJECTION, SQUARE = RNG.normal(size=(3, 2)).astype(np.float32), RNG.normal(size=(3, 3)).astype(np.float32)
#: The mean of the states of "good bad" in the model of the fixture.
POOLED = np.array([0.25, 0.25], np.float32)


def dense(activation: str = "torch.nn.modules.linear.Identity", **changes: Any) -> dict[str, Any]:
    return {"in_features": 2, "out_features": 3, "bias": True, "activation_function": activation, **changes}


def write_embedder(folder: Path, *layers: tuple[str, dict[str, Any], dict[str, NDArray[Any]]], last: str = "") -> Path:
    write_foreign(folder, edits=[of_tokens("last_hidden_state")])
    kinds = ["Transformer", "Pooling", *(kind for kind, _, _ in layers), *([last] if last else [])]
    places = write_modules(folder, kinds)
    for place, (_, config, weights) in zip(places[2:], layers, strict=False):
        (folder / place / "config.json").write_text(json.dumps(config))
        write_safetensors(folder / place / "model.safetensors", weights)
    return folder


def gelu(x: NDArray[Any]) -> NDArray[Any]:
    from math import erf, sqrt

    return np.array([0.5 * v * (1 + erf(v / sqrt(2))) for v in x])


EXPECTED: dict[str, Any] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "ReLU": lambda x: np.maximum(x, 0),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "LeakyReLU": lambda x: np.where(x > 0, x, 0.01 * x),
    "ELU": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "CELU": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "SELU": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    "Softplus": lambda x: np.log1p(np.exp(x)),
    "Softsign": lambda x: x / (1 + np.abs(x)),
    "LogSigmoid": lambda x: -np.log1p(np.exp(-x)),
    "Hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "Hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "GELU": gelu,
    "SiLU": lambda x: x / (1 + np.exp(-x)),
    "Mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation(name: str, tmp_path: Path) -> None:
    """Their places in PyTorch's modules differ, and only the name of the class counts."""
    layer = ("Dense", dense(f"torch.nn.modules.activation.{name}"), {"linear.weight": 4 * W, "linear.bias": B})
    pipe = onnxpress.pipeline(model=write_embedder(tmp_path / "folder", layer))
    assert pipe("good bad").tolist() == pytest.approx(EXPECTED[name](4 * W @ POOLED + B), abs=1e-6)


def test_layers_follow_each_other_and_a_copy_keeps_them(tmp_path: Path) -> None:
    layers = (
        ("Dense", dense(None), {"linear.weight": W, "linear.bias": B}),
        ("LayerNorm", {"dimension": 3}, {"norm.weight": B, "norm.bias": W[:, 0]}),
        (
            "Dense",
            dense(in_features=3, bias=False, use_residual=True),
            {"linear.weight": SQUARE.astype(np.float16)},
        ),
    )
    folder = write_embedder(tmp_path / "folder", *layers, last="Normalize")
    pipe = onnxpress.pipeline(model=folder)
    first = np.tanh(W @ POOLED + B)
    second = (first - first.mean()) / np.sqrt(first.var() + 1e-5) * B + W[:, 0]
    third = SQUARE.astype(np.float16).astype(np.float32) @ second + second
    expected = third / np.linalg.norm(third)
    assert pipe.get_embedding_dimension() == 3
    assert pipe(["good bad", "good bad"])[1].tolist() == pytest.approx(expected, abs=1e-6)
    copied = onnxpress.pipeline(model=pipe.save_pretrained(tmp_path / "copy"))
    assert copied("good bad").tolist() == pipe("good bad").tolist()
    assert any(fact.what == "after pooling" for fact in copied.adopted.facts)  # type: ignore[union-attr]


def test_a_residual_of_another_size_has_weights(tmp_path: Path) -> None:
    weights = {"linear.weight": W, "linear.bias": B, "residual.weight": PROJECTION}
    layer = ("Dense", dense("torch.nn.modules.activation.Tanh", use_residual=True), weights)
    pipe = onnxpress.pipeline(model=write_embedder(tmp_path / "folder", layer))
    assert pipe("good bad").tolist() == pytest.approx(np.tanh(W @ POOLED + B) + PROJECTION @ POOLED, abs=1e-6)


WHOLE = {"linear.weight": W, "linear.bias": B}
REFUSED: dict[str, tuple[str, dict[str, Any], dict[str, Any], type[ArtifactError], str]] = {
    "an activation of the author's": ("Dense", dense("mine.Swish"), WHOLE, UnsupportedFormat, "activation mine.Swish"),
    "one with weights": ("Dense", dense("torch.nn.PReLU"), WHOLE, UnsupportedFormat, "PReLU is not known here"),
    "another width": ("Dense", dense(in_features=5), WHOLE, UnsupportedFormat, "takes 5 numbers, and is given 2"),
    "no size": ("Dense", dense(out_features="x"), WHOLE, CorruptFile, "out_features is 'x'"),
    "other weights": ("Dense", dense(), {"linear.weight": SQUARE}, CorruptFile, "config wants linear.weight .3, 2."),
    "another input": (
        "Dense",
        dense(module_input_name="token_embeddings"),
        WHOLE,
        UnsupportedFormat,
        "token_embeddings",
    ),
}


@pytest.mark.parametrize(("kind", "config", "weights", "error", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_is_refused(
    kind: str, config: dict[str, Any], weights: Any, error: type[ArtifactError], words: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=words):
        onnxpress.pipeline(model=write_embedder(tmp_path / "folder", (kind, config, weights)))


def test_files_of_weights_that_are_none(tmp_path: Path) -> None:
    folder = write_embedder(tmp_path / "folder", ("Dense", dense(), WHOLE))
    path = folder / "2_Dense" / "model.safetensors"
    whole = path.read_bytes()
    for content in (b"", whole[:40], (1 << 62).to_bytes(8, "little") + whole[8:], whole[:-4]):
        path.write_bytes(content)
        with pytest.raises(CorruptFile, match="not a safetensors file"):
            onnxpress.pipeline(model=folder)
    path.rename(path.with_name("pytorch_model.bin"))
    with pytest.raises(MissingFile, match="pickled weights are never opened"):
        onnxpress.pipeline(model=folder)
