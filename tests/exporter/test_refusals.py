"""What is not written: a variant that cannot pass, without the others; an artifact that its own pipeline refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
from click.testing import CliRunner

import onnxpress
from onnxpress.errors import InputError
from onnxpress_exporter import export
from onnxpress_exporter.cli.export import export_command
from onnxpress_exporter.errors import UnsupportedCheckpoint, VariantRefused
from onnxpress_exporter.gate import finished
from onnxpress_exporter.gate.expectations import Judge
from onnxpress_exporter.quantize.thresholds import Verdict
from tests.fixtures.tiny import tiny_checkpoint
from tests.fixtures.writers import WRITERS, writer

Weights = dict[str, "safetensors.torch.torch.Tensor"]


def _changed(folder: Path, change: Callable[[Weights], None]) -> Path:
    """A checkpoint with other weights."""
    path = folder / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    change(weights)
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})
    return folder


def _overflow(weights: Weights) -> None:
    """Let keys grow past what 16 bits hold; what they are multiplied by is as much smaller."""
    for name, tensor in weights.items():
        if name.endswith(("Attention.k.weight", "Attention.q.weight")):
            tensor *= 1e6 if ".k." in name else 1e-6


def test_a_variant_that_overflows_is_refused_alone(tmp_path: Path) -> None:
    source = _changed(writer("t5", tmp_path / "t5"), _overflow)
    with pytest.raises(VariantRefused, match=r"fp16: \S+% of its scores are no numbers: it overflows") as refused:
        export(source, tmp_path / "out", precision=("fp32", "fp16"))
    artifact = refused.value.artifact
    assert set(refused.value.refused) == {"fp16"}
    assert artifact is not None and list(artifact.manifest.variants) == ["fp32"]
    with onnxpress.pipeline(model=artifact) as pipe:
        assert pipe("A small river")


def test_the_command_line_tells_what_was_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = writer("gpt2", tmp_path / "gpt2")
    monkeypatch.setattr(Judge, "measure", lambda judge, variant, thresholds: Verdict({}, ("it overflows",)))
    done = CliRunner().invoke(
        export_command, [str(source), str(tmp_path / "out"), "--precision", "fp32,fp16", "--json"]
    )
    document = json.loads(done.stdout)
    assert isinstance(done.exception, VariantRefused), "the program ends with 1"
    assert list(document["variants"]) == ["fp32"] and list(document["x-refused"]) == ["fp16"]
    assert onnxpress.Artifact.open(tmp_path / "out").manifest.variants
    with_nothing = CliRunner().invoke(
        export_command, [str(source), str(tmp_path / "other"), "--precision", "fp16", "--json"]
    )
    assert list(json.loads(with_nothing.stdout)) == ["x-refused"] and not (tmp_path / "other").exists()


@pytest.mark.parametrize("task", ["text-ranking", "zero-shot-classification"])
def test_a_task_whose_pipeline_refuses_the_labels(task: str, tmp_path: Path) -> None:
    source = tiny_checkpoint("bert", "text-classification", tmp_path / "bert", num_hidden_layers=1)
    with pytest.raises(UnsupportedCheckpoint, match=rf"cannot run this checkpoint for {task}: .*text-classification"):
        export(source, tmp_path / "out", task)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "setting",
    [
        {"bad_words_ids": [[-1]]},
        {"penalty_alpha": 0.6, "top_k": 4},
        {"watermarking_config": {"greenlist_ratio": 0.5}},  # transformers makes an object of it
    ],
)
def test_settings_of_generation_that_the_runtime_refuses(setting: dict[str, object], tmp_path: Path) -> None:
    source = writer("gpt2", tmp_path / "gpt2")
    path = source / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **setting}))
    with pytest.raises(UnsupportedCheckpoint, match=f"for text-generation: .*{next(iter(setting))}"):
        export(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]


def test_a_variant_that_does_not_answer_is_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = writer("gpt2", tmp_path / "gpt2")
    ask = finished.unanswered
    monkeypatch.setattr(
        "onnxpress_exporter.carrying_out.unanswered",
        lambda folder, precision: "it does not answer" if precision == "fp16" else ask(folder, precision),
    )
    with pytest.raises(VariantRefused, match="fp16: it does not answer") as refused:
        export(source, tmp_path / "out", precision=("fp32", "fp16", "q8"))
    artifact = refused.value.artifact
    assert artifact is not None and list(artifact.manifest.variants) == ["fp32", "q8"]
    assert not list(artifact.folder.glob("onnx/*fp16*")) and "fp16" not in (artifact.folder / "README.md").read_text()


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_model_too_narrow_for_integers_has_no_int8(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables alone in 8 bits, beside products in fp32, are no int8: nothing in it would be faster."""
    monkeypatch.setattr("onnxpress_exporter.quantize.sites.LEAST_WEIGHTS", 1_000_000)
    folder = tmp_path / kind
    source = (
        writer("gpt2", folder) if kind == "gpt2" else tiny_checkpoint("bert", "fill-mask", folder, num_hidden_layers=1)
    )
    with pytest.raises(
        VariantRefused, match="int8: no product would be one of integers: 0 have weights enough"
    ) as told:
        export(source, tmp_path / "out", precision=("fp32", "int8"))
    assert told.value.artifact is not None and list(told.value.artifact.manifest.variants) == ["fp32"]


@pytest.mark.parametrize("tokens", [8, 32])
def test_a_context_that_verification_would_leave(tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read or written past what the model takes."""
    config, kind, sizes = WRITERS["gpt2"]
    monkeypatch.setitem(WRITERS, "gpt2", (config, kind, {**sizes, "n_positions": tokens}))  # type: ignore[arg-type]
    made = export(writer("gpt2", tmp_path / "gpt2"), tmp_path / "out", precision=("fp32", "q8"))
    assert made.manifest.generation is not None and made.manifest.generation.max_length == tokens
    with onnxpress.pipeline(model=made, precision="fp32") as pipe:
        with pytest.raises(InputError, match=rf"the model takes {tokens}"):
            pipe("A small river " * tokens)
        assert pipe("A", max_new_tokens=tokens)[0]["generated_text"].startswith("A")
