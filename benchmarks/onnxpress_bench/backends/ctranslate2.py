"""CTranslate2's encoder, converted from PyTorch by its own converter, in float32 or int8.

It takes lists of ids without padding, as its documentation shows, and batches them without wasting work on padding.
The layers that classify, after the encoder, are not its own: its documentation runs them in another library, here it is
numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxpress_bench.backends import BackendSpec
from onnxpress_bench.backends.conversion import check_servable, conversion, torch_model
from onnxpress_bench.backends.encoder import Encoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

_HEAD = "head.npz"


@dataclass(frozen=True, slots=True)
class Head:
    """The layers that classify: modules of the PyTorch model in order, the last without activation.

    `pooled`: they start from what BERT's pooler returns, otherwise from the first token's hidden state.
    """

    modules: tuple[str, ...]
    activation: str | None = None
    pooled: bool = False


#: model_type -> its head, for text-classification.
HEADS: Mapping[str, Head] = {
    "bert": Head(("classifier",), pooled=True),
    "camembert": Head(("classifier.dense", "classifier.out_proj"), "tanh"),
    "distilbert": Head(("pre_classifier", "classifier"), "relu"),
    "roberta": Head(("classifier.dense", "classifier.out_proj"), "tanh"),
    "xlm-roberta": Head(("classifier.dense", "classifier.out_proj"), "tanh"),
}


class CTranslate2(Encoder):
    """`settings["converted"]`: the folder of the conversion, which `prepare` sets."""

    #: Lists of ids go in as they are.
    pads = False
    distributions: Sequence[str] = ("ctranslate2", "tokenizers")
    _encoder: Any = None
    _layers: Sequence[tuple[NDArray[Any], NDArray[Any]]] = ()

    @staticmethod
    def prepare(spec: BackendSpec) -> BackendSpec:
        check_servable(spec)
        model_type = spec.settings["model_type"]
        if model_type not in HEADS:
            raise NotImplementedError(
                f"CTranslate2 is measured with encoders of the kinds {', '.join(HEADS)}; {model_type} is none of them"
            )
        folder = conversion(spec, ("ctranslate2", "torch", "transformers"), lambda target: _convert(spec, target))
        return replace(spec, settings={**spec.settings, "converted": str(folder)})

    def load_libraries(self) -> None:
        import ctranslate2  # noqa: F401
        import numpy  # noqa: F401
        import tokenizers  # noqa: F401

    def load(self) -> None:
        super().load()
        self._tokenizer.no_padding()

    def load_model(self) -> None:
        import ctranslate2
        import numpy as np

        folder = Path(self.spec.settings["converted"])
        self._encoder = ctranslate2.Encoder(
            str(folder),
            device="cpu",
            inter_threads=1,
            intra_threads=self.spec.threads,
            compute_type=_quantization(self.spec),
        )
        if self.spec.task == "text-classification":
            with np.load(folder / _HEAD) as stored:
                modules = HEADS[self.spec.settings["model_type"]].modules
                self._layers = [(stored[f"{name}.weight"], stored[f"{name}.bias"]) for name in modules]

    def model_files(self) -> Sequence[Path]:
        return sorted(path for path in Path(self.spec.settings["converted"]).iterdir() if path.is_file())

    def tokenize(self, items: Sequence[Any]) -> Any:
        """Lists of ids, without padding."""
        found = self._tokenizer.encode_batch(list(items))
        batch = {"inputs": [one.ids for one in found]}
        if "token_type_ids" in self.spec.settings["input_names"]:
            batch["token_type_ids"] = [one.type_ids for one in found]
        return batch

    def forward(self, arrays: Any) -> NDArray[Any]:
        import numpy as np

        output = self._encoder.forward_batch(**arrays)
        if not self._layers:
            hidden: NDArray[Any] = np.asarray(output.last_hidden_state)  # shares its memory
            return hidden
        head = HEADS[self.spec.settings["model_type"]]
        features = np.asarray(output.pooler_output) if head.pooled else np.asarray(output.last_hidden_state)[:, 0]
        for weight, bias in self._layers[:-1]:
            features = _ACTIVATIONS[head.activation or ""](features @ weight.T + bias)
        weight, bias = self._layers[-1]
        logits: NDArray[Any] = features @ weight.T + bias
        return logits

    def finish(self, output: NDArray[Any], arrays: Any) -> Sequence[Any]:
        import numpy as np

        lengths = np.array([len(ids) for ids in arrays["inputs"]])
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        return super().finish(output, {"attention_mask": mask})


def _quantization(spec: BackendSpec) -> str:
    return str(spec.settings.get("quantization", "float32"))


def _relu(values: NDArray[Any]) -> NDArray[Any]:
    kept: NDArray[Any] = values * (values > 0)
    return kept


def _tanh(values: NDArray[Any]) -> NDArray[Any]:
    import numpy as np

    bent: NDArray[Any] = np.tanh(values)
    return bent


_ACTIVATIONS: Mapping[str, Any] = {"relu": _relu, "tanh": _tanh}


def _convert(spec: BackendSpec, target: Path) -> None:
    """The encoder in CTranslate2's format, in float32, and the head's weights in numpy's."""
    import numpy as np
    from ctranslate2.converters import TransformersConverter

    trust = spec.settings["trust_remote_code"]
    converter = TransformersConverter(spec.folder, trust_remote_code=trust)
    converter.convert(str(target), quantization=_quantization(spec), force=True)
    if spec.task != "text-classification":
        return
    model = torch_model(spec)
    arrays: dict[str, Any] = {}
    for name in HEADS[spec.settings["model_type"]].modules:
        layer = model.get_submodule(name)
        arrays |= {f"{name}.weight": layer.weight.detach().numpy(), f"{name}.bias": layer.bias.detach().numpy()}
    np.savez(target / _HEAD, **arrays)
