"""Models that look at a picture and write about it, in parts: what sees, and a language model that looks at what it
saw; and graphs of such parts, which may hear as well. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import onnx_ir
import torch
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.errors import TraceError, UnsupportedCheckpoint
from onnxpress_exporter.graphs.names import CROSS_DECODER, ENCODER
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.graphs.trace import trace
from onnxpress_exporter.graphs.traced_cache.cache import first_line, pairs_of
from onnxpress_exporter.graphs.traced_cache.modules import (
    Tensors,
    Wrapper,
    chosen_scores,
    present,
    vocabulary,
)
from onnxpress_exporter.graphs.traced_cache.specs import Kept, cross_decoder_spec, seen_outputs

#: Tokens that are tried.
_PROBE = (5, 6, 7)


class Perceives(Protocol):
    """What sees or hears, and what writes about it. `model`: the whole; `decoder`: its language model."""

    @property
    def model(self) -> Any: ...
    @property
    def decoder(self) -> Any: ...

    def states(self, arrays: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """float32 (inputs, places, width): what the decoder looks at."""


@dataclass(frozen=True, slots=True)
class Describer:
    """`model`: the whole; `decoder`: its language model. What it takes of pictures is `pixel_values`."""

    model: Any
    decoder: Any
    #: Whether what sees reads a question, too.
    asked: ClassVar[bool] = False

    def states(self, arrays: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """float32 (pictures, places, width): what the decoder looks at."""
        if hasattr(self.model, "vision_model"):
            return self.model.vision_model(**arrays)[0]  # type: ignore[no-any-return]
        states: torch.Tensor = self.model.encoder(**arrays)[0]
        return self.model.enc_to_dec_proj(states) if hasattr(self.model, "enc_to_dec_proj") else states

    def logits(self, arrays: Mapping[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        """float32 (rows, tokens, vocabulary): what may follow each token of a text about a picture."""
        name = "input_ids" if hasattr(self.model, "vision_model") else "decoder_input_ids"
        logits: torch.Tensor = self.model(**arrays, **{name: ids}).logits
        return logits

    def generate(self, arrays: Mapping[str, torch.Tensor], ids: torch.Tensor, settings: Any) -> torch.Tensor:
        """int64 (rows, tokens): a text with what `generate` lets follow. BLIP's own takes no settings of its caller's,
        but has its decoder generate."""
        if not hasattr(self.model, "vision_model"):
            whole: torch.Tensor = self.model.generate(**arrays, decoder_input_ids=ids, generation_config=settings)
            return whole
        return _generated(self.decoder, self.states(arrays), ids, settings)

    @property
    def writer(self) -> Any:
        """The module whose generation config `generate` reads."""
        return self.decoder if hasattr(self.model, "vision_model") else self.model


@dataclass(frozen=True, slots=True)
class Asked:
    """BLIP, which reads a question beside the picture, and writes about what it read. Its `forward` gives no scores, so
    they are its decoder's, as its `generate` has it."""

    model: Any
    decoder: Any
    asked: ClassVar[bool] = True

    def states(self, arrays: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """float32 (questions, tokens, width): what the decoder looks at."""
        texts = dict(arrays)
        pictures = self.model.vision_model(pixel_values=texts.pop("pixel_values"))[0]
        seen = torch.ones(pictures.shape[:-1], dtype=torch.int64)
        states: torch.Tensor = self.model.text_encoder(
            **texts, encoder_hidden_states=pictures, encoder_attention_mask=seen
        )[0]
        return states

    def logits(self, arrays: Mapping[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        """As `Describer` does."""
        outputs = self.decoder(
            input_ids=ids,
            encoder_hidden_states=self.states(arrays),
            encoder_attention_mask=arrays["attention_mask"],
        )
        logits: torch.Tensor = outputs.logits
        return logits

    def generate(self, arrays: Mapping[str, torch.Tensor], ids: torch.Tensor, settings: Any) -> torch.Tensor:
        """As `Describer` does, of BLIP."""
        return _generated(self.decoder, self.states(arrays), ids, settings)

    @property
    def writer(self) -> Any:
        """As of `Describer`."""
        return self.decoder


def _generated(decoder: Any, states: torch.Tensor, ids: torch.Tensor, settings: Any) -> torch.Tensor:
    """What a decoder lets follow that looks at such states."""
    written: torch.Tensor = decoder.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        encoder_hidden_states=states,
        encoder_attention_mask=torch.ones(states.shape[:-1], dtype=torch.int64),
        generation_config=settings,
    )
    return written


class Transcriber:
    """A model that hears a sound and writes what was said, whole. What it heard last is kept: hearing is most of the
    work."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self._last: tuple[torch.Tensor, Any] | None = None

    def _heard(self, arrays: Mapping[str, torch.Tensor]) -> Any:
        """What the encoder answers to a sound."""
        (sound,) = arrays.values()
        if self._last is None or not torch.equal(self._last[0], sound):
            self._last = sound, self.model.get_encoder()(**arrays, return_dict=True)
        return self._last[1]

    def logits(self, arrays: Mapping[str, torch.Tensor], ids: torch.Tensor) -> torch.Tensor:
        """As `Describer` does, of sounds."""
        logits: torch.Tensor = self.model(encoder_outputs=self._heard(arrays), decoder_input_ids=ids).logits
        return logits

    def generate(self, arrays: Mapping[str, torch.Tensor], ids: torch.Tensor, settings: Any) -> torch.Tensor:
        """As `Describer` does, by the plain search: that of Whisper's class has rules of its own."""
        from transformers import GenerationMixin

        generate: Any = GenerationMixin.generate
        heard = self._heard(arrays)
        heard = type(heard)(**heard)  # beams multiply it in place
        written: torch.Tensor = generate(
            self.model, encoder_outputs=heard, decoder_input_ids=ids, generation_config=settings
        )
        return written

    @property
    def writer(self) -> Any:
        """As of `Describer`."""
        return self.model


def writer_of(model: Any) -> Describer | Asked | Transcriber:
    """What writes about pictures or sounds.

    Raises:
        UnsupportedCheckpoint: as `describer_of`.
    """
    sees = getattr(model, "main_input_name", None) == "pixel_values" or type(model).__name__ in _DECODERS
    return describer_of(model) if sees else Transcriber(model)


#: Class -> where its language model is, and what it is as a whole.
_DECODERS: Mapping[str, tuple[str, type[Describer] | type[Asked]]] = {
    "VisionEncoderDecoderModel": ("decoder", Describer),
    "BlipForConditionalGeneration": ("text_decoder", Describer),
    "BlipForQuestionAnswering": ("text_decoder", Asked),
}


def describer_of(model: Any) -> Describer | Asked:
    """The parts of a model.

    Raises:
        UnsupportedCheckpoint: it is no model that looks at a picture and writes about it, or one of an unknown kind.
    """
    name = type(model).__name__
    if name not in _DECODERS:
        raise UnsupportedCheckpoint(
            f"{name} is not exported by this version. Of models that write about pictures it exports "
            f"{', '.join(_DECODERS)}."
        )
    place, kind = _DECODERS[name]
    return kind(model, getattr(model, place))


class _Sees(Wrapper):
    """Pictures or sounds to what each layer of the decoder keeps of them. The decoder reads a token, of which nothing
    is kept."""

    def __init__(self, describer: Perceives, layers: int) -> None:
        super().__init__(describer.model, layers)
        self.describer = describer

    def forward(self, **arrays: torch.Tensor) -> Tensors:
        states = self.describer.states(arrays)
        cache = _empty()
        ids = torch.zeros(states.shape[0], 1, dtype=torch.int64)
        self.describer.decoder(input_ids=ids, encoder_hidden_states=states, past_key_values=cache, use_cache=True)
        return present(cache.cross_attention_cache, "encoder.")


class _Writes(Wrapper):
    """Takes and returns what `cross_decoder_spec` says, as the decoder of a text's encoder does."""

    def forward(self, **tensors: torch.Tensor) -> Tensors:
        cache, mask, unread = self._read_before(tensors, self.config.hidden_size)
        with chosen_scores(self.checkpoint, tensors["logits_to_keep"]) as chosen:
            outputs = self.checkpoint(
                input_ids=tensors["input_ids"],
                encoder_hidden_states=unread,
                encoder_attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
            )
        return {"logits": chosen(outputs.logits), **present(cache.self_attention_cache, "decoder.")}


def _empty() -> EncoderDecoderCache:
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


@dataclass(frozen=True, slots=True)
class _Memory:
    """What layers keep of the text and of the pictures, and how many places of a picture there are."""

    written: tuple[Kept, ...]
    seen: tuple[Kept, ...]
    places: int


def trace_seeing(
    describer: Perceives, sources: Sequence[TensorInfo], example: Mapping[str, torch.Tensor]
) -> onnx_ir.Model:
    """The graph `encoder_model`: pictures or sounds -> keys and values of each layer of the decoder.

    Args:
        sources: the graph's inputs, such as (texts, channels, height, width), and pictures or sounds to trace it on.

    Raises:
        TraceError: PyTorch cannot capture it.
        UnsupportedCheckpoint: it does not run on such pictures.
    """
    with torch.no_grad():
        memory = _memory(describer, example)
        fixed = all(isinstance(axis, int) for source in sources for axis in source.axes[1:])
        spec = GraphSpec(
            ENCODER, tuple(sources), tuple(seen_outputs(memory.seen, memory.places if fixed else "encoder_sequence"))
        )
        return trace(_Sees(describer, len(memory.seen)), spec, dict(example))


def trace_writing(describer: Perceives, example: Mapping[str, torch.Tensor]) -> onnx_ir.Model:
    """The graph `decoder_model_merged`, where no reader knows the decoder.

    Raises:
        TraceError: it keeps something else than keys and values, or PyTorch cannot capture it.
    """
    from onnxpress_exporter.graphs.traced_cache import traced

    with torch.no_grad():
        memory = _memory(describer, example)
        spec = cross_decoder_spec(memory.written, memory.seen, vocabulary(describer.decoder))
        return traced([(_Writes(describer.decoder, len(memory.written)), spec)])[CROSS_DECODER]


def _memory(describer: Perceives, example: Mapping[str, torch.Tensor]) -> _Memory:
    name = type(describer.model).__name__
    try:
        states = describer.states(example)
    except Exception as error:
        raise UnsupportedCheckpoint(f"{name} does not run on what its processor makes: {first_line(error)}") from error
    cache = _empty()
    ids = torch.tensor(_PROBE).expand(len(states), -1)
    try:
        describer.decoder(input_ids=ids, encoder_hidden_states=states, past_key_values=cache, use_cache=True)
    except Exception as error:
        raise TraceError(f"its decoder cannot read three tokens: {first_line(error)}") from error
    return _Memory(_kept(cache.self_attention_cache), _kept(cache.cross_attention_cache), int(states.shape[1]))


def _kept(cache: Cache) -> tuple[Kept, ...]:
    pairs = pairs_of(cache)
    if not pairs or any(keys is None for keys, _ in pairs):
        raise TraceError("its decoder does not keep keys and values of what it looks at")
    return tuple(Kept(int(keys.shape[1]), int(keys.shape[3]), int(values.shape[3])) for keys, values in pairs)
