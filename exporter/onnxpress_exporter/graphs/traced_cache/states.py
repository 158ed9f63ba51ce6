"""Models that keep a state of fixed shape in some layers or all, and models that keep nothing: what is traced of them.

A state is traced one token at a time: loops over the tokens of a text are Python's, of a length that tracing fixes.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from transformers.cache_utils import LinearAttentionLayer

from onnxpress.format.manifest import TensorInfo
from onnxpress.generation.decoders.graph import OF_PROMPT
from onnxpress_exporter.errors import TraceError
from onnxpress_exporter.graphs.names import DECODER
from onnxpress_exporter.graphs.spec import GraphSpec
from onnxpress_exporter.graphs.traced_cache import time_steps
from onnxpress_exporter.graphs.traced_cache.cache import first_line
from onnxpress_exporter.graphs.traced_cache.forms import Entry, Form, cache_argument, form_of
from onnxpress_exporter.graphs.traced_cache.modules import Tensors, chosen_scores, positions, vocabulary

_PAST, _PRESENT = "past_key_values", "present"
#: Tokens that a model reads whole and in pieces; of the range of scores: what two orders of adding up may differ in.
_PROBE = (5, 11, 7, 8, 13, 6)
_ROUNDING = 1e-4


def keeps_states(model: Any) -> bool:
    """Whether some layer keeps a state instead of keys and values; what is neither is left to who traces it."""
    name = cache_argument(model)
    if name != "past_key_values":
        return True
    try:
        cache = getattr(model(torch.tensor([_PROBE]), use_cache=True), name, None)
    except Exception:  # said by `kept_by_decoder`, in its own words
        return False
    return any(isinstance(layer, LinearAttentionLayer) for layer in getattr(cache, "layers", ()))


def step_of(model: Any) -> Step:
    """A step of what the model keeps after it has read a few tokens.

    Raises:
        TraceError: something in no form that is known, or nothing.
    """
    name = cache_argument(model)
    try:
        memory = None if name is None else getattr(model(torch.tensor([_PROBE]), use_cache=True), name, None)
    except Exception as error:
        raise TraceError(f"it cannot read {len(_PROBE)} tokens: {first_line(error)}") from error
    form = form_of(memory)
    return Step(model, form, form.entries(memory))


class Step(torch.nn.Module):
    """One token after a state: takes and returns what `step_spec` says."""

    def __init__(self, model: Any, form: type[Form], entries: Sequence[Entry]) -> None:
        super().__init__()
        self.checkpoint = model
        self.form = form
        self.entries = tuple(entries)
        self.cache = cache_argument(model) or ""

    @property
    def config(self) -> Any:
        """Of the model: the tracer asks how attention is computed."""
        return self.checkpoint.config

    def set_attn_implementation(self, name: str) -> None:
        """Of the model."""
        self.checkpoint.set_attn_implementation(name)

    def read(self, ids: Sequence[int], prompt: int | None = None) -> torch.Tensor:
        """Scores after each token of a text, float32 (1, tokens, vocabulary); after `prompt` of them it was written."""
        past = {f"{_PAST}.{entry.name}": entry.zeros() for entry in self.entries}
        taken = {tensor.name for tensor in step_spec(self.checkpoint, self.entries).inputs}
        scores = []
        for place, token in enumerate(ids):
            known = {"position_ids": place, OF_PROMPT: int(prompt is None or place < prompt)}
            where = {name: torch.tensor([[known[name]]]) for name in known if name in taken}
            outputs = self(input_ids=torch.tensor([[token]]), **where, **past)
            scores.append(outputs.pop("logits"))
            past = {name.replace(_PRESENT, _PAST, 1): tensor for name, tensor in outputs.items()}
        return torch.cat(scores, 1)

    def forward(self, **tensors: torch.Tensor) -> Tensors:
        held = self.form.give({entry: tensors.pop(f"{_PAST}.{entry.name}") for entry in self.entries})
        of_prompt = tensors.pop(OF_PROMPT, None)
        with nullcontext() if of_prompt is None else time_steps.limited(self.checkpoint, of_prompt):
            outputs = self.checkpoint(**tensors, **{self.cache: held}, use_cache=True)
        present = zip(self.entries, self.form.take(held, self.entries), strict=True)
        return {"logits": outputs.logits, **{f"{_PRESENT}.{entry.name}": tensor for entry, tensor in present}}


def step_spec(model: Any, entries: Sequence[Entry]) -> GraphSpec:
    """A decoder that reads one token of each row."""
    inputs = [TensorInfo("input_ids", "int64", ("rows", 1))]
    if positions(model):
        inputs.append(TensorInfo("position_ids", "int64", ("rows", 1)))
    if time_steps.limits(model):
        inputs.append(TensorInfo(OF_PROMPT, "int64", ("rows", 1)))
    inputs += [TensorInfo(f"{_PAST}.{entry.name}", "float32", ("rows", *entry.axes)) for entry in entries]
    outputs = [TensorInfo("logits", "float32", ("rows", 1, vocabulary(model)))]
    for entry in entries:
        axes = tuple("total" if axis == "past" else axis for axis in entry.axes)
        outputs.append(TensorInfo(f"{_PRESENT}.{entry.name}", "float32", ("rows", *axes)))
    return GraphSpec(DECODER, tuple(inputs), tuple(outputs), "decoder")


def check_steps(step: Step) -> None:
    """Make sure that a text read token by token, from zeros on, has the scores of the text read whole.

    Raises:
        TraceError: it has not.
    """
    try:
        scores = step.read(_PROBE)
    except Exception as error:
        raise TraceError(f"it does not run token by token: {first_line(error)}") from error
    whole = step.checkpoint(torch.tensor([_PROBE]), use_cache=False).logits
    _same(scores, whole, "a text read token by token has other scores than the text read whole")


class Whole(torch.nn.Module):
    """Rows read whole, of which nothing is kept: takes and returns what `whole_spec` says."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.checkpoint = model

    @property
    def config(self) -> Any:
        """Of the model: the tracer asks how attention is computed."""
        return self.checkpoint.config

    def set_attn_implementation(self, name: str) -> None:
        """Of the model."""
        self.checkpoint.set_attn_implementation(name)

    def forward(self, input_ids: torch.Tensor, logits_to_keep: torch.Tensor) -> Tensors:
        with chosen_scores(self.checkpoint, logits_to_keep) as chosen:
            return {"logits": chosen(_read_whole(self.checkpoint, input_ids))}


