"""What a tokenizer makes of a text beside ids, and a model reads beside them: put into the graph, or refused.

RoCBert reads how a token looks and how it sounds. Both follow from its id, so the graph looks them up, and whoever runs
it knows nothing of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from onnxpress_exporter.errors import UnsupportedCheckpoint

if TYPE_CHECKING:
    import torch

#: What graphs take.
_IDS = frozenset({"input_ids", "attention_mask", "token_type_ids"})


def makes_streams(tokenizer: Any) -> bool:
    """Whether the graph looks something up beside the ids: it is told by types where a text ends."""
    return type(tokenizer).__name__ in _LOOK_UPS


def read_streams(rows: Any, model: Any, tokenizer: Any, *, types: bool) -> Any:
    """A module that reads what graphs take: `rows`, which answers as `model` does, unless the tokenizer makes more.

    `types`: whether the model itself reads types.

    Raises:
        UnsupportedCheckpoint: its tokenizer makes something that does not follow from the ids.
    """
    if makes_streams(tokenizer):
        return _reading(rows, _LOOK_UPS[type(tokenizer).__name__](tokenizer), tokenizer, types)
    streams = sorted(set(tokenizer("a")) & set(inspect.signature(model.forward).parameters) - _IDS)
    if streams:
        raise UnsupportedCheckpoint(
            f"{type(model).__name__} reads {', '.join(streams)}, which {type(tokenizer).__name__} makes of a text "
            "beside its token ids; no graph here takes them."
        )
    return rows


def _look_up_roc_bert(tokenizer: Any) -> dict[str, tuple[list[int], int]]:
    """For each stream: of every token, and of those put around texts, whichever they are."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    return {
        "input_shape_ids": (tokenizer.convert_tokens_to_shape_ids(tokens), tokenizer.word_shape["[UNK]"]),
        "input_pronunciation_ids": (
            tokenizer.convert_tokens_to_pronunciation_ids(tokens),
            tokenizer.word_pronunciation["[UNK]"],
        ),
    }


#: Class of a tokenizer -> the tables of its streams.
_LOOK_UPS: Mapping[str, Callable[[Any], dict[str, tuple[list[int], int]]]] = {"RoCBertTokenizer": _look_up_roc_bert}


def _reading(model: Any, tables: Mapping[str, tuple[list[int], int]], tokenizer: Any, types: bool) -> Any:
    import torch

    class Reading(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.checkpoint, self.config = model, model.config
            self.set_attn_implementation = model.set_attn_implementation
            for name, (table, _) in tables.items():
                self.register_buffer(name, torch.tensor(table), persistent=False)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor) -> Any:
            around = _around(input_ids, attention_mask, token_type_ids, tokenizer.cls_token_id, tokenizer.sep_token_id)
            inputs = {
                name: torch.where(around, outside, getattr(self, name)[input_ids])
                for name, (_, outside) in tables.items()
            }
            if types:
                inputs["token_type_ids"] = token_type_ids
            return self.checkpoint(input_ids=input_ids, attention_mask=attention_mask, **inputs)

    return Reading().eval()


def _around(ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor, begin: int, end: int) -> torch.Tensor:
    """Where tokens stand that were put around texts: bool (batch, sequence). The same tokens may be written in a text.

    Rows are padded on the right; a text's end has padding after it, or nothing, or another type.
    """
    import torch

    kinds = torch.nn.functional.pad(types + 2 * mask, (0, 1))
    ends = (ids == end) & (kinds[:, 1:] != kinds[:, :-1])
    first = torch.arange(ids.shape[1]) == 0
    return ends | ((ids == begin) & first)
