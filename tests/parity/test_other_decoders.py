"""Decoders that other tools build or export write here what the checkpoint writes in transformers.

Each tool runs in an environment of its own: `onnxpress peers --install optimum-onnx onnxruntime-genai` makes them;
without one, its tests are skipped. transformers.exporters is here already.
"""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from onnx import helper, numpy_helper
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

import onnxpress
from onnxpress.errors import UnsupportedFormat
from onnxpress_bench.environments import interpreter, state
from tests.fixtures.interop import Seen, record

pytestmark = pytest.mark.nightly

TEXTS = [
    "Ada lives in Rome.",
    "a",
    "It was a great film, and Mr Smith of Acme in Oslo liked it very much indeed.",
    "The",
]
SEARCHES: tuple[dict[str, Any], ...] = (
    {"num_beams": 1, "max_new_tokens": 16},
    {"num_beams": 3, "max_new_tokens": 10},
    {"num_beams": 1, "max_new_tokens": 8, "repetition_penalty": 1.4},
)
_OPTIMUM = (
    "import sys, warnings, logging; warnings.simplefilter('ignore'); logging.disable(logging.WARNING)\n"
    "from optimum.exporters.onnx import main_export\n"
    "main_export(sys.argv[1], output=sys.argv[2], task=sys.argv[3], do_validation=False)\n"
)
_SIZES = {"vocab_size": 2000, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 2, "initializer_range": 0.3}
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
_LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
}
#: Families -> their configs.
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": _GPT,
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "gpt_bigcode": {**_GPT, "multi_query": True},
    "qwen2": _LLAMA,
    "qwen3": {**_LLAMA, "head_dim": 16},
    "opt": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 48,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 128,
    },
}


def check_writing(folder: Path, checkpoint: Path, **arguments: Any) -> Any:
    """The pipeline of a folder, which writes what transformers does with the checkpoint, alone and in batches."""
    pipe = onnxpress.pipeline("text-generation", folder, **arguments)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)
    model.eval()
    for options in SEARCHES:
        expected = []
        for text in TEXTS:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            written = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, **options)
            expected.append(tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))
        options = {**options, "do_sample": False, "return_full_text": False}
        assert [answer[0]["generated_text"] for answer in pipe(TEXTS, **options)] == expected
        assert [pipe(text, **options)[0]["generated_text"] for text in TEXTS] == expected
    return pipe