def _read_whole(model: Any, ids: torch.Tensor) -> torch.Tensor:
    keeps = {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}
    scores: torch.Tensor = model(ids, **keeps).logits
    return scores


def whole_spec(model: Any) -> GraphSpec:
    """A decoder that reads rows of one length whole."""
    inputs = (
        TensorInfo("input_ids", "int64", ("rows", "sequence")),
        TensorInfo("logits_to_keep", "int64", ("kept",)),
    )
    return GraphSpec(
        DECODER, inputs, (TensorInfo("logits", "float32", ("rows", "kept", vocabulary(model))),), "decoder"
    )


def check_whole(model: Any) -> None:
    """Make sure that a token's scores do not change with what follows it.

    Raises:
        TraceError: they do, or it does not read token ids alone.
    """
    ids = torch.tensor([_PROBE])
    try:
        whole, begun = _read_whole(model, ids), _read_whole(model, ids[:, :-2])
    except Exception as error:
        raise TraceError(f"it cannot read {len(_PROBE)} tokens: {first_line(error)}") from error
    ahead = "a token's scores change with the tokens after it"
    if getattr(model.config, "is_decoder", None) is False:
        ahead += ' ("is_decoder" is false in its config.json)'
    _same(whole[:, :-2], begun, ahead)


def _same(scores: torch.Tensor, expected: torch.Tensor, otherwise: str) -> None:
    if scores.shape != expected.shape or not (
        (scores - expected).abs().max() <= _ROUNDING * (expected.max() - expected.min())
    ):
        raise TraceError(otherwise)
