"""PyTorch models behind the runtime's `Decoder`: every call reads each row's tokens anew, which is slow and exact.

Tiny random models in float64, so that a batch, padding or a cache changes no score and no tie is near.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

VOCABULARY = 29


class TorchDecoder:
    """Rows of tokens. After an encoder, `owners` says which text each row reads, and the scores' sums are told."""

    def __init__(self, model: Any, rows: int, limit: int | None = None, read: dict[str, Any] | None = None) -> None:
        self._model = model
        self.rows: list[list[int]] = [[] for _ in range(rows)]
        self._limit = limit
        self._read = read
        self._owners = list(range(rows))
        self.log_normalizers: NDArray[np.float32] | None = None
        self.calls = 0

    @property
    def lengths(self) -> Sequence[int]:
        return [len(row) for row in self.rows]

    @property
    def limit(self) -> int | None:
        return self._limit

    @property
    def admits(self) -> bool:
        return self._read is None

    @property
    def steps_uneven(self) -> bool:
        return True

    def admit(self) -> int:
        assert self.admits
        self.rows.append([])
        self._owners.append(len(self._owners))
        return len(self.rows) - 1

    def recall(self, row: int, ids: NDArray[np.int64]) -> None:
        """Nothing was read before."""

    def mark_prompt(self, row: int, tokens: int, owner: object = 0) -> None:
        """What was written is read as a prompt is."""

    def prefill(self, row: int, ids: Sequence[int] | NDArray[np.int64], keep: int = 1) -> NDArray[np.float32]:
        assert 0 < keep <= len(ids)
        self.rows[row] += [int(token) for token in ids]
        return self._scores([row], keep)[0]

    def step(self, ids: NDArray[np.int64], normalizers: bool = False) -> NDArray[np.float32]:
        assert 0 < len(ids) <= len(self.rows)
        assert self.admits or len(ids) == len(self.rows)
        alike = defaultdict(list)
        for number, (row, token) in enumerate(zip(self.rows, ids.tolist(), strict=False)):
            row.append(token)
            alike[len(row)].append(number)
        scores = np.empty((len(ids), VOCABULARY), np.float32)
        for numbers in alike.values():
            scores[numbers] = self._scores(numbers, 1)[:, 0]
        told = normalizers and self._read is not None
        self.log_normalizers = torch.logsumexp(torch.from_numpy(scores), 1).numpy() if told else None
        return scores

    def truncate(self, row: int, length: int) -> None:
        assert length <= len(self.rows[row])
        del self.rows[row][length:]

    def select(self, sources: Sequence[int]) -> None:
        self.rows = [list(self.rows[source]) for source in sources]
        self._owners = [self._owners[source] for source in sources]
        if self._read is not None:
            # Side by side, the same number for each text.
            texts = list(dict.fromkeys(self._owners))
            each = len(sources) // len(texts)
            assert self._owners == [text for text in texts for _ in range(each)]

    def close(self) -> None:
        self.rows = []

    def _scores(self, numbers: list[int], keep: int) -> NDArray[np.float32]:
        self.calls += 1
        ids = torch.tensor([self.rows[number] for number in numbers])
        assert self._limit is None or ids.shape[1] <= self._limit
        with torch.no_grad():
            if self._read is None:
                logits = self._model(input_ids=ids, use_cache=False).logits
            else:
                owners = [self._owners[number] for number in numbers]
                hidden = transformers.modeling_outputs.BaseModelOutput(self._read["hidden"][owners])
                mask = self._read["mask"][owners]
                logits = self._model(
                    encoder_outputs=hidden, attention_mask=mask, decoder_input_ids=ids, use_cache=False
                ).logits
        return logits[:, -keep:].to(torch.float32).numpy().copy()


def padded(texts: Sequence[Sequence[int]], left: bool) -> dict[str, torch.Tensor]:
    """Texts as transformers wants them: padded with 0 on one side, and a mask."""
    longest = max(map(len, texts))
    fill = [[0] * (longest - len(text)) for text in texts]
    rows = [[*pad, *text] if left else [*text, *pad] for pad, text in zip(fill, texts, strict=True)]
    ones = [
        [0] * len(p) + [1] * len(t) if left else [1] * len(t) + [0] * len(p) for p, t in zip(fill, texts, strict=True)
    ]
    return {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(ones)}


def encoded(model: Any, texts: Sequence[Sequence[int]], limit: int | None = None) -> TorchDecoder:
    """One empty row for each text that the encoder has read."""
    inputs = padded(texts, left=False)
    with torch.no_grad():
        hidden = model.get_encoder()(**inputs).last_hidden_state
    return TorchDecoder(model, len(texts), limit, {"hidden": hidden, "mask": inputs["attention_mask"]})


def llama() -> Any:
    """A decoder."""
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, initializer_range=0.6,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return _made(transformers.LlamaForCausalLM, config, 7)


def bart() -> Any:
    """An encoder and a decoder with learned positions."""
    config = transformers.BartConfig(
        vocab_size=VOCABULARY, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, max_position_embeddings=64, init_std=0.6,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip
    return _made(transformers.BartForConditionalGeneration, config, 8)


def t5() -> Any:
    """An encoder and a decoder with relative positions."""
    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_decoder_layers=1, num_heads=2,
        initializer_factor=3.0, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    return _made(transformers.T5ForConditionalGeneration, config, 9)


def _decoded(config: Any) -> dict[str, torch.Tensor]:
    return {"decoder_input_ids": torch.arange(VOCABULARY)[None]} if config.is_encoder_decoder else {}


def _made(kind: Any, config: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    model = kind(config).double().eval()
    with torch.no_grad():
        # Scores that differ, none so much that beams all agree.
        head = model.lm_head.weight
        head *= 2.5 / model(**padded([range(VOCABULARY)], left=True), **_decoded(config)).logits.std()
    # What a call sets is all there is: no default of a family.
    model.generation_config = transformers.GenerationConfig(
        pad_token_id=0, eos_token_id=None, decoder_start_token_id=getattr(config, "decoder_start_token_id", None)
    )
    return model