@pytest.fixture(scope="module")
def family(trained: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`family(model_type)` -> a checkpoint of random weights, with the tokenizer of a trained one."""

    def write(model_type: str) -> Path:
        folder = tmp_path_factory.mktemp("family") / model_type
        torch.manual_seed(1)
        sizes = {name: value for name, value in _SIZES.items() if (model_type, name) != ("opt", "initializer_range")}
        extra = {"init_std": 0.3} if model_type == "opt" else {}
        config = AutoConfig.for_model(model_type, **sizes, **extra, **FAMILIES[model_type])
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(trained("tiny-lm") / name, folder)
        return folder

    return write


def run_in(peer: str, *arguments: str | Path) -> None:
    """Run the Python of a tool's environment; skip where there is none."""
    if not any(other.name == peer and other.installed for other in state()):
        pytest.skip(f"The peer {peer} is not installed: `onnxpress peers --install {peer}`.")
    subprocess.run([interpreter(peer), *arguments], check=True, capture_output=True, timeout=900)


def build(checkpoint: Path, folder: Path, precision: str = "fp32") -> Path:
    """What onnxruntime-genai's builder makes of a checkpoint."""
    cache = folder.with_name("cache")
    command = ["-m", "onnxruntime_genai.models.builder", "-i", checkpoint, "-o", folder, "-p", precision]
    run_in("onnxruntime-genai", *command, "-e", "cpu", "-c", cache)
    return folder


@pytest.mark.parametrize("name", ["tiny-lm", "qwen2", "qwen3"])
def test_onnxruntime_genai_s_folders(
    name: str, trained: Callable[[str], Path], family: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = family(name) if name in FAMILIES else trained(name)
    pipe = check_writing(build(checkpoint, tmp_path / "built"), checkpoint)
    assert (pipe.adopted.layout, pipe.precision) == ("onnxruntime-genai", "fp32")
    assert pipe.artifact.manifest.generation.cache == "fused"
    version = next(str(peer.version) for peer in state() if peer.name == "onnxruntime-genai")
    record(Seen(False, "onnxruntime-genai", version, "genai", "text-generation", "fp32", None))


def test_onnxruntime_genai_s_four_bits(trained: Callable[[str], Path], tmp_path: Path) -> None:
    """They write in batches what they write alone. (The builder's graphs of 16 bits do not run on processors.)"""
    pipe = onnxpress.pipeline("text-generation", build(trained("tiny-lm"), tmp_path / "built", "int4"))
    assert pipe.precision == "q4"
    for options in SEARCHES:
        options = {**options, "do_sample": False}
        assert pipe(TEXTS, **options) == [pipe(text, **options) for text in TEXTS]


def exported(checkpoint: Path, folder: Path, model: Any = None, **options: Any) -> Path:
    """What transformers.exporters makes of a checkpoint that writes."""
    from transformers.exporters import OnnxConfig, OnnxExporter

    inputs = dict(AutoTokenizer.from_pretrained(checkpoint)(TEXTS[::2], return_tensors="pt", padding=True))
    inputs.pop("token_type_ids", None)
    model = AutoModelForCausalLM.from_pretrained(checkpoint).eval() if model is None else model
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's exporter warns of its own code
        whole = OnnxExporter().export_for_generation(model, inputs, OnnxConfig(dynamic=True), **options)
    whole.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["tiny-lm", "gpt2", "qwen3"])
def test_transformers_exporters_decoders(
    name: str, trained: Callable[[str], Path], family: Callable[[str], Path], tmp_path: Path
) -> None:
    checkpoint = family(name) if name in FAMILIES else trained(name)
    pipe = check_writing(exported(checkpoint, tmp_path / "exported"), checkpoint, tokenizer=checkpoint)
    assert pipe.adopted.layout == "transformers.exporters"
    tool = "transformers.exporters"
    record(Seen(False, tool, transformers.__version__, "exporters", "text-generation", "fp32", None))


def test_a_decoder_of_transformers_exporters_for_many_tokens(trained: Callable[[str], Path], tmp_path: Path) -> None:
    checkpoint = trained("tiny-lm")
    folder = exported(checkpoint, tmp_path / "exported", multi_token_decode=True)
    check_writing(folder, checkpoint, tokenizer=checkpoint)


def test_transformers_exporters_encoder_decoders_are_refused(trained: Callable[[str], Path], tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    small = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "vocab_size": 2000}
    model = T5ForConditionalGeneration(T5Config(**small, decoder_start_token_id=0, pad_token_id=0)).eval()
    folder = exported(trained("tiny-lm"), tmp_path / "exported", model)
    with pytest.raises(UnsupportedFormat, match="no encoder: this tool does not export one"):
        onnxpress.pipeline("text2text-generation", folder, tokenizer=trained("tiny-lm"))


@pytest.mark.parametrize("name", FAMILIES)
def test_optimum_s_decoders(name: str, family: Callable[[str], Path], tmp_path: Path) -> None:
    """Today's graphs; and, of Bloom and GPT-BigCode, the same with the caches that older releases gave them."""
    checkpoint, folder = family(name), tmp_path / "exported"
    run_in("optimum-onnx", "-c", _OPTIMUM, checkpoint, folder, "text-generation-with-past")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint / file, folder / file)
    check_writing(folder, checkpoint)
    if name == "bloom":
        (folder / "model.onnx").write_bytes(_with_flat_cache(onnx.load(folder / "model.onnx"), heads=4))
    elif name == "gpt_bigcode":
        (folder / "model.onnx").write_bytes(_with_one_cache(onnx.load(folder / "model.onnx")))
    else:
        return
    check_writing(folder, checkpoint)


def _layers(model: onnx.ModelProto) -> int:
    return sum(value.name.endswith(".key") for value in model.graph.input)


def _kept(model: onnx.ModelProto) -> tuple[int, list[int]]:
    """Layers, and heads and size of a layer's keys; the cache's inputs and outputs become names inside of the graph."""
    count = _layers(model)
    first = next(value for value in model.graph.input if value.name == "past_key_values.0.value")
    heads, size = (first.type.tensor_type.shape.dim[axis].dim_value for axis in (1, 3))
    for values in (model.graph.input, model.graph.output):
        for value in [value for value in values if value.name.startswith(("past_key_values.", "present."))]:
            values.remove(value)
    for node in model.graph.node:
        node.output[:] = [f"inner.{name}" if name.startswith("present.") else name for name in node.output]
        node.input[:] = [f"inner.{name}" if name.startswith(("present.", "past_key")) else name for name in node.input]
    return count, [heads, size]


