"""Models that read texts apart from pictures or sounds, into vectors of one space: a graph for each, and how two are
compared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onnxpress.format.manifest import PairScores, Postprocessing, TensorInfo
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed
from onnxpress_exporter.graphs.clap import joining
from onnxpress_exporter.graphs.spec import Traceable
from onnxpress_exporter.source.checkpoint import Checkpoint, first_line
from onnxpress_exporter.tasks.row import Tower

#: What the graphs are called and what they give, as transformers.js does.
TEXT, PICTURE, SOUND = "text_model", "vision_model", "audio_model"
TEXT_VECTORS = TensorInfo("text_embeds", "float32", ("batch",))
_PICTURE_VECTORS = TensorInfo("image_embeds", "float32", ("batch",))
_SOUND_VECTORS = TensorInfo("audio_embeds", "float32", ("batch",))

#: model_type -> tokens that transformers' pipeline fills up and cuts texts to, and lets the model attend to.
_PADDED = {"siglip": 64, "siglip2": 64}

#: Largest difference of a score from the whole model's, of scores that are 1 and more apart.
_ERROR = 1e-3


def text_length(model: Any) -> int | None:
    """The only length of a text that the model is asked about; None: any."""
    return next((tokens for kind, tokens in _PADDED.items() if kind in model.config.model_type), None)


def text_and_picture_towers(model: Any) -> tuple[Tower, ...]:
    """The model's `get_text_features` and `get_image_features`.

    Raises:
        UnsupportedCheckpoint: it has no such methods: it reads both together.
    """
    if not hasattr(model, "get_text_features") or not hasattr(model, "get_image_features"):
        raise UnsupportedCheckpoint(
            f"{type(model).__name__} reads texts and pictures together, so that every label is asked about every "
            "picture, which this version does not."
        )

    def vectors(**pixels: Any) -> Mapping[str, Any]:
        return _vectors(_PICTURE_VECTORS, model.get_image_features(**pixels))

    grids = "spatial_shapes" in inspect.signature(model.get_image_features).parameters
    texts = text_module(model, model)
    if grids:
        from onnxpress_exporter.graphs.patch_grids import grid_module

        pictures = grid_module(model, model.config.vision_config, vectors)
    else:
        pictures = picture_module(model, vectors)
    return (
        Tower(TEXT, "text", "text", texts, (TEXT_VECTORS,), text_length(model)),
        Tower(PICTURE, "vision", "image", pictures, (_PICTURE_VECTORS,)),
    )


def text_and_sound_towers(model: Any) -> tuple[Tower, ...]:
    """The model's `get_text_features` and `get_audio_features`."""
    return (
        Tower(TEXT, "text", "text", text_module(model, model), (TEXT_VECTORS,)),
        Tower(SOUND, "audio", "audio", _sound_module(model), (_SOUND_VECTORS,)),
    )


def compared_by_pairs(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    """What a manifest says of a model that compares texts with something else."""
    return Postprocessing(pairs=pair_scores_of(model))


def pair_scores_of(model: Any) -> PairScores:
    """The numbers that a model compares its vectors with."""
    import torch

    padded = text_length(model) is not None
    with torch.no_grad():
        if (temperature := getattr(model, "temperature", None)) is not None:
            scale = 1 / float(torch.as_tensor(temperature))
        else:
            scale = float(getattr(model, "logit_scale", getattr(model, "logit_scale_a", None)).exp())  # type: ignore[union-attr]
        bias = float(getattr(model, "logit_bias", None) or 0.0)
    return PairScores("sigmoid" if padded else "softmax", scale, bias, cuts=padded)


def check_pair_scores(model: Any, towers: Sequence[Traceable]) -> None:
    """Compare the scores of the towers' vectors with those of the whole model, on the examples that are traced.

    Raises:
        VerificationFailed: they are others.
        UnsupportedCheckpoint: the whole model does not run on them.
    """
    import torch

    pairs = pair_scores_of(model)
    with torch.no_grad():
        texts, others = (
            torch.nn.functional.normalize(part.module(**part.inputs)[part.spec.outputs[0].name], dim=-1)
            for part in towers
        )
        try:
            obtained = others @ texts.T * (pairs.scale or 1.0) + pairs.bias
            inputs = {name: value for part in towers for name, value in part.inputs.items()}
            expected = _scores_of_others(model(**inputs, **_as_one_sound(model, others)))
        except Exception as error:
            raise UnsupportedCheckpoint(f"{type(model).__name__} does not run: {first_line(error)}") from error
    if not float((obtained - expected).abs().max()) <= _ERROR * max(1.0, float(expected.abs().max())):
        raise VerificationFailed(
            f"{type(model).__name__} compares its vectors otherwise than by a scale and a bias: its first "
            f"score is {float(expected[0, 0]):.6g}, that of the vectors {float(obtained[0, 0]):.6g}. No artifact was "
            "written. Please report this checkpoint."
        )


def _scores_of_others(answer: Any) -> Any:
    """Of each picture or sound those of all texts, by transformers' names."""
    return answer.logits_per_image if "logits_per_image" in answer else answer.logits_per_audio


def _as_one_sound(model: Any, rows: Any) -> dict[str, Any]:
    """What CLAP is told besides the features: of a sound that is alone in its call, its feature extractor says that it
    is a long one, whether it is or not, where several spectra of it are joined ("fusion")."""
    import torch

    config = getattr(model.config, "audio_config", None)
    return (
        {"is_longer": torch.ones((len(rows), 1), dtype=torch.bool)} if getattr(config, "enable_fusion", False) else {}
    )


def _sound_module(model: Any) -> Any:
    """What makes vectors of sounds."""
    import torch

    reader = joining(model)

    class Sounds(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint, self.config, self.reader = model, model.config.audio_config, reader
            self.set_attn_implementation = model.set_attn_implementation

        def forward(self, input_features: torch.Tensor) -> Any:
            features = self.reader.get_audio_features(
                input_features=input_features, **_as_one_sound(model, input_features)
            )
            return _vectors(_SOUND_VECTORS, features)

    return Sounds().eval()


def text_module(model: Any, reader: Any) -> Any:
    """What makes vectors of texts. `reader`: the part of the model whose `get_text_features` does."""
    import torch

    typed = "token_type_ids" in inspect.signature(reader.get_text_features).parameters

    class Texts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint, self.config = model, model.config.text_config
            self.set_attn_implementation = model.set_attn_implementation

        def get_input_embeddings(self) -> Any:
            return reader.text_model.get_input_embeddings()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> Any:
            return _vectors(TEXT_VECTORS, reader.get_text_features(input_ids=input_ids, attention_mask=attention_mask))

    class TypedTexts(Texts):
        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor | None = None,
            token_type_ids: torch.Tensor | None = None,
        ) -> Any:
            features = reader.get_text_features(
                input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
            )
            return _vectors(TEXT_VECTORS, features)

    return (TypedTexts if typed else Texts)().eval()


def picture_module(model: Any, read: Callable[..., Mapping[str, Any]]) -> Any:
    """What makes vectors of pictures, and what else `read` makes of `pixel_values`."""
    import torch

    class Pictures(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint, self.config = model, model.config.vision_config
            self.set_attn_implementation = model.set_attn_implementation

        def forward(self, pixel_values: torch.Tensor) -> Any:
            return read(pixel_values=pixel_values)

    return Pictures().eval()


def _vectors(tensor: TensorInfo, features: Any) -> dict[str, Any]:
    return {tensor.name: getattr(features, "pooler_output", features)}
