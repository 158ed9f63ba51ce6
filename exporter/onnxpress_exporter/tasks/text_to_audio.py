"""text-to-audio: a text, spoken."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from onnxpress.format.manifest import Manifest, Postprocessing, TensorInfo
from onnxpress.format.speech import SpeechByDurations, SpeechByFrames, SpeechSettings
from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.judging.waves import compare_waves, wave_disagreement
from onnxpress_exporter.source.checkpoint import Checkpoint, first_line
from onnxpress_exporter.tasks.row import ExportTask, Head, Probes

#: Sentences that are spoken to judge a variant: each takes as long as a hundred texts that are read.
_SPOKEN, _WORDS = 10, 8

#: The vocoder of a checkpoint is in this folder of it; where there is none, transformers' pipeline takes that one.
_VOCODER_FOLDER, _USUAL_VOCODER = "vocoder", "microsoft/speecht5_hifigan"

#: Sizes that are traced: unlike any inside a model.
_TOKENS, _FRAMES = 23, 29

#: Numbers of a voice that judged models speak with.
_VOICE = 0.05


@dataclass(frozen=True, slots=True)
class _Family:
    """How models of one model_type speak. `parts`: the graphs that a model is but for the vocoder. `vocoder`,
    `settings`: take the checkpoint and the model."""

    parts: Callable[[Any], Sequence[Traceable]]
    vocoder: Callable[[Checkpoint, Any], Traceable]
    settings: Callable[[Checkpoint, Any], SpeechSettings]


def _tensor(name: str, *axes: str | int, dtype: str = "float32") -> TensorInfo:
    return TensorInfo(name, dtype, axes)


def _traceable(
    name: str, role: str, module: Any, inputs: Mapping[str, tuple[TensorInfo, Any]], outputs: Any
) -> Traceable:
    spec = GraphSpec(name, tuple(tensor for tensor, _ in inputs.values()), tuple(outputs), role)
    return Traceable(spec, module.eval(), {name: example for name, (_, example) in inputs.items()})


def _ids(model: Any) -> tuple[TensorInfo, Any]:
    import torch

    ids = torch.arange(_TOKENS)[None] * 7 % int(model.config.vocab_size)
    return _tensor("input_ids", 1, "sequence", dtype="int64"), ids


def _vits_speaker(model: Any) -> dict[str, tuple[TensorInfo, Any]]:
    import torch

    if model.config.num_speakers < 2:
        return {}
    return {"speaker_id": (_tensor("speaker_id", 1, dtype="int64"), torch.ones(1, dtype=torch.int64))}


def _vits_parts(model: Any) -> list[Traceable]:
    import torch

    from onnxpress_exporter.graphs.vits import VitsReader

    bands = int(model.config.flow_size)
    inputs = {"input_ids": _ids(model)}
    if model.config.use_stochastic_duration_prediction:
        noise = torch.randn((1, 2, _TOKENS), generator=torch.Generator().manual_seed(0))
        inputs["duration_noise"] = (_tensor("duration_noise", 1, 2, "sequence"), noise)
    outputs = (
        _tensor("durations", 1, "sequence"),
        _tensor("means", 1, "sequence", bands),
        _tensor("log_deviations", 1, "sequence", bands),
    )
    return [_traceable("model", "encoder", VitsReader(model), inputs | _vits_speaker(model), outputs)]


def _vits_vocoder(checkpoint: Checkpoint, model: Any) -> Traceable:
    import torch

    from onnxpress_exporter.graphs.vits import VitsVocoder

    bands = int(model.config.flow_size)
    frames = torch.randn((1, _FRAMES, bands), generator=torch.Generator().manual_seed(1))
    inputs = {"frames": (_tensor("frames", 1, "frames", bands), frames)}
    outputs = (_tensor("waveform", 1, "samples"),)
    return _traceable("vocoder", "vocoder", VitsVocoder(model), inputs | _vits_speaker(model), outputs)


def _vits_settings(checkpoint: Checkpoint, model: Any) -> SpeechSettings:
    config = model.config
    return SpeechByDurations(
        rate=int(config.sampling_rate),
        frame=prod(config.upsample_rates),
        noise_scale=float(config.noise_scale),
        duration_noise=float(config.noise_scale_duration) if config.use_stochastic_duration_prediction else None,
        speaking_rate=float(config.speaking_rate),
        voices=int(config.num_speakers) if config.num_speakers > 1 else 0,
    )


def _speecht5_parts(model: Any) -> list[Traceable]:
    import torch

    from onnxpress_exporter.graphs.speecht5 import SpeechT5Reader, SpeechT5Stepper

    config, settings = model.config, _prenet_sizes(model)
    heads = int(config.decoder_attention_heads)
    keys = (1, int(config.decoder_layers), 2, heads)
    size = int(config.hidden_size) // heads
    generator = torch.Generator().manual_seed(0)

    def numbers(*shape: int) -> Any:
        return torch.randn(shape, generator=generator)

    read = _tensor("read", *keys, "sequence", size)
    inputs = {
        "frame": (_tensor("frame", 1, config.num_mel_bins), numbers(1, config.num_mel_bins)),
        "place": (_tensor("place", 1, dtype="int64"), torch.tensor([_FRAMES])),
        "voice": (_tensor("voice", 1, config.speaker_embedding_dim), numbers(1, config.speaker_embedding_dim)),
        "stays": (_tensor("stays", 1, *settings), numbers(1, *settings).clamp_min(0)),
        "past": (_tensor("past", *keys, "past", size), numbers(*keys, _FRAMES, size)),
        "read": (read, numbers(*keys, _TOKENS, size)),
    }
    outputs = (
        _tensor("frames", 1, config.reduction_factor, config.num_mel_bins),
        _tensor("stop", 1, config.reduction_factor),
        _tensor("present", *keys, "present", size),
    )
    return [
        _traceable("encoder_model", "encoder", SpeechT5Reader(model), {"input_ids": _ids(model)}, (read,)),
        _traceable("decoder_model", "decoder", SpeechT5Stepper(model), inputs, outputs),
    ]


def _prenet_sizes(model: Any) -> tuple[int, int]:
    return int(model.config.speech_decoder_prenet_layers), int(model.config.speech_decoder_prenet_units)


def _speecht5_vocoder(checkpoint: Checkpoint, model: Any) -> Traceable:
    import torch

    from onnxpress_exporter.graphs.speecht5 import SpeechT5Vocoder

    bands = int(model.config.num_mel_bins)
    frames = torch.randn((1, _FRAMES, bands), generator=torch.Generator().manual_seed(1))
    inputs = {"frames": (_tensor("frames", 1, "frames", bands), frames)}
    outputs = (_tensor("waveform", 1, "samples"),)
    return _traceable("vocoder", "vocoder", SpeechT5Vocoder(model, _vocoder_of(checkpoint)), inputs, outputs)


def _speecht5_settings(checkpoint: Checkpoint, model: Any) -> SpeechSettings:
    config = model.config
    layers, units = _prenet_sizes(model)
    return SpeechByFrames(
        rate=int(_vocoder_of(checkpoint).config.sampling_rate),
        bands=int(config.num_mel_bins),
        at_once=int(config.reduction_factor),
        voice=int(config.speaker_embedding_dim),
        layers=layers,
        units=units,
        keeps=float(config.speech_decoder_prenet_dropout),
        most=int(config.max_speech_positions),
    )


def _vocoder_of(checkpoint: Checkpoint) -> Any:
    """The model that makes samples of SpeechT5's frames.

    Raises:
        UnsupportedCheckpoint: there is none.
    """
    from transformers import SpeechT5HifiGan

    folder = Path(checkpoint.model_folder) / _VOCODER_FOLDER
    try:
        return _still(SpeechT5HifiGan.from_pretrained(folder if folder.is_dir() else _USUAL_VOCODER))
    except Exception as error:
        raise UnsupportedCheckpoint(
            f"The vocoder of {checkpoint.source}, {folder if folder.is_dir() else _USUAL_VOCODER}, cannot be loaded: "
            f"{first_line(error)}. Save a SpeechT5HifiGan in the checkpoint's folder {_VOCODER_FOLDER!r}."
        ) from error


def _still(model: Any) -> Any:
    """A model that learns nothing."""
    return model.eval().requires_grad_(False)


#: model_type -> how it speaks.
_FAMILIES: Mapping[str, _Family] = {
    "speecht5": _Family(_speecht5_parts, _speecht5_vocoder, _speecht5_settings),
    "vits": _Family(_vits_parts, _vits_vocoder, _vits_settings),
}


def _family(model: Any) -> _Family:
    family = _FAMILIES.get(model.config.model_type)
    if family is None:
        raise UnsupportedCheckpoint(
            f"{type(model).__name__} speaks in a way that this version does not export. It exports: "
            f"{', '.join(_FAMILIES)}."
        )
    return family


def _postprocessing(checkpoint: Checkpoint, model: Any) -> Postprocessing:
    return Postprocessing(speech=_family(model).settings(checkpoint, model))


def _sentences(material: Sequence[Any], manifest: Manifest) -> list[Any]:
    """The first sentences, of a few words."""
    return [" ".join(text.split()[:_WORDS]) for text in material[:_SPOKEN]]


def _parameters(manifest: Manifest) -> Mapping[str, Any]:
    """Of judged calls: the first voice, or one of small numbers; and no longer than speech is."""
    speech = manifest.postprocessing.speech
    if isinstance(speech, SpeechByFrames):
        voice = [_VOICE * (1 - 2 * (number % 2)) for number in range(speech.voice)]
        return {"forward_params": {"speaker_embeddings": voice, "maxlenratio": 4.0}}
    return {"forward_params": {"speaker_id": 0} if speech is not None and speech.voices else {}}


TEXT_TO_AUDIO = ExportTask(
    name="text-to-audio",
    head=Head(
        "AutoModelForTextToWaveform", ("ForTextToSpeech", "VitsModel"), classes={"speecht5": "SpeechT5ForTextToSpeech"}
    ),
    outputs=None,
    parts=lambda model: _family(model).parts(model),
    postprocessing=_postprocessing,
    probes=Probes(),
    items=_sentences,
    compare=compare_waves,
    beside_others=wave_disagreement,
    metric=None,
    options_of=_parameters,
    graphs_after=lambda checkpoint, model, pickled: (_family(model).vocoder(checkpoint, model),),
)
