"""What models read beside token ids, and tokenizers make of a text beside them: looked up in the graph, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from onnxpress_exporter.errors import UnsupportedCheckpoint
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.source.checkpoint import load_tokenizer, open_checkpoint
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.text_graph import takes_token_types, text_encoder_spec
from onnxpress_exporter.tasks.token_streams import read_streams
from tests.fixtures.slow_tokenizers import slow_tokenizer
from tests.fixtures.tiny_tokenizers import tiny_tokenizer

_SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
_STREAMS = {"shape_vocab_size": 16, "shape_embed_dim": 8, "pronunciation_vocab_size": 16, "pronunciation_embed_dim": 8}
#: Tokens that are put around texts are written in some of them, where they look and sound otherwise.
_TEXTS = (
    ("the quick brown fox", None),
    ("[SEP] hello [CLS] [SEP]", None),
    ("[CLS] 你好 world [SEP] [SEP] ok", None),
    ("", None),
    ("a fox [SEP]", "[SEP] b [CLS] 日"),
)


def _spread(model: Any) -> Any:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=2 * weight.shape[-1] ** -0.5, generator=generator)
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("names", [None, ["input_ids", "attention_mask", "token_type_ids"]])
def test_shapes_and_sounds_follow_from_ids(names: list[str] | None, tmp_path: Path) -> None:
    with quiet():
        tokenizer = slow_tokenizer("roc_bert", tmp_path, **({} if names is None else {"model_input_names": names}))
    config = transformers.RoCBertConfig(vocab_size=len(tokenizer), pad_token_id=0, **_SIZES, **_STREAMS)
    model = _spread(transformers.RoCBertForSequenceClassification(config))
    spec = text_encoder_spec(TASKS["text-classification"], model, tokenizer)
    assert [tensor.name for tensor in spec.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    reads_types = takes_token_types(model, tokenizer)
    assert reads_types == (names is not None)
    module = read_streams(model, model, tokenizer, types=reads_types)
    encoded = [tokenizer(*texts, return_tensors="pt") for texts in _TEXTS]
    for (first, _), inputs in zip(_TEXTS, encoded, strict=True):
        ids = inputs["input_ids"]
        types = (torch.arange(ids.shape[1]) >= len(tokenizer(first)["input_ids"])).long()[None]
        padded = {
            "input_ids": torch.nn.functional.pad(ids, (0, 3)),
            "attention_mask": torch.nn.functional.pad(torch.ones_like(ids), (0, 3)),
            "token_type_ids": torch.nn.functional.pad(types, (0, 3)),
        }
        torch.testing.assert_close(module(**padded).logits, model(**inputs).logits, rtol=1e-4, atol=1e-5)


def test_what_does_not_follow_from_ids_is_refused() -> None:
    class Tagged(transformers.BertModel):
        def forward(self, input_ids: Any, attention_mask: Any = None, tags: Any = None) -> Any:
            return super().forward(input_ids, attention_mask)

    class Tagging:
        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [1], "attention_mask": [1], "tags": [0]}

    model = Tagged(transformers.BertConfig(vocab_size=9, **_SIZES))
    with pytest.raises(
        UnsupportedCheckpoint, match="Tagged reads tags, which Tagging makes of a text beside its token"
    ):
        read_streams(model, model, Tagging(), types=False)
    tokenizer = tiny_tokenizer("bert")
    assert read_streams(model, model, tokenizer, types=False) is model


def test_a_tokenizer_that_wants_more_than_a_text_is_refused(tmp_path: Path) -> None:
    rows = {token: number for number, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a"])}
    transformers.LayoutLMv3Tokenizer(vocab=rows, merges=[]).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "layoutlmv3"}))
    transformers.BertModel(transformers.BertConfig(vocab_size=9, **_SIZES)).save_pretrained(tmp_path / "any")
    (tmp_path / "any" / "model.safetensors").rename(tmp_path / "model.safetensors")
    with quiet(), pytest.raises(UnsupportedCheckpoint, match=r"LayoutLMv3Tokenizer .* does not read a text by itself"):
        load_tokenizer(open_checkpoint(tmp_path))
