"""What is traced: a transformers model between named tensors. docs/decisions/0010-generation.md has the names."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from onnxpress_exporter.errors import TraceError
from onnxpress_exporter.graphs.names import TEXT_MASK, past_names, present_names
from onnxpress_exporter.graphs.traced_cache.cache import first_line, growing, pairs_of
from onnxpress_exporter.graphs.traced_cache.specs import Kept

Tensors = dict[str, torch.Tensor]

#: Of the range of scores: what two orders of adding up may differ in.
_ROUNDING = 1e-4


class Wrapper(torch.nn.Module):
    """A model and how many layers keep something."""

    def __init__(self, model: Any, layers: int) -> None:
        super().__init__()
        self.checkpoint = model
        self.layers = layers

    @property
    def config(self) -> Any:
        """Of the model: the tracer asks how attention is computed."""
        return self.checkpoint.config

    def set_attn_implementation(self, name: str) -> None:
        """Of the model."""
        self.checkpoint.set_attn_implementation(name)

    def _past(self, tensors: Tensors, part: str = "") -> list[tuple[torch.Tensor, torch.Tensor]]:
        names = [past_names(layer, part) for layer in range(self.layers)]
        return [(tensors.pop(key), tensors.pop(value)) for key, value in names]

    def _read_before(self, tensors: Tensors, width: int) -> tuple[EncoderDecoderCache, torch.Tensor, torch.Tensor]:
        """What a step of rows goes on from: the cache; int64 (rows, places), the mask of what was read; and float32
        (rows, places, width), of which only the shape is looked at: what the decoder would make of it is in the cache.
        """
        written, seen = self._past(tensors, "decoder."), self._past(tensors, "encoder.")
        rows, mask = tensors["input_ids"].shape[0], tensors[TEXT_MASK]
        # The rows of a text, or of a picture, stand side by side.
        of_row = torch.arange(rows) * mask.shape[0] // rows
        seen = [(keys.index_select(0, of_row), values.index_select(0, of_row)) for keys, values in seen]
        cache = EncoderDecoderCache(growing(written), growing(seen))
        cache.is_updated = dict.fromkeys(range(self.layers), True)
        return cache, mask.index_select(0, of_row), torch.zeros(rows, mask.shape[1], width)


class Decoder(Wrapper):
    """Takes and returns what `decoder_spec` says; a mask is not needed where no row has padding.

    `first`: the position of a text's first token, which the graph calls 0.
    """

    def __init__(self, model: Any, layers: int, first: int = 0) -> None:
        super().__init__(model, layers)
        self.first = first

    def forward(self, **tensors: torch.Tensor) -> Tensors:
        if self.first:
            tensors["position_ids"] = tensors["position_ids"] + self.first
        cache = growing(self._past(tensors))
        with chosen_scores(self.checkpoint, tensors.pop("logits_to_keep")) as chosen:
            outputs = self.checkpoint(**tensors, past_key_values=cache, use_cache=True)
        return {"logits": chosen(outputs.logits), **present(cache)}


class Encoder(Wrapper):
    """Takes and returns what `encoder_spec` says. The decoder reads a token, of which the graph keeps nothing."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Tensors:
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.checkpoint(
            # As `generate` does: the model's own call hands what is the decoder's to some encoders, too.
            encoder_outputs=self.checkpoint.get_encoder()(input_ids=input_ids, attention_mask=attention_mask),
            attention_mask=attention_mask,
            decoder_input_ids=torch.zeros_like(input_ids[:, :1]),
            past_key_values=cache,
            use_cache=True,
        )
        return present(cache.cross_attention_cache, "encoder.")


@dataclass
class _TextRead(BaseModelOutput):
    """What some models hand on of their encoder's: of experts, how tokens were routed, which no decoder looks at."""

    router_logits: tuple[torch.Tensor, ...] | None = None


class CrossDecoder(Wrapper):
    """Takes and returns what `cross_decoder_spec` says."""

    def forward(self, **tensors: torch.Tensor) -> Tensors:
        width = self.config.get_text_config(decoder=True).hidden_size
        cache, mask, unread = self._read_before(tensors, width)
        with chosen_scores(self.checkpoint, tensors["logits_to_keep"]) as chosen:
            outputs = self.checkpoint(
                encoder_outputs=_TextRead(last_hidden_state=unread),
                attention_mask=mask,
                decoder_input_ids=tensors["input_ids"],
                past_key_values=cache,
                use_cache=True,
            )
        return {"logits": chosen(outputs.logits), **present(cache.self_attention_cache, "decoder.")}


def vocabulary(model: Any) -> int:
    """How many tokens have a score."""
    config = model.config.get_text_config(decoder=True)
    weight = getattr(model.get_output_embeddings(), "weight", None)
    return int(config.vocab_size if weight is None else weight.shape[0])


def positions(model: Any) -> bool:
    """Whether it is told where tokens stand."""
    return "position_ids" in inspect.signature(model.forward).parameters


def first_position(model: Any) -> int:
    """The position of a text's first token: models after RoBERTa count on from the padding's, which has a row, too."""
    table = next((part for name, part in model.named_modules() if name.endswith(".position_embeddings")), None)
    padding = getattr(table, "padding_idx", None)
    return 0 if padding is None or not positions(model) else int(padding) + 1


