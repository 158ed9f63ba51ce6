"""Files beside the usual ones, made by their own tools: optimized and quantized graphs, layers after pooling, a
tokenizer without a tokenizer.json. Answers are those of the checkpoint in its own library.

`onnxpress peers --install optimum-onnx` makes the environment; without it these tests are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import MarianConfig, MarianMTModel, pipeline

import onnxpress
from onnxpress.errors import BatchDependenceWarning
from onnxpress_bench.environments import interpreter, state
from onnxpress_exporter.quiet import quiet
from tests.fixtures.slow_tokenizers import slow_tokenizer

pytestmark = pytest.mark.nightly

PEER = "optimum-onnx"
TEXTS = ["Ada lives in Rome.", "a", "It was a great film, and Mr Smith of Acme in Oslo liked it very much indeed."]
_EXPORT = """
import sys, warnings, logging; warnings.simplefilter('ignore'); logging.disable(logging.WARNING)
from optimum.exporters.onnx import main_export
main_export(sys.argv[1], output=sys.argv[2], task=sys.argv[3], do_validation=False)
"""
_OPTIMIZE = """
import sys, warnings, logging; warnings.simplefilter('ignore'); logging.disable(logging.WARNING)
from pathlib import Path
from optimum.onnxruntime import ORTOptimizer, ORTQuantizer
from optimum.onnxruntime.configuration import AutoOptimizationConfig, AutoQuantizationConfig
folder = Path(sys.argv[1])
for level in ("O1", "O2", "O3"):
    optimizer = ORTOptimizer.from_pretrained(folder, file_names=["model.onnx"])
    optimizer.optimize(save_dir=folder, optimization_config=getattr(AutoOptimizationConfig, level)(), file_suffix=level)
quantizer = ORTQuantizer.from_pretrained(folder, file_name="model.onnx")
quantizer.quantize(save_dir=folder, quantization_config=AutoQuantizationConfig.avx512_vnni(is_static=False))
"""


def run(script: str, *arguments: object) -> None:
    if not any(peer.name == PEER and peer.installed for peer in state()):
        pytest.skip(f"The peer {PEER} is not installed: `onnxpress peers --install {PEER}`.")
    command = [interpreter(PEER), "-c", script, *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, timeout=600)


def test_optimized_and_quantized_files(trained: Callable[[str], Path], tmp_path: Path) -> None:
    checkpoint, folder = trained("tiny-sentiment"), tmp_path / "folder"
    run(_EXPORT, checkpoint, folder, "text-classification")
    run(_OPTIMIZE, folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):  # an older transformers may not read ours
        shutil.copy(checkpoint / name, folder / name)
    theirs = pipeline("text-classification", str(checkpoint))(TEXTS)
    for level in ("O1", "O2", "O3"):
        for options in ({"precision": level}, {"file_name": f"model_{level}.onnx"}):
            pipe = onnxpress.pipeline(model=folder, **options)
            assert pipe.precision == level
            for ours, expected in zip(pipe(TEXTS), theirs, strict=True):
                assert ours["label"] == expected["label"]
                assert ours["score"] == pytest.approx(expected["score"], abs=1e-4)
    with pytest.warns(BatchDependenceWarning, match="cosine of 0.92 to 0.99"):
        quantized = onnxpress.pipeline(model=folder, precision="q8")
    assert [answer["label"] for answer in quantized(TEXTS)] == [answer["label"] for answer in theirs]
    assert onnxpress.pipeline(model=folder).precision == "fp32"


def test_layers_after_pooling(trained: Callable[[str], Path], tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    checkpoint, folder = trained("tiny-embedder"), tmp_path / "folder"
    run(_EXPORT, checkpoint, folder, "feature-extraction")
    shutil.copytree(checkpoint, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("model.safetensors"))
    for place in checkpoint.glob("*_Dense"):
        shutil.copy(place / "model.safetensors", folder / place.name)
    pipe = onnxpress.pipeline(model=folder)
    assert pipe.task == "sentence-similarity"
    expected = SentenceTransformer(str(checkpoint), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(pipe(TEXTS), expected, atol=1e-5)
    for text, vector in zip(TEXTS, expected, strict=True):
        np.testing.assert_allclose(pipe(text), vector, atol=1e-5)


def test_marian_has_no_tokenizer_json(tmp_path: Path) -> None:
    with quiet():
        tokenizer = slow_tokenizer("marian", tmp_path)
    checkpoint, folder = tmp_path / "made", tmp_path / "folder"
    torch.manual_seed(0)
    small = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4}
    more = {"decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "init_std": 0.5}
    pad, end = int(tokenizer.pad_token_id), int(tokenizer.eos_token_id)
    ids = {"pad_token_id": pad, "eos_token_id": end, "decoder_start_token_id": pad, "forced_eos_token_id": None}
    model = MarianMTModel(
        MarianConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **small, **more, **ids)
    ).eval()
    model.save_pretrained(checkpoint)
    run(_EXPORT, checkpoint, folder, "text2text-generation-with-past")
    for name in ("source.spm", "target.spm", "vocab.json", "tokenizer_config.json"):  # sentencepiece may lack there
        shutil.copy(checkpoint / name, folder / name)
    assert not (folder / "tokenizer.json").exists()
    pipe = onnxpress.pipeline("translation", folder)
    for text in TEXTS:
        inputs = tokenizer(text, return_tensors="pt")
        written = model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=10)
        expected = tokenizer.decode(written[0], skip_special_tokens=True)
        answer = pipe(text, do_sample=False, num_beams=1, max_new_tokens=10)
        assert answer[0]["translation_text"] == expected
