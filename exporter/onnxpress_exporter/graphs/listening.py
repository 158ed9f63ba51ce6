"""Models that hear a sound of any length and write what is said, in parts: what hears, and a decoder with its head,
which is called as a language model. Imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import CausalLMOutput

from onnxpress_exporter.errors import UnsupportedCheckpoint


@dataclass(frozen=True, slots=True)
class _Parts:
    """Where a model's decoder of tokens and its head are, what the decoder calls its tokens, and where the encoder has
    a table of places that PyTorch lengthens when a sound is longer."""

    decoder: str
    head: str
    tokens: str = "input_ids"
    places: str | None = None


#: By class. Whisper is none of them: it hears windows, and has a reader.
_PARTS: Mapping[str, _Parts] = {
    "MoonshineForConditionalGeneration": _Parts("model.decoder", "proj_out"),
    "Speech2TextForConditionalGeneration": _Parts("model.decoder", "lm_head", places="embed_positions"),
    "SpeechT5ForSpeechToText": _Parts(
        "speecht5.decoder", "text_decoder_postnet.lm_head", "input_values", "prenet.pos_sinusoidal_embed"
    ),
}


class _Places(torch.nn.Module):
    """The sines and cosines of a table of places, of as many as there are: the table would have to be as long as the
    longest sound."""

    def __init__(self, table: Any) -> None:
        super().__init__()
        half = table.embedding_dim // 2
        self.first, self.spare = table.padding_idx + 1, table.embedding_dim % 2
        steps = torch.arange(half, dtype=torch.int64).float()
        self.frequencies = torch.nn.Buffer(torch.exp(steps * -(math.log(10_000) / (half - 1))), persistent=False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """float32 (sounds, places, width), of int64 (sounds, places), which hides nothing."""
        places = torch.arange(hidden.shape[1], dtype=torch.int64) + self.first
        angles = places.float()[:, None] * self.frequencies[None]
        waves = torch.cat([torch.sin(angles), torch.cos(angles), torch.zeros(1, self.spare).expand(len(angles), -1)], 1)
        return waves[None].expand(hidden.shape[0], -1, -1)


class Speaker(torch.nn.Module):
    """A decoder with its head, called as a language model that looks at states."""

    def __init__(self, model: Any, parts: _Parts) -> None:
        super().__init__()
        self.decoder: torch.nn.Module = model.get_submodule(parts.decoder)
        self.head: torch.nn.Module = model.get_submodule(parts.head)
        self._tokens = parts.tokens
        self.config, self.generation_config = model.config, model.generation_config

    def forward(self, input_ids: torch.Tensor, **arguments: Any) -> CausalLMOutput:
        """Scores float32 (rows, tokens, vocabulary)."""
        return CausalLMOutput(logits=self.head(self.decoder(**{self._tokens: input_ids}, **arguments)[0]))

    def get_output_embeddings(self) -> torch.nn.Module:
        """The head."""
        return self.head

    def set_attn_implementation(self, name: str) -> None:
        """Of the decoder."""
        decoder: Any = self.decoder
        decoder.set_attn_implementation(name)


@dataclass(frozen=True, slots=True)
class Listener:
    """The parts of a model: `model`, the whole; `decoder`, what writes. Implements `describing.Perceives`."""

    model: Any
    decoder: Speaker

    def states(self, arrays: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """float32 (sounds, places, width): what the decoder looks at."""
        states: torch.Tensor = self.model.get_encoder()(**arrays)[0]
        return states


def listener_of(model: Any) -> Listener:
    """The parts of a model.

    Raises:
        UnsupportedCheckpoint: it is of an unknown kind.
    """
    name = type(model).__name__
    if name not in _PARTS:
        raise UnsupportedCheckpoint(
            f"{name} is not exported by this version, which exports WhisperForConditionalGeneration, "
            f"{' and '.join(_PARTS)} for automatic-speech-recognition."
        )
    parts = _PARTS[name]
    if parts.places is not None:
        encoder = model.get_encoder()
        encoder.set_submodule(parts.places, _Places(encoder.get_submodule(parts.places)))
    return Listener(model, Speaker(model, parts))