def hides_padding(model: Any, layers: Sequence[Kept]) -> bool:
    """Whether tokens get the same scores with padding before them, hidden by the mask.

    Raises:
        TraceError: it cannot read a token after what it keeps of others.
    """
    decoder, padding, total = Decoder(model, len(layers), first_position(model)), 2, 6
    ids = 4 + torch.arange(total)[None]
    keep = torch.arange(1)
    places: Tensors = {"position_ids": torch.arange(total)[None]} if positions(model) else {}

    def read(past: Tensors, mask: torch.Tensor, start: int) -> Tensors:
        tensors = {name: value[:, start:] for name, value in {"input_ids": ids, **places}.items()}
        scores: Tensors = decoder(**tensors, **past, attention_mask=mask, logits_to_keep=keep)
        return scores

    first = {name: value[:, : total - 1] for name, value in {"input_ids": ids, **places}.items()}
    nothing = _named([(_empty(layer.heads, layer.key), _empty(layer.heads, layer.value)) for layer in layers])
    ones = torch.ones(1, total, dtype=torch.int64)
    try:
        before = decoder(**first, **nothing, attention_mask=ones[:, 1:], logits_to_keep=keep)
        pairs = [tuple(before[name] for name in present_names(layer)) for layer in range(len(layers))]
        alone = read(_named(pairs), ones, total - 1)["logits"]
    except Exception as error:
        raise TraceError(f"it does not run in pieces: {first_line(error)}") from error
    wider = [tuple(torch.nn.functional.pad(tensor, (0, 0, padding, 0)) for tensor in pair) for pair in pairs]
    mask = (torch.arange(padding + total) >= padding).to(torch.int64)[None]
    try:
        padded = read(_named(wider), mask, total - 1)["logits"]
    except Exception:  # it takes no mask of this kind: rows have no padding then
        return False
    return bool((alone - padded).abs().max() <= _ROUNDING * (alone.max() - alone.min()))


def check_cross(model: Any, written: Sequence[Kept], text: Sequence[Kept]) -> None:
    """Make sure that a decoder after an encoder gives tokens that it reads in pieces the scores of the model.

    Raises:
        TraceError: it does not.
    """
    ids = 4 + torch.arange(12).reshape(2, 6)
    ones = torch.ones_like(ids)
    decoder = CrossDecoder(model, len(written))
    nothing = [
        (_empty(layer.heads, layer.key, len(ids)), _empty(layer.heads, layer.value, len(ids))) for layer in written
    ]
    scores = []
    try:
        read = _continued(Encoder(model, len(text))(ids, ones))
        past = _named(nothing, "decoder.")
        for part in (ids[:, :1], ids[:, 1:]):
            tensors = {"input_ids": part, TEXT_MASK: ones, "logits_to_keep": torch.arange(part.shape[1])}
            outputs = decoder(**tensors, **read, **past)
            scores.append(outputs.pop("logits"))
            past = _continued(outputs)
    except Exception as error:
        raise TraceError(f"it does not run in pieces: {first_line(error)}") from error
    expected = model(input_ids=ids, attention_mask=ones, decoder_input_ids=ids, use_cache=False).logits
    if (torch.cat(scores, 1) - expected).abs().max() > _ROUNDING * (expected.max() - expected.min()):
        raise TraceError(
            "its decoder gives tokens that it reads in pieces other scores than those of one call: one sees tokens "
            "after it, or its experts take so many tokens of a call and no more"
        )


def _continued(outputs: Tensors) -> Tensors:
    """What a graph returns, as it takes it next."""
    return {name.replace("present.", "past_key_values.", 1): tensor for name, tensor in outputs.items()}


def _empty(heads: int, size: int, rows: int = 1) -> torch.Tensor:
    return torch.zeros(rows, heads, 0, size)


def _named(pairs: Sequence[tuple[torch.Tensor, ...]], part: str = "") -> Tensors:
    names = [past_names(layer, part) for layer in range(len(pairs))]
    return {
        name: tensor for both, pair in zip(names, pairs, strict=True) for name, tensor in zip(both, pair, strict=True)
    }


def present(cache: Cache, part: str = "") -> Tensors:
    """What a cache holds, as graphs return it."""
    tensors: Tensors = {}
    for layer, pair in enumerate(pairs_of(cache)):
        tensors |= dict(zip(present_names(layer, part), pair, strict=True))
    return tensors


@contextmanager
def chosen_scores(model: Any, places: torch.Tensor) -> Iterator[Any]:
    """Let the head see the states at `kept`, int64 (kept), alone; gives what is left to do to the scores."""

    def choose(states: torch.Tensor) -> torch.Tensor:
        return states.index_select(1, places)

    head = model.get_output_embeddings()
    # FSMT calls its decoder's table of words so: it is used again, not called again.
    if head is None or isinstance(head, torch.nn.Embedding):
        yield choose
        return

    def before(_: torch.nn.Module, states: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (choose(states[0]), *states[1:])

    handle = head.register_forward_pre_hook(before)
    try:
        yield _as_it_is
    finally:
        handle.remove()


def _as_it_is(scores: torch.Tensor) -> torch.Tensor:
    return scores
