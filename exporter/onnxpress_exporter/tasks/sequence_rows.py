"""Classifiers whose class answers some batches only, as modules that answer any rows as each would be answered alone.

transformers reads the state of one token of a row. Where it finds that token by counting over the whole batch, or knows
no token that stands for padding, it refuses batches that mean nothing unusual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnxpress_exporter.errors import UnsupportedCheckpoint

if TYPE_CHECKING:
    import torch

#: What a decoder's class calls the layer from states to labels.
_SCORES = ("score", "classifier")


def answer_by_rows(model: Any) -> Any:
    """A sequence classifier as a module that answers row by row: itself, unless its class cannot.

    Raises:
        UnsupportedCheckpoint: it cannot, and is built in no known way.
    """
    if model.config.is_encoder_decoder and hasattr(model, "classification_head"):
        return _same_alone(_reads_last_end(model), model)
    if _without_padding(model):
        scores = next((name for name in _SCORES if hasattr(model, name)), None)
        if scores is None:
            raise UnsupportedCheckpoint(
                f"{type(model).__name__} has no pad_token_id in its config.json, so that its class takes one text at a "
                "time. Set pad_token_id there to the id of the token that fills rows, such as its eos_token_id."
            )
        return _same_alone(_reads_last_token(model, getattr(model, scores)), model)
    return model


def _without_padding(model: Any) -> bool:
    """Whether the class reads the last token of a row and is not told which tokens are padding."""
    import inspect

    config = model.config.get_text_config()
    source = inspect.getsource(type(model).forward)
    return getattr(config, "pad_token_id", None) is None and "no padding token is defined" in source


def _reads_last_end(model: Any) -> Any:
    """The classifiers of BART's and T5's kind: of each row, the state at its last end token.

    The class wants as many ends in every row; singles and pairs have two and three.
    """

    class LastEnd(rows_of(model)):  # type: ignore[misc]
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            decoded = {"decoder_input_ids": model._shift_right(input_ids)} if hasattr(model, "_shift_right") else {}
            states = model.base_model(input_ids, attention_mask=attention_mask, use_cache=False, **decoded)[0]
            ends = (input_ids == model.config.eos_token_id) * attention_mask  # the filler may be an end, too
            return {"logits": model.classification_head(_states_at(states, _last(ends)))}

    return LastEnd().eval()


def _reads_last_token(model: Any, scores: Any) -> Any:
    """Decoders whose config names no padding: of each row, the state of its last token that the mask has."""

    class LastToken(rows_of(model)):  # type: ignore[misc]
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
            states = model.base_model(input_ids, attention_mask=attention_mask)[0]
            return {"logits": scores(_states_at(states, _last(attention_mask)))}

    return LastToken().eval()


def ask_any_row(model: Any) -> Any:
    """A model that answers questions as a module that takes any rows: itself, unless its class counts separators.

    Longformer's makes the tokens before a row's first separator global, and refuses rows with other than three.
    """
    if not counts_separators(model):
        return model

    class FirstSeparator(rows_of(model)):  # type: ignore[misc]
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
            questions, _ = beside_first_separator(model, input_ids)
            return model(input_ids, attention_mask=attention_mask, global_attention_mask=questions)

    return FirstSeparator().eval()


def counts_separators(model: Any) -> bool:
    """Whether the class makes tokens global beside a row's first separator, and refuses rows with other than three."""
    return bool(model.config.model_type == "longformer")


def beside_first_separator(model: Any, input_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Marks, int64 (batch, sequence): the tokens before the first separator of each row, those after it and the next
    token, which between two texts is a separator, too."""
    import torch

    ends = (input_ids == model.config.sep_token_id).long().argmax(1, keepdim=True)
    places = torch.arange(input_ids.shape[1])
    return (places < ends).long(), (places > ends + 1).long()


def rows_of(model: Any) -> Any:
    """The base class of a module around a model, which it has as `checkpoint`, traced as the model would be."""
    import torch

    class Rows(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint, self.config = model, model.config
            self.set_attn_implementation = model.set_attn_implementation

    return Rows


def _last(marks: torch.Tensor) -> torch.Tensor:
    """The last position of each row that is marked: int64 (batch, sequence) -> (batch,)."""
    import torch

    return (marks * torch.arange(marks.shape[1])).amax(dim=1)


def _states_at(states: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """(batch, sequence, hidden) -> (batch, hidden)."""
    chosen = positions[:, None, None].expand(-1, 1, states.shape[-1])
    return states.gather(1, chosen)[:, 0]


def _same_alone(rows: Any, model: Any) -> Any:
    """The rows' module, whose answer for one row is the class's own.

    Raises:
        UnsupportedCheckpoint: it is another.
    """
    import torch

    end = model.config.eos_token_id
    ids = torch.tensor([[0, 1, 2, 1, 0 if end is None else int(end)]])
    with torch.inference_mode():
        expected = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        obtained = rows(input_ids=ids, attention_mask=torch.ones_like(ids))["logits"]
    if expected.shape != obtained.shape or not torch.allclose(expected, obtained, rtol=1e-4, atol=1e-5):
        raise UnsupportedCheckpoint(
            f"{type(model).__name__} answers only some batches of rows, and its parts are none that this version knows."
        )
    return rows
