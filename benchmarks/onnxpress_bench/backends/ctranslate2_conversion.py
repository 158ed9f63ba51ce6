"""Checkpoints in CTranslate2's format, and the classifying layers that it leaves to others, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import torch_model

_HEAD = "head.npz"


@dataclass(frozen=True, slots=True)
class Head:
    """The layers that classify: modules of the PyTorch model in order, the last without activation.

    `pooled`: they start from what BERT's pooler returns, otherwise from the first token's hidden state.
    """

    modules: tuple[str, ...]
    activation: str | None = None
    pooled: bool = False


_ROBERTA = Head(("classifier.dense", "classifier.out_proj"), "tanh")

#: model_type -> its head, for text-classification.
HEADS: Mapping[str, Head] = {
    "bert": Head(("classifier",), pooled=True),
    "camembert": _ROBERTA,
    "distilbert": Head(("pre_classifier", "classifier"), "relu"),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


def check_kind(spec: BackendSpec) -> None:
    """Raises NotImplementedError for an encoder that is not measured with CTranslate2."""
    model_type = spec.settings["model_type"]
    if model_type not in HEADS:
        raise NotImplementedError(
            f"CTranslate2 is measured with encoders of the kinds {', '.join(HEADS)}; {model_type} is none of them"
        )


def convert(spec: BackendSpec, target: Path) -> None:
    """By its own converter."""
    from ctranslate2.converters import TransformersConverter

    converter = TransformersConverter(spec.folder, trust_remote_code=spec.settings["trust_remote_code"])
    converter.convert(str(target), quantization=_quantization(spec), force=True)


def convert_encoder(spec: BackendSpec, target: Path) -> None:
    """The encoder in CTranslate2's format, and the head's weights in numpy's."""
    import numpy as np

    convert(spec, target)
    if spec.task != "text-classification":
        return
    model = torch_model(spec)
    arrays: dict[str, Any] = {}
    for name in HEADS[spec.settings["model_type"]].modules:
        layer = model.get_submodule(name)
        arrays |= {f"{name}.weight": layer.weight.detach().numpy(), f"{name}.bias": layer.bias.detach().numpy()}
    np.savez(target / _HEAD, **arrays)


def open_model(spec: BackendSpec, kind: str) -> Any:
    """An Encoder or a Translator."""
    import ctranslate2

    threads = {"inter_threads": 1, "intra_threads": spec.threads}
    folder, compute_type = spec.settings["converted"], _quantization(spec)
    return getattr(ctranslate2, kind)(folder, device="cpu", compute_type=compute_type, **threads)


def load_head(spec: BackendSpec) -> Callable[[Any], Any]:
    """What the encoder returns -> float32 (batch, labels)."""
    import numpy as np

    head = HEADS[spec.settings["model_type"]]
    with np.load(Path(spec.settings["converted"]) / _HEAD) as stored:
        layers = [(stored[f"{name}.weight"], stored[f"{name}.bias"]) for name in head.modules]

    def classify(output: Any) -> Any:
        features = np.asarray(output.pooler_output) if head.pooled else np.asarray(output.last_hidden_state)[:, 0]
        for weight, bias in layers[:-1]:
            features = features @ weight.T + bias
            features = np.tanh(features) if head.activation == "tanh" else np.maximum(features, 0)
        weight, bias = layers[-1]
        return features @ weight.T + bias

    return classify


def _quantization(spec: BackendSpec) -> str:
    return str(spec.settings.get("quantization", "float32"))
