"""Longformer's and LED's encoder attention, in a form that one graph has for every length.

Their classes pad texts to a multiple of the window and view them as chunks, which ties a traced graph to one length.
Here chunks are gathered by their positions, the last one past the end of the text, which the mask hides; no token is
added. The answers are the class's: a token attends to the tokens of its window and to the global ones, a global one to
all, with queries, keys and values of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any

import torch
from transformers.models.longformer import modeling_longformer

_ATTENTION = frozenset({"LongformerSelfAttention", "LEDEncoderSelfAttention"})
#: Classes that pad, and what they return where nothing is to be padded.
_PADDING: Mapping[str, tuple[str, ...]] = {
    "LongformerModel": ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds"),
    "LEDEncoder": ("input_ids", "attention_mask", "inputs_embeds"),
}


#: What tells which tokens of a pair are global, and counts separators in Python.
_QUESTION_END = "_get_question_end_index"


def slides(model: torch.nn.Module) -> bool:
    """Whether some part of the model attends in sliding windows of chunks."""
    return any(type(part).__name__ in _ATTENTION for part in model.modules())


@contextmanager
def one_graph_for_all_lengths(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Give the model's parts the forms of this file; restored on exit. `inputs` show whether its head makes any token
    global."""
    some_global = _makes_tokens_global(model, inputs)
    with ExitStack() as restored:
        for part in model.modules():
            kind = type(part).__name__
            if kind in _PADDING:
                restored.callback(delattr, part, "_pad_to_window_size")
                part._pad_to_window_size = MethodType(_not_padded, part)  # type: ignore[assignment]
            elif kind in _ATTENTION:
                restored.callback(delattr, part, "forward")
                part.forward = MethodType(_attend_with_global if some_global else _attend, part)
        restored.callback(setattr, modeling_longformer, _QUESTION_END, getattr(modeling_longformer, _QUESTION_END))
        setattr(modeling_longformer, _QUESTION_END, _question_end)
        yield


