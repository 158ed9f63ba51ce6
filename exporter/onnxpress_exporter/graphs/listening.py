"""Models that hear a sound of any length and write what is said, in parts: what hears, and a decoder with its head,
which is called as a language model. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers.modeling_outputs import CausalLMOutput

from onnxpress_exporter.errors import UnsupportedCheckpoint


@dataclass(frozen=True, slots=True)
class Places:
    """Where a class has its decoder of tokens and its head, and what the decoder calls its tokens."""

    decoder: str
    head: str
    takes: str = "input_ids"


#: By class. Whisper is none of them: it hears windows, and has a reader.
_PLACES: Mapping[str, Places] = {
    "MoonshineForConditionalGeneration": Places("model.decoder", "proj_out"),
    "Speech2TextForConditionalGeneration": Places("model.decoder", "lm_head"),
    "SpeechT5ForSpeechToText": Places("speecht5.decoder", "text_decoder_postnet", "input_values"),
}


class Speaker(torch.nn.Module):
    """A decoder with its head, called as a language model that looks at states."""

    def __init__(self, model: Any, places: Places) -> None:
        super().__init__()
        self.decoder, self.head = model.get_submodule(places.decoder), model.get_submodule(places.head)
        self._takes = places.takes
        self.config, self.generation_config = model.config, model.generation_config
        self._whole = (model,)  # not a part of this module

    def forward(self, input_ids: torch.Tensor, **arguments: Any) -> CausalLMOutput:
        """Scores float32 (rows, tokens, vocabulary)."""
        states = self.decoder(**{self._takes: input_ids}, **arguments)[0]
        return CausalLMOutput(logits=self.head(states))

    def get_output_embeddings(self) -> torch.nn.Module:
        """The head."""
        return self.head

    def set_attn_implementation(self, name: str) -> None:
        """Of the whole model."""
        self._whole[0].set_attn_implementation(name)


@dataclass(frozen=True, slots=True)
class Listener:
    """As `describing.Describer`, of sounds. `model`: the whole; `decoder`: what writes."""

    model: Any
    decoder: Speaker

    def states(self, arrays: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """float32 (sounds, places, width): what the decoder looks at."""
        states: torch.Tensor = self.model.get_encoder()(**arrays)[0]
        return states

    def logits(self, arrays: Mapping[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        """float32 (rows, tokens, vocabulary): what may follow each token of a text of a sound."""
        logits: torch.Tensor = self.model(**arrays, decoder_input_ids=ids).logits
        return logits

    def generate(self, arrays: Mapping[str, torch.Tensor], ids: torch.Tensor, settings: Any) -> torch.Tensor:
        """int64 (rows, tokens): a text with what `generate` lets follow."""
        written: torch.Tensor = self.model.generate(**arrays, decoder_input_ids=ids, generation_config=settings)
        return written

    @property
    def writer(self) -> Any:
        """The module whose generation config `generate` reads."""
        return self.model


def listens(model: Any) -> bool:
    """Whether it is a model of this kind."""
    return type(model).__name__ in _PLACES


def listener_of(model: Any) -> Listener:
    """The parts of a model.

    Raises:
        UnsupportedCheckpoint: it is of an unknown kind.
    """
    name = type(model).__name__
    if name not in _PLACES:
        raise UnsupportedCheckpoint(f"{name} hears and writes in a way that this version does not export.")
    return Listener(model, Speaker(model, _PLACES[name]))
