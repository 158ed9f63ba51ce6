"""PyTorch's answers: scores of every token of a text, and how transformers' `generate` goes on.

The only module here that runs torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from onnxpress.engine.machine import usable_cores
from onnxpress_exporter.generation.cases import Case

Logits = NDArray[np.float32]

#: Token ids that `generate` needs, whatever else a checkpoint's defaults are.
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


class PyTorch:
    """A checkpoint's model, run eagerly in fp32."""

    name = "PyTorch fp32, eager"

    def __init__(self, model: Any) -> None:
        self._model = model
        self._encodes = bool(model.config.is_encoder_decoder)

    @property
    def start(self) -> int | None:
        """The token that the decoder begins with; None without an encoder."""
        if not self._encodes:
            return None
        config = self._model.generation_config
        for token in (
            config.decoder_start_token_id,
            getattr(self._model.config, "decoder_start_token_id", None),
            config.bos_token_id,
        ):
            if token is not None:
                return int(token[0] if isinstance(token, list) else token)
        return 0

    def logits(self, case: Case) -> Logits:
        """float32 (tokens, vocabulary): what may follow each of the case's tokens."""
        with _inference():
            ids = torch.tensor([case.ids])
            if case.source is None:
                found = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
            else:
                source = torch.tensor([case.source])
                found = self._model(
                    input_ids=source, attention_mask=torch.ones_like(source), decoder_input_ids=ids, use_cache=False
                )
            logits: Logits = found.logits[0].float().numpy()
        return logits

    def write(self, case: Case, count: int, beams: int = 1) -> list[int]:
        """At most `count` tokens that `generate` lets follow, without sampling and the checkpoint's own rules."""
        from transformers import GenerationConfig

        with _inference(), self._plainly() as tokens:
            settings = GenerationConfig(max_new_tokens=count, num_beams=beams, do_sample=False, **tokens)  # type: ignore[no-untyped-call]
            ids = torch.tensor([case.ids if case.source is None else case.source])
            inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
            if case.source is not None:
                inputs["decoder_input_ids"] = torch.tensor([case.ids])
            found: list[int] = self._model.generate(**inputs, generation_config=settings)[0].tolist()
        return found[len(case.ids) :]

    @contextmanager
    def _plainly(self) -> Iterator[dict[str, Any]]:
        """Without the checkpoint's defaults, which `generate` reads even where it is given others; its tokens."""
        from transformers import GenerationConfig

        own = self._model.generation_config
        tokens = {name: getattr(own, name) for name in _TOKENS if getattr(own, name, None) is not None}
        if "pad_token_id" not in tokens:
            ends = tokens.get("eos_token_id", 0)
            tokens["pad_token_id"] = ends[0] if isinstance(ends, list) else ends
        self._model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        try:
            yield tokens
        finally:
            self._model.generation_config = own


@contextmanager
def _inference() -> Iterator[None]:
    threads = usable_cores()
    if torch.get_num_threads() > threads:
        torch.set_num_threads(threads)
    with torch.inference_mode():
        yield
