"""Checkpoints that write text, from the folder to the artifact: verified, made smaller, or refused with the reason."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import pytest

from onnxpress import Artifact
from onnxpress.cli.inspection import describe
from onnxpress.engine.session import Session
from onnxpress.generation.decoders.models import decoder_model, encoder_decoder_model
from onnxpress_exporter import export
from onnxpress_exporter.errors import UnsupportedCheckpoint, VariantRefused, VerificationFailed
from onnxpress_exporter.graphs import generating
from onnxpress_exporter.passes.weight_only import BlockWeights
from onnxpress_exporter.quantize import block_rounding
from onnxpress_exporter.quantize.settings import Settings
from tests.fixtures.writers import CHAT, SUMMARY, writer

IDS = [5, 17, 80, 3, 44, 9]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("writers")


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Path:
    return writer("llama", folder / "llama", do_sample=True, temperature=0.7)


@pytest.fixture(scope="module")
def llama(folder: Path, checkpoint: Path) -> Artifact:
    return export(checkpoint, folder / "llama-onnx", None, ("fp32", "q8", "q4", "q4f16"))


@pytest.fixture(scope="module")
def marian(folder: Path) -> Artifact:
    made = writer("marian", folder / "marian", num_beams=4, bad_words_ids=[[0]], max_length=96)
    return export(made, folder / "marian-onnx", None, ("fp32", "int8"))


def _nodes(artifact: Artifact, precision: str, graph: str = "model") -> Counter[str]:
    return Counter(node.op_type for node in _graph(artifact, precision, graph).graph)


def _graph(artifact: Artifact, precision: str, graph: str = "model") -> onnx_ir.Model:
    return onnx_ir.load(artifact.folder / artifact.manifest.variants[precision].graphs[graph].file)


def _logits(artifact: Artifact, precision: str, ids: Sequence[int]) -> np.ndarray:
    session = Session(artifact.graphs(precision))
    decoder = decoder_model(artifact.manifest, session).start(1, len(ids))
    found = decoder.prefill(0, ids, len(ids))
    session.close()
    return found


def test_a_decoder_becomes_an_artifact(llama: Artifact) -> None:
    manifest = llama.manifest
    assert (manifest.task, manifest.architecture) == ("text-generation", "LlamaForCausalLM")
    settings = manifest.generation
    assert settings is not None and (settings.cache, settings.max_length, settings.traced) == ("shared", 160, None)
    quality = manifest.variants["fp32"].quality
    assert quality is not None
    assert quality.reference == "PyTorch fp32, eager"
    assert quality.max_error <= 1e-4 and quality.batch_error <= 1e-4 and quality.comparisons > 40
    assert "fused attention, shared cache; at most 160 tokens" in describe(manifest, width=200)
    assert "past_key_values.0..1.key float32 (rows, 2, capacity, 16)" in describe(manifest)


def test_what_generation_needs_stands_beside_the_graphs(llama: Artifact) -> None:
    defaults = json.loads(llama.file("generation_config.json").read_text())
    told = {name: defaults[name] for name in ("bos_token_id", "eos_token_id", "do_sample", "temperature")}
    assert told == {"bos_token_id": 0, "eos_token_id": [0, 1], "do_sample": True, "temperature": 0.7}
    assert None not in defaults.values() and "transformers_version" not in defaults
    assert llama.file("chat_template.jinja").read_text() == CHAT
    assert llama.file("chat_templates/summary.jinja").read_text() == SUMMARY


def test_every_projection_is_small_and_the_table_is_stored_once(llama: Artifact) -> None:
    for precision, share in (("q8", 0.36), ("q4", 0.26)):
        found = _nodes(llama, precision)
        assert (found["MatMulNBits"], found["MatMul"], found["GatherBlockQuantized"]) == (9, 0, 1)
        assert found["Gather"] == 1  # of the positions whose scores are wanted
        assert llama.manifest.variants[precision].bytes < share * llama.manifest.variants["fp32"].bytes
    model = _graph(llama, "q4")
    vocabulary = 436
    tables = [one for one in model.graph.initializers.values() if one.shape and one.shape[0] == vocabulary]
    assert sorted(one.const_value.nbytes for one in tables if one.const_value) == [vocabulary * 8, vocabulary * 32]
    assert not [node for node in model.graph if node.op_type == "MatMulNBits" and len(node.inputs) > 3]  # no zeros


def test_variants_expect_what_the_original_does(llama: Artifact) -> None:
    expected = _logits(llama, "fp32", IDS)
    for precision, close in (("q8", 0.998), ("q4", 0.93), ("q4f16", 0.93)):
        found = _logits(llama, precision, IDS)
        assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > close, precision
        quality = llama.manifest.variants[precision].quality
        assert quality is not None
        (figure,) = quality.measures
        assert figure == "scores' correlation, untrained" and quality.measures[figure] > quality.measure_limits[figure]


def test_sixteen_bits_have_keys_of_sixteen_bits(llama: Artifact) -> None:
    model = _graph(llama, "q4f16")
    assert {str(value.dtype) for value in (*model.graph.inputs, *model.graph.outputs) if "." in str(value.name)} == {
        "FLOAT16"
    }
    assert next(value for value in model.graph.outputs if value.name == "logits").dtype == onnx_ir.DataType.FLOAT


def test_biases_are_inside_the_products(folder: Path) -> None:
    made = writer("gpt2", folder / "gpt2")
    artifact = export(made, folder / "gpt2-onnx", "text-generation", ("q8",))
    assert set(artifact.manifest.variants) == {"q8"}
    found = _graph(artifact, "q8")
    products = [node for node in found.graph if node.op_type == "MatMulNBits"]
    assert [len(node.inputs) for node in products] == [6] * 8 + [3]  # all but the head's
    assert "Add" not in {node.op_type for node in found.graph if node.name and "layers" in node.name}
    assert artifact.manifest.generation is not None and artifact.manifest.generation.max_length == 96


def test_an_encoder_decoder_becomes_an_artifact(marian: Artifact) -> None:
    assert marian.manifest.task == "translation"
    assert set(marian.manifest.graphs) == {"encoder_model", "decoder_model_merged"}
    defaults = json.loads(marian.file("generation_config.json").read_text())
    assert (defaults["num_beams"], defaults["bad_words_ids"], defaults["max_length"]) == (4, [[0]], 96)
    int8 = marian.manifest.variants["int8"]
    assert "cpu:avx2" in int8.targets and int8.quality is not None and "token agreement" in int8.quality.measures
    assert _nodes(marian, "int8", "encoder_model")["MatMulIntegerToFloat"] >= 12
    assert _nodes(marian, "int8", "decoder_model_merged")["MatMulIntegerToFloat"] == 13


QUANTIZE = """
import sys
import warnings
from onnxpress_exporter.flow import quantize
artifact = quantize(sys.argv[1], "q4", sys.argv[2])
assert not {"torch", "transformers", "optimum"} & set(sys.modules)
print(*artifact.manifest.variants, artifact.manifest.variants["q4"].quality.reference, sep="|")
"""


def test_variants_are_added_without_pytorch(marian: Artifact, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUANTIZE, str(marian.folder), str(tmp_path / "more")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == "fp32|int8|q4|the fp32 variant, verified against PyTorch"
    artifact = Artifact.open(tmp_path / "more")
    session = Session(artifact.graphs("q4"))
    ids = np.array([[7, 8, 9, 1]])
    decoder = encoder_decoder_model(artifact.manifest, session).encode(ids, np.ones_like(ids), 2)
    assert np.isfinite(decoder.prefill(0, [0])).all()
    session.close()


def test_t5_is_text_to_text_and_other_tasks_on_request(folder: Path) -> None:
    made = writer("t5", folder / "t5")
    artifact = export(made, folder / "t5-onnx", "summarization", ("fp32",))
    assert artifact.manifest.task == "summarization"
    assert artifact.manifest.generation is not None and artifact.manifest.generation.max_length is None


def _worsened(built: generating.Built) -> generating.Built:
    """One weight of the last layer's is off by a little."""
    (value,) = [
        one for name, one in built.graphs["model"].graph.initializers.items() if "1.feed_forward.down.w" in name
    ]
    assert value.const_value is not None
    array = value.const_value.numpy().copy()
    array[3, 5] += 0.5
    value.const_value = onnx_ir.tensor(array, name=value.name)
    return built