def _makes_tokens_global(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> bool:
    part = next(part for part in model.modules() if type(part).__name__ in _ATTENTION)
    seen: list[bool] = []
    hook = part.register_forward_pre_hook(
        lambda _, __, named: seen.append(bool(named["is_global_attn"])), with_kwargs=True
    )
    try:
        with torch.no_grad():
            model(**inputs)
    finally:
        hook.remove()
    return any(seen)


def _not_padded(part: Any, *, pad_token_id: int, **inputs: Any) -> tuple[Any, ...]:
    """What the class returns of a text whose length is a multiple of the window."""
    return (0, *(inputs[name] for name in _PADDING[type(part).__name__]))


def _question_end(input_ids: torch.Tensor, sep_token_id: int) -> torch.Tensor:
    """Where the first separator of each row is: int64 (batch,)."""
    return (input_ids == sep_token_id).long().argmax(1)


def _attend(part: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> tuple[torch.Tensor]:
    """float32 (batch, sequence, size) -> the same. `attention_mask`: (batch, sequence), 0 where a token is seen."""
    chunks = _Chunks(part, hidden_states)
    scores = chunks.scores(part.query, part.key).masked_fill(~chunks.seen(attention_mask == 0), _LEAST)
    states = chunks.joined(scores.softmax(-1) @ chunks.keys_of(part.value))
    return (states.masked_fill((attention_mask < 0)[:, :, None], 0.0),)


def _attend_with_global(
    part: Any, hidden_states: torch.Tensor, attention_mask: torch.Tensor, **_: Any
) -> tuple[torch.Tensor]:
    """As `_attend`; above 0 the mask tells global tokens, of which the rows may have different numbers."""
    length, size = hidden_states.shape[1:]
    heads = (part.num_heads, part.head_dim)
    is_global, is_padding = attention_mask > 0, attention_mask < 0
    counts = is_global.sum(1)
    most = counts.max().item()
    torch._check(most >= 1)  # type: ignore[no-untyped-call]
    torch._check(most <= length)  # type: ignore[no-untyped-call]
    # The places of the global tokens in their order, then of any others.
    ranks = torch.where(is_global, 2 * length, length) - torch.arange(length)
    places = ranks.topk(length, dim=1).indices[:, :most]
    exists = torch.arange(most) < counts[:, None]
    rows = places[:, :, None].expand(-1, -1, size)

    def of_global(states: torch.Tensor) -> torch.Tensor:
        """(batch, sequence, size) -> (batch, heads, global, size of a head)."""
        return _split(states.gather(1, rows), 2, heads).transpose(1, 2)

    chunks = _Chunks(part, hidden_states)
    near = chunks.scores(part.query, part.key).masked_fill(~chunks.seen(attention_mask == 0), _LEAST)
    far = chunks.queries(part.query) @ of_global(part.key(hidden_states))[:, None].transpose(3, 4)
    far = far.masked_fill(~exists[:, None, None, None, :], _LEAST)
    shares = torch.cat((near, far), -1).softmax(-1)
    width = near.shape[-1]
    states = chunks.joined(
        shares[..., :width] @ chunks.keys_of(part.value)
        + shares[..., width:] @ of_global(part.value(hidden_states))[:, None]
    )
    states = states.masked_fill(is_padding[:, :, None], 0.0)

    keys, values = (
        _split(layer(hidden_states), 2, heads).transpose(1, 2) for layer in (part.key_global, part.value_global)
    )
    queries = part.query_global(hidden_states.gather(1, rows)) / part.head_dim**0.5
    scores = _split(queries, 2, heads).transpose(1, 2) @ keys.transpose(2, 3)
    whole = scores.masked_fill(is_padding[:, None, None, :], _LEAST).softmax(-1) @ values
    whole = torch.where(exists[:, :, None], whole.transpose(1, 2).flatten(2), states.gather(1, rows))
    return (states.scatter(1, rows, whole),)


def _split(states: torch.Tensor, axis: int, sizes: tuple[int, int]) -> torch.Tensor:
    """One axis as two."""
    parts: torch.Tensor = states.unflatten(axis, sizes)  # type: ignore[no-untyped-call]
    return parts


_LEAST = torch.finfo(torch.float32).min


class _Chunks:
    """A text as chunks of half a window, each with the tokens of the chunks before and after it."""

    def __init__(self, part: Any, states: torch.Tensor) -> None:
        self.part, self.states = part, states
        self.half, self.length = part.one_sided_attn_window_size, states.shape[1]
        starts = torch.arange((self.length + self.half - 1) // self.half)[:, None] * self.half
        self.asking = starts + torch.arange(self.half)
        self.asked = starts + torch.arange(-self.half, 2 * self.half)

    def queries(self, layer: Any) -> torch.Tensor:
        """(batch, chunks, heads, half, size of a head), scaled."""
        return self._of(layer(self.states) / self.part.head_dim**0.5, self.asking)

    def keys_of(self, layer: Any) -> torch.Tensor:
        """(batch, chunks, heads, 3 * half, size of a head): keys or values."""
        return self._of(layer(self.states), self.asked)

    def scores(self, query: Any, key: Any) -> torch.Tensor:
        """(batch, chunks, heads, half, 3 * half)."""
        scores: torch.Tensor = self.queries(query) @ self.keys_of(key).transpose(3, 4)
        return scores

    def seen(self, local: torch.Tensor) -> torch.Tensor:
        """Which scores count: bool (batch, chunks, 1, half, 3 * half); `local`: which tokens are seen in windows."""
        apart = self.asked[:, None, :] - self.asking[:, :, None]
        inside = (self.asked >= 0) & (self.asked < self.length)
        near = (apart.abs() <= self.half) & inside[:, None, :]
        mask: torch.Tensor = near[None, :, None] & self._at(local, self.asked)[:, :, None, None, :]
        return mask

    def joined(self, chunks: torch.Tensor) -> torch.Tensor:
        """(batch, chunks, heads, half, size of a head) -> (batch, sequence, size)."""
        return chunks.transpose(2, 3).flatten(3).flatten(1, 2).index_select(1, torch.arange(self.length))

    def _of(self, states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        heads = (self.part.num_heads, self.part.head_dim)
        return _split(self._at(states, places), 3, heads).transpose(2, 3)

    def _at(self, states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """(batch, sequence, ...) at (chunks, places); past the ends of the text, whatever stands there."""
        flat = states.index_select(1, places.clamp(0, self.length - 1).flatten())
        return _split(flat, 1, (places.shape[0], places.shape[1]))
