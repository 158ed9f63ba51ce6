"""Longformer's and LED's attention in the form that is traced: what their classes answer, at every length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import onnxpress
from onnxpress.engine.session import Session
from onnxpress_exporter import export
from onnxpress_exporter.graphs.sliding_windows import one_graph_for_all_lengths, slides
from onnxpress_exporter.graphs.trace import trace
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.text_graph import text_encoder_spec
from onnxpress_exporter.write.save import save
from tests.fixtures.tiny_tokenizers import tiny_tokenizer
from tests.fixtures.writers import writer

_SIZES = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 120,
    "pad_token_id": 1,
    "sep_token_id": 2,
}
_LED = {
    "vocab_size": 400,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_encoder_position_embeddings": 128,
    "max_decoder_position_embeddings": 128,
}


def model_of(head: str, windows: list[int]) -> Any:
    torch.manual_seed(0)
    if head.startswith("LED"):
        config = transformers.LEDConfig(**{**_LED, "attention_window": windows})
    else:
        sizes = {**_SIZES, "num_hidden_layers": len(windows), "attention_window": windows}
        config = transformers.LongformerConfig(**sizes)
    model = getattr(transformers, head)(config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(std=2 * weight.shape[-1] ** -0.5, generator=generator)
            else:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    return model


def rows(length: int) -> dict[str, torch.Tensor]:
    """Three pairs whose first texts have different lengths, the last two tokens of one padding."""
    ids = torch.randint(5, 90, (3, length), generator=torch.Generator().manual_seed(length))
    for row, first in enumerate((2, 4, 1)):
        ids[row, first] = ids[row, first + 1] = 2
        ids[row, -3 if row == 2 else -1] = 2
    mask = torch.ones_like(ids)
    ids[2, -2:], mask[2, -2:] = 1, 0
    return {"input_ids": ids, "attention_mask": mask}


@pytest.mark.parametrize("length", [8, 9, 31, 40])
@pytest.mark.parametrize(
    "head",
    [
        "LongformerForSequenceClassification",  # its first token is global
        "LongformerForQuestionAnswering",  # the question's are
        "LongformerForTokenClassification",  # none is
        "LEDModel",
    ],
)
def test_answers_are_those_of_the_class(head: str, length: int) -> None:
    model, inputs = model_of(head, [4, 8]), rows(length)
    assert slides(model)
    seen = inputs["attention_mask"].bool()

    def answer() -> torch.Tensor:
        with torch.no_grad():
            if head == "LEDModel":
                return model.get_encoder()(**inputs).last_hidden_state[seen]  # type: ignore[no-any-return]
            outputs = model(**inputs)
        states: torch.Tensor = outputs[0]
        return states[seen] if states.shape[:2] == seen.shape else states

    shown = {**inputs, "decoder_input_ids": inputs["input_ids"][:, :1]} if head == "LEDModel" else inputs
    expected = answer()
    with one_graph_for_all_lengths(model, shown):
        obtained = answer()
    torch.testing.assert_close(obtained, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(answer(), expected, rtol=0, atol=0)


def test_choices_are_scored_whatever_separators_their_rows_have() -> None:
    model, inputs = model_of("LongformerForMultipleChoice", [4, 8]), rows(31)
    scored = TASKS["multiple-choice"].by_rows(model)
    with torch.no_grad():
        expected = model(**{name: tensor[None] for name, tensor in inputs.items()}).logits[0]
        torch.testing.assert_close(scored(**inputs)["logits"][:, 0], expected, rtol=1e-4, atol=1e-5)
        inputs["input_ids"][0, 9] = 2  # the class refuses a fourth
        assert torch.isfinite(scored(**inputs)["logits"]).all()


@pytest.mark.filterwarnings("ignore")  # of tracing; `export` keeps them quiet
def test_one_graph_has_all_lengths_and_any_number_of_global_tokens(tmp_path: Path) -> None:
    model = model_of("LongformerForQuestionAnswering", [4])
    spec = text_encoder_spec(TASKS["question-answering"], model, tiny_tokenizer("roberta"))
    asked = TASKS["question-answering"].by_rows(model)
    save(trace(asked, spec, rows(23)), tmp_path / "model.onnx")
    session = Session({"model": tmp_path / "model.onnx"}, threads=1)
    for length in (8, 13, 24, 57):
        inputs = rows(length)
        seen = inputs["attention_mask"].numpy().astype(bool)
        with torch.no_grad():
            expected = model(**inputs).start_logits.numpy()
        arrays = {name: tensor.numpy() for name, tensor in inputs.items()}
        together = session.run(arrays, "model")["start_logits"]
        np.testing.assert_allclose(together[seen], expected[seen], rtol=1e-4, atol=1e-4)
        for row in range(3):  # without neighbours, and without padding
            alone = {name: array[row : row + 1, seen[row]] for name, array in arrays.items()}
            scores = session.run(alone, "model")["start_logits"][0]
            np.testing.assert_allclose(scores, together[row, seen[row]], rtol=1e-4, atol=1e-4)
    session.close()


@pytest.mark.nightly
def test_led_writes_what_transformers_does(tmp_path: Path) -> None:
    source = writer("led", tmp_path / "led")
    artifact = export(source, tmp_path / "out", "summarization")
    text, generation = artifact.manifest.processors.text, artifact.manifest.generation
    assert text is not None and generation is not None
    assert (text.max_length, generation.max_length) == (96, 64)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(source).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    texts = ["the quick brown fox jumps over the lazy dog " * 2, "hello", "john smith works at acme in london"]
    with onnxpress.pipeline(model=artifact) as pipe:
        for beams in (1, 3):
            together = [row["summary_text"] for row in pipe(texts, max_new_tokens=12, num_beams=beams)]
            for summary, passage in zip(together, texts, strict=True):
                ids = tokenizer(passage, return_tensors="pt")
                expected = model.generate(**ids, max_new_tokens=12, num_beams=beams, do_sample=False)[0]
                assert summary == tokenizer.decode(expected, skip_special_tokens=True)
                assert pipe(passage, max_new_tokens=12, num_beams=beams)[0]["summary_text"] == summary
