"""Tracing: the graph has the spec's names and free axes, nothing of this run, and the model's answers at any shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
import onnxruntime
import pytest

from onnxpress.format.manifest import TensorInfo
from onnxpress_exporter.errors import PassError, TraceError, UnsupportedCheckpoint
from onnxpress_exporter.graphs.spec import GraphSpec, Traceable
from onnxpress_exporter.graphs.trace import check_runs, trace
from onnxpress_exporter.passes import apply_passes
from onnxpress_exporter.precisions.fp32 import FP32
from onnxpress_exporter.quiet import quiet
from onnxpress_exporter.source.checkpoint import load_tokenizer, open_checkpoint
from onnxpress_exporter.source.sentence_transformers import read_sentence_settings
from onnxpress_exporter.tasks import TASKS
from onnxpress_exporter.tasks.loading import load_model
from onnxpress_exporter.tasks.sentence_head import head_example_inputs, load_sentence_head, sentence_head_spec
from onnxpress_exporter.tasks.text_graph import example_inputs, text_encoder_spec
from onnxpress_exporter.write.save import EXTERNAL_ABOVE_BYTES, save
from tests.fixtures.tiny import HIDDEN, MAX_TOKENS, tiny_checkpoint, write_sentence_files

#: Row lengths of batches that were not traced: one token, one row, ragged rows, as long as the model goes.
SHAPES = ((1,), (2,), (3, 1), (7,), (5, 9, 2), (13, 13, 13, 13), (MAX_TOKENS,), (MAX_TOKENS, 4))


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


class Traced:
    """A tiny model and the graph of it, as traced and as the fp32 recipe leaves it."""

    def __init__(self, architecture: str, task: str, folder: Path, **config: Any) -> None:
        checkpoint = open_checkpoint(tiny_checkpoint(architecture, task, folder, **config))
        self.model, self.tokenizer = load_model(checkpoint, task), load_tokenizer(checkpoint)
        self.spec = text_encoder_spec(TASKS[task], self.model, self.tokenizer)
        self.plain = trace(self.model, self.spec, example_inputs(self.spec, self.tokenizer))
        (self.path,) = save(self.plain, folder / "model.onnx")
        self.fused = onnx_ir.load(self.path)
        self.counts = apply_passes(self.fused, FP32.passes)

    def inputs(self, lengths: tuple[int, ...]) -> dict[str, np.ndarray]:
        random = np.random.default_rng(sum(lengths))
        shape = (len(lengths), max(lengths))
        ids = np.full(shape, self.tokenizer.pad_token_id)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, length in enumerate(lengths):
            ids[row, :length] = random.integers(8, len(self.tokenizer), length)
            mask[row, :length] = 1
            types[row, length // 2 : length] = 1
        known = {"input_ids": ids.astype(np.int64), "attention_mask": mask, "token_type_ids": types}
        return {one.name: known[one.name] for one in self.spec.inputs}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    with quiet():
        return Traced("bert", "text-classification", tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def modernbert(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    layers = {"num_hidden_layers": 2, "layer_types": ["full_attention", "sliding_attention"]}
    with quiet():
        return Traced("modernbert", "token-classification", tmp_path_factory.mktemp("modernbert"), **layers)


def run(model: onnx_ir.Model, inputs: Mapping[str, np.ndarray]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    proto = onnx_ir.to_proto(model).SerializeToString()
    session = onnxruntime.InferenceSession(proto, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, dict(inputs)))


def assert_same_answers(traced: Traced, graph: onnx_ir.Model) -> None:
    import torch

    for lengths in SHAPES:
        inputs = traced.inputs(lengths)
        with torch.inference_mode():
            expected = traced.model(**{name: torch.from_numpy(value) for name, value in inputs.items()})
        for one, found in zip(traced.spec.outputs, run(graph, inputs), strict=True):
            theirs = expected[one.name].numpy()
            assert found.shape == theirs.shape
            if "sequence" in one.axes:
                real = inputs["attention_mask"] == 1
                found, theirs = found[real], theirs[real]
            np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-4 * np.ptp(theirs), err_msg=str(lengths))


def shapes(values: Any) -> dict[str, tuple[Any, ...]]:
    return {value.name: tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape) for value in values}


def test_inputs_and_outputs_are_the_specs(bert: Traced) -> None:
    for graph in (bert.plain.graph, bert.fused.graph):
        assert shapes(graph.inputs) == {one.name: one.axes for one in bert.spec.inputs}
        assert shapes(graph.outputs) == {"logits": ("batch", 3)}
        assert [value.dtype for value in graph.outputs] == [onnx_ir.DataType.FLOAT]


def test_every_free_axis_has_a_name_of_the_spec(bert: Traced) -> None:
    seen = {dim for node in bert.plain.graph for dims in shapes(node.outputs).values() for dim in dims}
    names = {name for dim in seen if isinstance(dim, str) for name in re.findall(r"[A-Za-z_]\w*", dim)}
    assert names == {"batch", "sequence"}


def test_nothing_of_this_run_is_in_the_file(bert: Traced) -> None:
    import transformers

    content = bert.path.read_bytes()
    assert bert.plain.producer_name == "onnxpress" and not bert.plain.metadata_props
    for foreign in (b"stack_trace", b"pkg.torch", b"/site-packages/", transformers.__version__.encode()):
        assert foreign not in content
    assert not any(node.metadata_props or node.doc_string for node in bert.plain.graph)


def test_bert_answers_alike_at_shapes_that_were_not_traced(bert: Traced) -> None:
    assert_same_answers(bert, bert.plain)


def test_bert_answers_alike_after_the_recipe(bert: Traced) -> None:
    assert_same_answers(bert, bert.fused)
    kinds = [node.op_type for node in bert.fused.graph]
    assert kinds.count("MultiHeadAttention") == 2 and kinds.count("Softmax") == 0
    assert len(kinds) < 45 < 90 < len(list(bert.plain.graph))
    # BERT has no pooling of pictures.
    assert all(count for name, count in bert.counts.items() if name != "keep_zero_padding")


def test_a_sliding_window_slides(modernbert: Traced) -> None:
    """Its window is 8 tokens: what one length sees of it must not be baked in."""
    assert_same_answers(modernbert, modernbert.plain)
    assert_same_answers(modernbert, modernbert.fused)


def test_the_layers_after_pooling_are_a_graph_of_their_own(tmp_path: Path) -> None:
    write_sentence_files(tmp_path, dense=((HIDDEN, 24, "GELU"), (24, 8, "Tanh")))
    settings = read_sentence_settings(tmp_path, HIDDEN)
    spec, head = sentence_head_spec(settings), load_sentence_head(settings)
    assert spec is not None and spec.name == "head"
    inputs = head_example_inputs(settings)
    graph = trace(head, spec, inputs)
    assert shapes(graph.graph.inputs) == {spec.inputs[0].name: ("batch", HIDDEN)}
    assert shapes(graph.graph.outputs) == {"sentence_embedding": ("batch", 8)}
    (name,) = inputs
    one = inputs[name][:1]
    (found,) = run(graph, {name: one.numpy()})
    np.testing.assert_allclose(found, head(one)["sentence_embedding"].numpy(), atol=1e-6)


def _spec(axes: tuple[str | int, ...]) -> GraphSpec:
    return GraphSpec("model", (TensorInfo("x", "float32", axes),), (TensorInfo("y", "float32", axes),))


def test_an_axis_that_the_model_fixes_is_an_error_not_a_wrong_graph() -> None:
    import torch

    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": x.reshape(3, 5) * 2}

    with pytest.raises(TraceError, match="Fixed"):
        trace(Fixed(), _spec(("batch", "sequence")), {"x": torch.ones(3, 5)})


def test_a_model_that_loops_over_an_axis_is_told_by_the_axis() -> None:
    import torch

    class Looping(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": torch.stack([x[:, place] * place for place in range(x.shape[1])], 1)}

    with pytest.raises(
        TraceError, match="Looping for model: the graph would hold for one size only, as axis 1 of x is 5"
    ):
        trace(Looping(), _spec(("batch", "sequence")), {"x": torch.ones(3, 5)})


def test_a_model_that_counts_what_its_input_holds_is_told_so() -> None:
    import torch

    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            chosen = x[x > 0]
            return {"y": x * 2 if chosen.shape[0] > 0 else x}

    with pytest.raises(TraceError, match="Counting for model: the model's code goes another way by what its tensors"):
        trace(Counting(), _spec(("batch", "sequence")), {"x": torch.ones(3, 5)})


def test_a_model_that_branches_on_its_input_is_named() -> None:
    import torch

    class Branching(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"y": x * 2 if x.sum() > 0 else x}

    with pytest.raises(TraceError, match=r"PyTorch could not capture Branching for model: .+"):
        trace(Branching(), _spec(("batch", 5)), {"x": torch.ones(3, 5)})


def test_weights_go_beside_the_graph_when_there_are_many(tmp_path: Path) -> None:
    rows = EXTERNAL_ABOVE_BYTES // 4 // 64 + 1
    weights = onnx_ir.tensor(np.zeros((64, rows), np.float32), name="weights")
    value = onnx_ir.Value(
        name="weights",
        const_value=weights,
        shape=onnx_ir.Shape(weights.shape),
        type=onnx_ir.TensorType(onnx_ir.DataType.FLOAT),
    )
    source = onnx_ir.Input("x", onnx_ir.Shape(["batch", 64]), onnx_ir.TensorType(onnx_ir.DataType.FLOAT))
    node = onnx_ir.node("MatMul", [source, value])
    node.outputs[0].name, node.outputs[0].type = "y", onnx_ir.TensorType(onnx_ir.DataType.FLOAT)
    graph = onnx_ir.Graph([source], node.outputs, nodes=[node], initializers=[value], opset_imports={"": 20}, name="g")
    files = save(onnx_ir.Model(graph, ir_version=10), tmp_path / "model.onnx")
    assert [path.name for path in files] == ["model.onnx", "model.onnx_data"]
    assert files[0].stat().st_size < 10_000 and files[1].stat().st_size >= EXTERNAL_ABOVE_BYTES
    session = onnxruntime.InferenceSession(files[0], providers=["CPUExecutionProvider"])
    assert session.run(None, {"x": np.ones((2, 64), np.float32)})[0].shape == (2, rows)


def test_passes_are_named(bert: Traced) -> None:
    with pytest.raises(PassError, match=r"no pass 'fp64'"):
        apply_passes(bert.plain, ["fp64"])


@pytest.mark.nightly
def test_experts_of_a_tagger_read_the_tokens_that_they_get(tmp_path: Path) -> None:
    """Whose number is data; the model's own way of running them, which is Python's, is restored."""
    import torch
    from transformers import OpenAIPrivacyFilterConfig, OpenAIPrivacyFilterForTokenClassification

    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2}
    experts = {"num_local_experts": 3, "num_experts_per_tok": 2, "intermediate_size": 24, "sliding_window": 8}
    config = OpenAIPrivacyFilterConfig(
        vocab_size=99, head_dim=8, max_position_embeddings=64, pad_token_id=0, num_labels=5, **sizes, **experts
    )
    model = OpenAIPrivacyFilterForTokenClassification(config).eval()
    before = model.get_experts_implementation()
    axes = ("batch", "sequence")
    inputs = tuple(TensorInfo(name, "int64", axes) for name in ("input_ids", "attention_mask"))
    spec = GraphSpec("model", inputs, (TensorInfo("logits", "float32", (*axes, 5)),))
    ids, mask = 5 + torch.arange(51).reshape(3, 17), torch.ones(3, 17, dtype=torch.int64)
    mask[1, -4:] = mask[2, -9:] = 0
    (path,) = save(trace(model, spec, {"input_ids": ids, "attention_mask": mask}), tmp_path / "model.onnx")
    assert model.get_experts_implementation() == before
    texts = torch.arange(58).reshape(2, 29) + 20
    with torch.no_grad():
        expected = model(input_ids=texts, attention_mask=torch.ones_like(texts)).logits.numpy()
    session = onnxruntime.InferenceSession(path)
    found = session.run(None, {"input_ids": texts.numpy(), "attention_mask": np.ones((2, 29), np.int64)})[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.ptp(expected))


def test_what_wants_more_than_a_text_is_refused_before_it_is_traced() -> None:
    """TAPAS reads seven kinds of token types: where a token stands in a table."""
    import torch
    import transformers

    sizes = {"vocab_size": 99, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = transformers.TapasForSequenceClassification(transformers.TapasConfig(**sizes, intermediate_size=16)).eval()
    spec = GraphSpec("model", (TensorInfo("input_ids", "int64", ("batch", "sequence")),), ())
    ids = torch.tensor([[5, 6, 7]])
    with pytest.raises(
        UnsupportedCheckpoint, match=r"TapasFor\w+ does not answer on input_ids, token_type_ids, .*use transformers"
    ):
        check_runs(Traceable(spec, model, {"input_ids": ids, "token_type_ids": torch.zeros_like(ids)}))
