"""Texts: the checkpoint's tokenizer."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from onnxpress.format.processors import Processors, TokenizerSettings
from onnxpress.text.tokenizer import Encoding
from onnxpress_exporter.errors import VerificationFailed
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built, build
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.graphs.trace import check_runs
from onnxpress_exporter.inputs.base import shaped
from onnxpress_exporter.judging.samples import Sample
from onnxpress_exporter.source.checkpoint import Checkpoint, load_tokenizer
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.source.tables import find_tables
from onnxpress_exporter.tasks.row import ExportTask, Tower
from onnxpress_exporter.tasks.text_graph import (
    example_inputs,
    takes_token_types,
    text_encoder_spec,
    text_graph_inputs,
)
from onnxpress_exporter.tasks.token_streams import read_streams
from onnxpress_exporter.write.generation import write_chat_templates
from onnxpress_exporter.write.tokenizer_files import copy_tokenizer_files
from onnxpress_exporter.write.tokenizers import tokenizer_settings, write_tokenizer

#: Tokens of a question that is traced: a number unlike any size inside a model.
_ASKED = 7


class TextInputs:
    """As `Inputs` says, of a tokenizer of transformers."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.check: Check | None = partial(check_tokens, tokenizer)

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        """As `Inputs` says."""
        if row.parts is not None:
            return list(row.parts(model))
        spec = text_encoder_spec(row, model, self._tokenizer)
        types = takes_token_types(model, self._tokenizer)
        module = read_streams(row.by_rows(model), model, self._tokenizer, types=types)
        return [Traceable(spec, module, example_inputs(spec, self._tokenizer))]

    def built(self, model: Any) -> Built:
        """As `Inputs` says."""
        return build(model)

    def traceable_tower(self, tower: Tower) -> Traceable:
        """int64 (batch, sequence), or of the tower's one length: then what the tokenizer makes, with its padding.

        Raises:
            UnsupportedCheckpoint: it does not take tokens as the tokenizer makes them.
        """
        import torch

        inputs = text_graph_inputs(tower.module, self._tokenizer, tower.tokens)
        spec = GraphSpec(tower.name, inputs, tower.outputs, tower.role)
        part = Traceable(spec, tower.module, example_inputs(spec, self._tokenizer))
        check_runs(part)
        with torch.no_grad():
            answers = [tower.module(**part.inputs)]
        outputs = tuple(shaped(tensor, answers) for tensor in tower.outputs)
        return replace(part, spec=replace(spec, outputs=outputs))

    def examples(self, rows: int) -> dict[str, Any]:
        """Questions as a model reads them that is asked about pictures: int64 (rows, tokens), and which are no padding.
        What the words are does not matter; some rows are shorter."""
        import torch

        ids = torch.arange(rows * _ASKED).reshape(rows, _ASKED) % len(self._tokenizer)
        lengths = _ASKED - torch.arange(rows)[:, None] % 3
        return {"input_ids": ids, "attention_mask": (torch.arange(_ASKED)[None] < lengths).to(torch.int64)}

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says: tokenizer.json and what is beside it, and the chat templates of a model that writes."""
        places = getattr(model.config, "max_text_positions", None) if row.parts is not None else None
        settings = self.write_for(checkpoint, folder, model, writes=row.writes, tokens=places)
        if row.writes:
            write_chat_templates(self._tokenizer, folder)
        return Processors(text=settings)

    def write_for(
        self, checkpoint: Checkpoint, folder: Path, model: Any, *, writes: bool, tokens: int | None = None
    ) -> TokenizerSettings:
        """Write the tokenizer's files for the part of a model that reads text.

        Args:
            tokens: the most that it takes, where it has a length of its own.
        """
        write_tokenizer(self._tokenizer, folder)
        settings = tokenizer_settings(self._tokenizer, model.config, find_tables(model))
        if tokens is not None:
            settings = replace(settings, max_length=tokens)
        copy_tokenizer_files(checkpoint, self._tokenizer, folder, None if writes else settings.max_length)
        return settings


def read_text(checkpoint: Checkpoint, arguments: LoadArguments) -> TextInputs:
    """The checkpoint's tokenizer.

    Raises:
        UnsupportedCheckpoint: there is none that has an exact version.
    """
    return TextInputs(load_tokenizer(checkpoint, arguments))


def check_tokens(tokenizer: Any, sample: Sample, encoding: Encoding, limit: int) -> None:
    """Raise VerificationFailed unless the runtime's tokens of a sample are transformers'."""
    expected = tokenizer(sample.text, sample.pair, truncation=True, max_length=limit)["input_ids"]
    if encoding.ids != list(expected):
        raise VerificationFailed(
            f"The runtime's tokenizer differs from transformers' on the input {sample.name!r}: expected "
            f"{_shown(expected)}, obtained {_shown(encoding.ids)}. No artifact was written. Please report this "
            "checkpoint."
        )


def _shown(ids: Any) -> str:
    return f"{list(ids)[:12]}{'...' if len(ids) > 12 else ''} ({len(ids)} tokens)"