def test_a_wrong_graph_is_refused_and_nothing_is_left(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = generating.build
    monkeypatch.setattr("onnxpress_exporter.inputs.text.build", lambda model: _worsened(original(model)))
    with pytest.raises(
        VerificationFailed, match=r"on the input '.*: the score of token \d+ .*: expected .*, obtained "
    ):
        export(checkpoint, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_variant_is_refused_and_the_others_are_written(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = block_rounding.block_weights

    def backwards(*arguments: Any) -> BlockWeights:
        found = original(*arguments)
        return BlockWeights(found.integers[::-1].copy(), found.scales, found.zeros, found.bits, found.block)

    monkeypatch.setattr(block_rounding, "block_weights", backwards)
    with pytest.raises(VariantRefused, match=r"scores' correlation, untrained -?0\.\d+, at least 0\.9") as refused:
        export(checkpoint, tmp_path / "out", None, ("fp32", "q8"), quantization=Settings(repair_s=0))
    assert refused.value.artifact is not None and set(refused.value.artifact.manifest.variants) == {"fp32"}
    assert {path.name for path in (tmp_path / "out" / "onnx").iterdir()} == {"model.onnx"}


def _adapter(base: Path, folder: Path, named: str) -> Any:
    """A LoRA adapter with random weights; the model with it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    with warnings.catch_warnings():  # peft asks transformers for what it will rename
        warnings.simplefilter("ignore")
        adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.peft_config["default"].base_model_name_or_path = named
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted.save_pretrained(folder)
    return adapted


def test_an_adapter_is_merged(checkpoint: Path, llama: Artifact, tmp_path: Path) -> None:
    import torch

    adapted = _adapter(checkpoint, tmp_path / "adapter", str(checkpoint))
    with torch.inference_mode():
        expected = adapted.eval()(input_ids=torch.tensor([IDS])).logits[0].numpy()
    # Named by its base, or alone: it names its base itself.
    alone = export(tmp_path / "adapter", tmp_path / "alone")
    named = export(checkpoint, tmp_path / "named", adapter=tmp_path / "adapter")
    for artifact in (alone, named):
        np.testing.assert_allclose(_logits(artifact, "fp32", IDS), expected, atol=2e-5)
    assert np.abs(_logits(llama, "fp32", IDS) - expected).max() > 0.1
    assert alone.manifest.provenance.adapter == "adapter", "its name: an artifact holds no path of this machine"


def test_an_adapter_of_another_model_is_refused(checkpoint: Path, folder: Path, tmp_path: Path) -> None:
    _adapter(checkpoint, tmp_path / "adapter", "nobody/nowhere")
    other = writer("gpt2", tmp_path / "gpt2")
    with pytest.raises(UnsupportedCheckpoint, match="does not fit GPT2LMHeadModel"):
        export(other, tmp_path / "out", adapter=tmp_path / "adapter")
    with pytest.raises(UnsupportedCheckpoint, match="holds no PEFT adapter"):
        export(checkpoint, tmp_path / "out", adapter=other)
    assert not (tmp_path / "out").exists()


def test_requests_that_make_no_sense(checkpoint: Path, llama: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedCheckpoint, match="has no head for translation"):
        export(checkpoint, tmp_path / "out", "translation_en_to_de")
