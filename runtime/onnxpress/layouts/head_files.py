"""The layers that a sentence-transformers folder has after pooling, as the graph that the exporter would write of them.

Weights are read from safetensors alone: pickled ones are never opened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxpress.errors import CorruptFile, MissingFile, UnsupportedFormat
from onnxpress.format.manifest import GraphInfo, TensorInfo
from onnxpress.format.safetensors import read_floats
from onnxpress.graphcheck.writing import Node, graph_bytes
from onnxpress.layouts.files import Files

#: The graph, its file, and what it takes and returns, as the exporter calls them.
HEAD, HEAD_FILE = "head", "sentence_head.onnx"
_POOLED, _VECTOR = "pooled", "sentence_embedding"

LAYERS = ("Dense", "LayerNorm")
#: What a Dense layer's config has no word of.
_USUAL_ACTIVATION = "torch.nn.modules.activation.Tanh"
_WEIGHTS = "model.safetensors"

_TURNED: Mapping[str, int | float] = {"transB": 1}
Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Head:
    """The graph's content, what it takes and returns, the width of its vectors, and the files of its weights."""

    content: bytes
    info: GraphInfo
    width: int
    files: tuple[str, ...]


def _gelu(x: str, y: str) -> list[Node]:
    """0.5 x (1 + erf(x / sqrt 2))."""
    return [
        Node("Mul", [x, "gelu_scale"], f"{y}_scaled"),
        Node("Erf", [f"{y}_scaled"], f"{y}_erf"),
        Node("Add", [f"{y}_erf", "gelu_one"], f"{y}_more"),
        Node("Mul", [x, f"{y}_more"], f"{y}_double"),
        Node("Mul", [f"{y}_double", "gelu_half"], y),
    ]


def _silu(x: str, y: str) -> list[Node]:
    return [Node("Sigmoid", [x], f"{y}_gate"), Node("Mul", [x, f"{y}_gate"], y)]


def _mish(x: str, y: str) -> list[Node]:
    return [
        Node("Softplus", [x], f"{y}_plus"),
        Node("Tanh", [f"{y}_plus"], f"{y}_gate"),
        Node("Mul", [x, f"{y}_gate"], y),
    ]


def _operator(kind: str, **attributes: int | float) -> Callable[[str, str], list[Node]]:
    return lambda x, y: [Node(kind, [x], y, attributes)]


#: torch.nn's class, with its usual arguments, which are all that the library keeps -> from x to y.
ACTIVATIONS: Mapping[str, Callable[[str, str], list[Node]]] = {
    "Identity": _operator("Identity"),
    "Tanh": _operator("Tanh"),
    "Sigmoid": _operator("Sigmoid"),
    "ReLU": _operator("Relu"),
    "ReLU6": lambda x, y: [Node("Relu", [x], f"{y}_relu"), Node("Min", [f"{y}_relu", "relu_most"], y)],
    "LeakyReLU": _operator("LeakyRelu", alpha=0.01),
    "ELU": _operator("Elu", alpha=1.0),
    "CELU": _operator("Celu", alpha=1.0),
    "SELU": _operator("Selu"),
    "Softplus": _operator("Softplus"),
    "Softsign": _operator("Softsign"),
    "LogSigmoid": lambda x, y: [
        Node("Neg", [x], f"{y}_turned"),
        Node("Softplus", [f"{y}_turned"], f"{y}_plus"),
        Node("Neg", [f"{y}_plus"], y),
    ],
    "Hardswish": _operator("HardSwish"),
    "Hardsigmoid": _operator("HardSigmoid", alpha=1 / 6, beta=0.5),
    "GELU": _gelu,
    "SiLU": _silu,
    "Mish": _mish,
}
_CONSTANTS: Weights = {
    "gelu_scale": np.array(1 / sqrt(2), np.float32),
    "gelu_one": np.array(1, np.float32),
    "gelu_half": np.array(0.5, np.float32),
    "relu_most": np.array(6, np.float32),
}


def read_head(files: Files, modules: Sequence[tuple[str, str]], width: int) -> Head | None:
    """The layers among these modules as one graph; None: there are none.

    Args:
        modules: kind and folder of each that follows pooling.
        width: of the pooled vector.

    Raises:
        MissingFile: a layer has no weights in safetensors.
        UnsupportedFormat: a layer is of a kind that is not run.
        CorruptFile: weights are not what the layer's config says.
    """
    layers = [(kind, folder) for kind, folder in modules if kind in LAYERS]
    if not layers:
        return None
    nodes: list[Node] = []
    weights: dict[str, NDArray[np.float32]] = {}
    at, taken = _POOLED, width
    for number, (kind, folder) in enumerate(layers):
        name = _VECTOR if number == len(layers) - 1 else f"layer_{number}"
        layer = _Layer(files, folder, name, width)
        further, width = layer.norm(at, weights) if kind == "LayerNorm" else layer.dense(at, weights)
        nodes += further
        at = name
    files_of_weights = tuple(f"{folder}/{_WEIGHTS}" for _, folder in layers)
    used = {place for node in nodes for place in node.inputs}
    weights |= {name: array for name, array in _CONSTANTS.items() if name in used}
    info = GraphInfo(
        (TensorInfo(_POOLED, "float32", ("batch", taken)),), (TensorInfo(_VECTOR, "float32", ("batch", width)),), HEAD
    )
    return Head(graph_bytes(nodes, weights, (_POOLED, taken), (_VECTOR, width)), info, width, files_of_weights)


