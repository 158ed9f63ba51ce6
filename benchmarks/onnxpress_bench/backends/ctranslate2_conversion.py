"""Checkpoints in CTranslate2's format, and the classifying layers that it leaves to others, in numpy."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxpress_bench.backends import BackendSpec, NotMeasured
from onnxpress_bench.backends.base import Runner
from onnxpress_bench.backends.pytorch_checkpoint import load_model

_HEAD, _SAID = "head.npz", "generation_config.json"


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
    """Raises NotMeasured for an encoder, or an embedding, that is not measured with CTranslate2."""
    Runner.check(spec)
    model_type = spec.settings["model_type"]
    if model_type not in HEADS:
        raise NotMeasured(
            f"CTranslate2 is measured with encoders of the kinds {', '.join(HEADS)}; {model_type} is none of them"
        )


def convert(spec: BackendSpec, target: Path, copied: Sequence[str] = ()) -> None:
    """By its own converter, with the files `copied` of the checkpoint; and a head's weights in numpy's format."""
    from ctranslate2.converters import TransformersConverter

    present = [name for name in copied if Path(spec.folder, name).is_file()]
    trust = spec.settings["trust_remote_code"]
    converter = TransformersConverter(spec.folder, copy_files=present, trust_remote_code=trust)
    converter.convert(str(target), quantization=quantization_of(spec), force=True)
    if spec.task != "text-classification":
        return
    import numpy as np

    model = load_model(spec)
    layers = {name: model.get_submodule(name) for name in HEADS[spec.settings["model_type"]].modules}
    weights = {f"{name}.weight": layer.weight.detach().numpy() for name, layer in layers.items()}
    np.savez(
        target / _HEAD, **weights, **{f"{name}.bias": layer.bias.detach().numpy() for name, layer in layers.items()}
    )


def check_whisper(spec: BackendSpec) -> None:
    """Raises NotMeasured for another kind of model that hears."""
    if spec.settings["model_type"] != "whisper":
        raise NotMeasured(f"faster-whisper runs Whisper, not {spec.settings['model_type']}")


def convert_whisper(spec: BackendSpec, target: Path) -> None:
    """With what faster-whisper reads beside the model, and which tokens are never said."""
    convert(spec, target, ["preprocessor_config.json", "tokenizer.json", _SAID])


def silenced(folder: Path) -> dict[str, Any]:
    """Arguments of faster-whisper: the tokens that a converted checkpoint never says."""
    file = folder / _SAID
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    suppressed, blank = known.get("suppress_tokens") or [], bool(known.get("begin_suppress_tokens"))
    return {"suppress_tokens": suppressed, "suppress_blank": blank}


def open_model(spec: BackendSpec, kind: str) -> Any:
    """An Encoder or a Translator."""
    import ctranslate2

    threads = {"inter_threads": 1, "intra_threads": spec.threads}
    folder, compute_type = spec.settings["converted"], quantization_of(spec)
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


def quantization_of(spec: BackendSpec) -> str:
    """How weights are stored and multiplied, as CTranslate2 names it."""
    return str(spec.settings.get("quantization", "float32"))
