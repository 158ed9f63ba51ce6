"""Documents: texts whose words have boxes, as the checkpoint's tokenizer reads them word by word."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxpress.format.manifest import TensorInfo
from onnxpress.format.processors import Processors, TokenBoxes
from onnxpress.pipelines.collators import BOXES, SEQUENCE
from onnxpress.pipelines.documents import token_boxes
from onnxpress.text.tokenizer import Encoding
from onnxpress_exporter.errors import UnsupportedCheckpoint, VerificationFailed
from onnxpress_exporter.gate.probe import Check
from onnxpress_exporter.graphs.generating import Built
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.inputs.text import TextInputs
from onnxpress_exporter.judging.samples import Sample
from onnxpress_exporter.source.checkpoint import Checkpoint, load_tokenizer
from onnxpress_exporter.source.load_arguments import LoadArguments
from onnxpress_exporter.tasks.row import ExportTask
from onnxpress_exporter.tasks.text_graph import example_inputs, text_graph_inputs

#: What transformers' pipeline gives LayoutLM's tokens that are no words: those of the question and the first none, the
#: separators the far corner.
_OF_PIPELINE = TokenBoxes((0,) * 4, (0,) * 4, (1000,) * 4)

#: What a tokenizer of transformers calls the box of a token that begins a row, and has where it makes boxes itself.
_BEGIN = "cls_token_box"


class DocumentInputs:
    """As `Inputs` says, of a tokenizer that reads words, and of their boxes."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._plain = _of_texts(tokenizer) if hasattr(tokenizer, _BEGIN) else tokenizer
        self._texts = TextInputs(self._plain)
        self.check: Check | None = self._check

    def traceable(self, row: ExportTask, model: Any) -> list[Traceable]:
        """As `Inputs` says: int64 (batch, sequence), and of boxes (batch, sequence, 4)."""
        import torch

        assert row.outputs is not None, f"{row.name} has graphs of its own"
        name = type(model).__name__
        if name not in _BOXES:
            raise UnsupportedCheckpoint(
                f"{name} is not exported by this version, which exports {', '.join(_BOXES)} for {row.name}."
            )
        _BOXES[name](self._tokenizer)  # refuses what it does not know
        texts = [tensor for tensor in text_graph_inputs(model, self._plain) if tensor.name != "token_type_ids"]
        if getattr(model.config, "type_vocab_size", 1) > 1:  # which the pipeline always passes
            texts.append(TensorInfo("token_type_ids", "int64", texts[0].axes))
        spec = GraphSpec("model", tuple(texts), row.outputs(model))
        inputs = example_inputs(spec, self._plain)
        batch, tokens = inputs["input_ids"].shape
        corners = np.sort(np.random.default_rng(0).integers(0, 1001, (batch, tokens, 2, 2)), axis=2)
        inputs[BOXES] = torch.from_numpy(corners.reshape(batch, tokens, 4))
        boxes = TensorInfo(BOXES, "int64", ("batch", SEQUENCE, 4))
        return [Traceable(replace(spec, inputs=(*spec.inputs, boxes)), row.by_rows(model), inputs)]

    def built(self, model: Any) -> Built:
        raise AssertionError(f"{type(model).__name__} reads documents and writes nothing")

    def write(self, row: ExportTask, checkpoint: Checkpoint, folder: Path, model: Any) -> Processors:
        """As `Inputs` says."""
        settings = self._texts.write_for(checkpoint, folder, model, writes=row.writes)
        return Processors(text=replace(settings, boxes=_BOXES[type(model).__name__](self._tokenizer)))

    def _check(self, sample: Sample, encoding: Encoding, limit: int) -> None:
        """Raise VerificationFailed unless the runtime's tokens of words, and the boxes where the tokenizer makes them,
        are transformers'."""
        first, second = sample.text.split(), (sample.pair or "").split()
        if not second:
            return  # what no document is asked
        boxes = np.arange(len(second), dtype=np.int64)[:, None] % 1000 + np.zeros((1, 4), np.int64)
        cut: dict[str, Any] = {"truncation": True, "max_length": limit}
        if hasattr(self._tokenizer, _BEGIN):
            answer = self._tokenizer(text=[sample.text], text_pair=[second], boxes=[boxes.tolist()], **cut)
            expected = [answer["input_ids"][0], answer["bbox"][0]]
            of_others = _of_tokenizer(self._tokenizer)
            obtained = [encoding.ids, token_boxes(encoding, boxes, of_others, self._tokenizer.cls_token_id).tolist()]
        else:
            expected = [list(self._tokenizer(first, second, is_split_into_words=True, **cut)["input_ids"])]
            obtained = [encoding.ids]
        if expected != obtained:
            raise VerificationFailed(
                f"The runtime's tokens of words differ from transformers' on the input {sample.name!r}: expected "
                f"{expected[0][:12]}, obtained {obtained[0][:12]}. No artifact was written. Please report this "
                "checkpoint."
            )


def _of_layoutlm(tokenizer: Any) -> TokenBoxes:
    if hasattr(tokenizer, _BEGIN):
        raise UnsupportedCheckpoint(
            f"{type(tokenizer).__name__} makes boxes itself, which transformers' pipeline does not expect of LayoutLM."
        )
    return _OF_PIPELINE


def _of_tokenizer(tokenizer: Any) -> TokenBoxes:
    """The boxes that LayoutLMv3's tokenizer gives to tokens that are no words of a document."""
    if not hasattr(tokenizer, _BEGIN):
        raise UnsupportedCheckpoint(
            f"{type(tokenizer).__name__} takes no boxes, so that transformers cannot ask LayoutLMv3 with it. Save the "
            "model with the LayoutLMv3Tokenizer of its vocabulary."
        )
    names = ("pad_token_box", _BEGIN, "sep_token_box")
    return TokenBoxes(*(tuple(int(corner) for corner in getattr(tokenizer, name)) for name in names))


#: Class -> the boxes of tokens that are no words of a document.
_BOXES: Mapping[str, Callable[[Any], TokenBoxes]] = {
    "LayoutLMForQuestionAnswering": _of_layoutlm,
    "LayoutLMv3ForQuestionAnswering": _of_tokenizer,
}


def _of_texts(tokenizer: Any) -> Any:
    """A tokenizer that takes nothing but words with boxes, as one that takes texts as well."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    names = [name for name in tokenizer.model_input_names if name != BOXES]
    plain: Any = PreTrainedTokenizerFast  # its methods are not typed
    return plain(
        tokenizer_object=Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        clean_up_tokenization_spaces=tokenizer.clean_up_tokenization_spaces,
        model_input_names=names,
        **tokenizer.special_tokens_map,
    )


def read_documents(checkpoint: Checkpoint, arguments: LoadArguments) -> DocumentInputs:
    """The checkpoint's tokenizer.

    Raises:
        UnsupportedCheckpoint: there is none that has an exact version, or it fills rows on the left.
    """
    tokenizer = load_tokenizer(checkpoint, arguments, texts=False)
    if tokenizer.padding_side != "right":
        raise UnsupportedCheckpoint(
            f"{type(tokenizer).__name__} fills rows up on the left, with which transformers does not ask about "
            'documents. Set "padding_side": "right" in tokenizer_config.json.'
        )
    return DocumentInputs(tokenizer)