@dataclass(frozen=True, slots=True)
class _Layer:
    """One layer. `output`: what its result is called; `width`: of what it is given."""

    files: Files
    folder: str
    output: str
    width: int

    def dense(self, x: str, weights: dict[str, NDArray[np.float32]]) -> tuple[list[Node], int]:
        """activation(x W^T + b), with x or its projection added where the config says so."""
        config = self._config()
        width = self._size(config, "out_features")
        self._same(self._size(config, "in_features"))
        biased, residual = config.get("bias", True) is not False, config.get("use_residual") is True
        shapes = {"linear.weight": (width, self.width), **({"linear.bias": (width,)} if biased else {})}
        if residual and width != self.width:
            shapes["residual.weight"] = (width, self.width)
        names = self._filled(shapes, weights)
        linear, active = f"{self.output}_linear", f"{self.output}_active" if residual else self.output
        nodes = [Node("Gemm", [x, *(names[name] for name in shapes if name.startswith("linear"))], linear, _TURNED)]
        nodes += self._activation(config)(linear, active)
        if residual:
            added = x
            if "residual.weight" in names:
                added = f"{self.output}_residual"
                nodes.append(Node("Gemm", [x, names["residual.weight"]], added, _TURNED))
            nodes.append(Node("Add", [active, added], self.output))
        return nodes, width

    def norm(self, x: str, weights: dict[str, NDArray[np.float32]]) -> tuple[list[Node], int]:
        """torch.nn.LayerNorm."""
        self._same(self._size(self._config(), "dimension"))
        names = self._filled({"norm.weight": (self.width,), "norm.bias": (self.width,)}, weights)
        attributes: dict[str, int | float] = {"axis": -1, "epsilon": 1e-5}
        return [Node("LayerNormalization", [x, *names.values()], self.output, attributes)], self.width

    def _config(self) -> dict[str, Any]:
        config = self.files.settings(f"{self.folder}/config.json")
        for key in ("module_input_name", "module_output_name"):
            if config.get(key) not in (None, _VECTOR):
                raise UnsupportedFormat(f"{self._where}: it works on {config[key]}, not on the vector of a text.")
        return config

    def _size(self, config: Mapping[str, Any], name: str) -> int:
        size = config.get(name)
        if not isinstance(size, int) or size < 1:
            raise CorruptFile(f"{self._where}/config.json: {name} is {size!r}. Download it again.")
        return size

    def _same(self, width: int) -> None:
        if width != self.width:
            raise UnsupportedFormat(
                f"{self._where}: the layer takes {width} numbers, and is given {self.width}: one of them is of another "
                "model. Get both from the same export."
            )

    def _filled(self, shapes: Mapping[str, tuple[int, ...]], weights: dict[str, NDArray[np.float32]]) -> dict[str, str]:
        """Add the layer's weights; returns what they are called."""
        name = f"{self.folder}/{_WEIGHTS}"
        if name not in self.files.names:
            raise MissingFile(
                f"{self.files.folder / name}: there is no such file, and pickled weights are never opened. Save the "
                "model again with sentence-transformers, or export the checkpoint with `onnxpress export`."
            )
        tensors = read_floats(self.files.path(name))
        if {key: array.shape for key, array in tensors.items()} != dict(shapes):
            there = ", ".join(f"{key} {array.shape}" for key, array in tensors.items())
            wanted = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
            raise CorruptFile(
                f"{self.files.folder / name}: its config wants {wanted}; it has {there}. Download it again."
            )
        weights |= {f"{self.output}.{key}": tensors[key] for key in shapes}
        return {key: f"{self.output}.{key}" for key in shapes}

    def _activation(self, config: Mapping[str, Any]) -> Callable[[str, str], list[Node]]:
        name = str(config.get("activation_function") or _USUAL_ACTIVATION)
        short = name.rpartition(".")[2]
        if not name.startswith("torch.nn.") or short not in ACTIVATIONS:
            raise UnsupportedFormat(
                f"{self._where}: the activation {name} is not known here; known are torch.nn's "
                f"{', '.join(ACTIVATIONS)}. Export the checkpoint with `onnxpress export`."
            )
        return ACTIVATIONS[short]

    @property
    def _where(self) -> str:
        return str(self.files.folder / self.folder)