def _with_flat_cache(model: onnx.ModelProto, heads: int) -> bytes:
    """With keys (rows x heads, size, tokens) and values (rows x heads, tokens, size)."""
    count, (_, size) = _kept(model)
    graph, before, after = model.graph, [], []
    constants = {"flat.heads": [heads], "flat.size": [size], "flat.zero": [0], "flat.one": [1], "flat.all": [-1]}
    before += [
        helper.make_node("Shape", ["input_ids"], ["flat.ids"]),
        helper.make_node("Gather", ["flat.ids", "flat.zero"], ["flat.rows"]),
        helper.make_node("Mul", ["flat.rows", "flat.heads"], ["flat.both"]),
        helper.make_node("Shape", ["past_key_values.0.value"], ["flat.value"]),
        helper.make_node("Gather", ["flat.value", "flat.one"], ["flat.past"]),
        helper.make_node("Concat", ["flat.rows", "flat.heads", "flat.size", "flat.past"], ["flat.keys"], axis=0),
        helper.make_node("Concat", ["flat.rows", "flat.heads", "flat.past", "flat.size"], ["flat.values"], axis=0),
        helper.make_node("Concat", ["flat.both", "flat.size", "flat.all"], ["flat.new_keys"], axis=0),
        helper.make_node("Concat", ["flat.both", "flat.all", "flat.size"], ["flat.new_values"], axis=0),
    ]
    for layer in range(count):
        key, value = f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"
        before += [
            helper.make_node("Reshape", [key, "flat.keys"], [f"flat.{key}"], allowzero=1),
            helper.make_node("Transpose", [f"flat.{key}"], [f"inner.{key}"], perm=[0, 1, 3, 2]),
            helper.make_node("Reshape", [value, "flat.values"], [f"inner.{value}"], allowzero=1),
        ]
        new_key, new_value = f"present.{layer}.key", f"present.{layer}.value"
        after += [
            helper.make_node("Transpose", [f"inner.{new_key}"], [f"flat.{new_key}"], perm=[0, 1, 3, 2]),
            helper.make_node("Reshape", [f"flat.{new_key}", "flat.new_keys"], [new_key]),
            helper.make_node("Reshape", [f"inner.{new_value}", "flat.new_values"], [new_value]),
        ]
        rows = "batch_size x num_heads"
        for name, axes in ((key, [rows, size, "past"]), (value, [rows, "past", size])):
            graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes))
        for name, axes in ((new_key, [rows, size, "total"]), (new_value, [rows, "total", size])):
            graph.output.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, axes))
    return _rebuilt(model, before, after, constants)


def _with_one_cache(model: onnx.ModelProto) -> bytes:
    """With keys and values side by side, (rows, tokens, 2 x size), of the one head that there is."""
    count, (_, size) = _kept(model)
    graph, before, after = model.graph, [], []
    for layer in range(count):
        pair, new = f"past_key_values.{layer}.key_value", f"present.{layer}.key_value"
        before.append(helper.make_node("Split", [pair, "pair.sizes"], [f"{pair}.k", f"{pair}.v"], axis=2))
        for kind in ("key", "value"):
            inner = f"inner.past_key_values.{layer}.{kind}"
            before.append(helper.make_node("Unsqueeze", [f"{pair}.{kind[0]}", "pair.axis"], [inner]))
            inner = f"inner.present.{layer}.{kind}"
            after.append(helper.make_node("Squeeze", [inner, "pair.axis"], [f"{new}.{kind[0]}"]))
        after.append(helper.make_node("Concat", [f"{new}.k", f"{new}.v"], [new], axis=2))
        axes = ["batch_size", "past", 2 * size]
        graph.input.append(helper.make_tensor_value_info(pair, onnx.TensorProto.FLOAT, axes))
        graph.output.append(helper.make_tensor_value_info(new, onnx.TensorProto.FLOAT, ["batch_size", "all", 2 * size]))
    return _rebuilt(model, before, after, {"pair.sizes": [size, size], "pair.axis": [1]})


def _rebuilt(
    model: onnx.ModelProto, before: list[onnx.NodeProto], after: list[onnx.NodeProto], constants: dict[str, list[int]]
) -> bytes:
    nodes = [*before, *model.graph.node, *after]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(np.array(c), name) for name, c in constants.items())
    content: bytes = model.SerializeToString()
    return content


def test_optimum_s_embedder_of_a_decoder(trained: Callable[[str], Path], tmp_path: Path) -> None:
    """It takes the places of tokens, which nobody gives it."""
    checkpoint, folder = trained("tiny-lm"), tmp_path / "exported"
    run_in("optimum-onnx", "-c", _OPTIMUM, checkpoint, folder, "feature-extraction")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(checkpoint / file, folder / file)
    pipe = onnxpress.pipeline("feature-extraction", folder)
    model, tokenizer = AutoModel.from_pretrained(checkpoint).eval(), AutoTokenizer.from_pretrained(checkpoint)
    for text, states in zip(TEXTS, pipe(TEXTS), strict=True):
        with torch.no_grad():
            expected = model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        torch.testing.assert_close(torch.tensor(states), expected, atol=1e-4, rtol=1e-4)
