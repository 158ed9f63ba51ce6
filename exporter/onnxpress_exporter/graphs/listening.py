"""Models that hear a sound of any length and write what is said, in parts: what hears, and a decoder with its head,
which is called as a language model. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import CausalLMOutput

from onnxpress_exporter.errors import UnsupportedCheckpoint

#: Class -> where its decoder of tokens and its head are. Whisper is none of them: it hears windows, and has a reader.
_PARTS: Mapping[str, tuple[str, str]] = {
    "MoonshineForConditionalGeneration": ("model.decoder", "proj_out"),
    "Speech2TextForConditionalGeneration": ("model.decoder", "lm_head"),
}

#: States of the longest sound that is heard: ten minutes, of 40 ms each. Tables of places that PyTorch lengthens when
#: it meets more are of this length in the graph.
_MOST_STATES = 15_000


class Speaker(torch.nn.Module):
    """A decoder with its head, called as a language model that looks at states."""

    def __init__(self, model: Any, decoder: str, head: str) -> None:
        super().__init__()
        self.decoder: torch.nn.Module = model.get_submodule(decoder)
        self.head: torch.nn.Module = model.get_submodule(head)
        self.config, self.generation_config = model.config, model.generation_config

    def forward(self, input_ids: torch.Tensor, **arguments: Any) -> CausalLMOutput:
        """Scores float32 (rows, tokens, vocabulary)."""
        return CausalLMOutput(logits=self.head(self.decoder(input_ids=input_ids, **arguments)[0]))

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
    places = getattr(model.get_encoder(), "embed_positions", None)
    if places is not None and places.num_positions < _MOST_STATES:
        places.make_weights(_MOST_STATES + places.offset, places.embedding_dim, places.padding_idx)
    return Listener(model, Speaker(model, *_PARTS[name]))
