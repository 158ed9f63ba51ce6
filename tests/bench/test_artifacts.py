"""`onnxpress bench` on artifacts of every kind that write, and on adapted models: real processes, tiny models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxpress import Artifact
from onnxpress.format.manifest import FILE_NAME
from onnxpress_bench.backends.pytorch_checkpoint import prepare
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.environments import HOME_VARIABLE
from onnxpress_bench.errors import BenchError
from onnxpress_bench.measures import summarize
from onnxpress_bench.record import read_record
from onnxpress_bench.run import run, settings_for
from onnxpress_bench.subject import of_artifact
from onnxpress_bench.workloads import Sizes
from tests.conftest import MODELS, Exported
from tests.fixtures.console import complaints
from tests.fixtures.processes import HANG_S

CLASSIFIER = Path(__file__).parents[1] / "golden" / "1-classifier" / "artifact"

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where nothing was converted before."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    return tmp_path / "home"


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onnxpress", "bench", *map(str, arguments), "--quick", "--threads", "1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S)


def shown(comparison: Comparison) -> dict[str, dict[str, float]]:
    return {row.name: dict(row.values) for row in summarize(comparison)}


def test_a_decoder_s_variants_stand_beside_each_other(exported: Exported, tmp_path: Path) -> None:
    artifact, record = exported(MODELS / "tiny-lm", precision=("fp32", "q8")), tmp_path / "record.jsonl"
    done = bench(
        *(artifact.folder, "--checkpoint", MODELS / "tiny-lm", "--prompt-tokens", "16,48", "--new-tokens", "8"),
        *("--blocks", "1", "--backend", "onnxpress", "--json", record),
    )
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    for title in ("time to first token, prompt 48", "decode, prompt 16, 8 new", "token agreement", "cold start"):
        assert title in done.stdout
    comparison = read_record(record)
    assert (comparison.task, comparison.unit, comparison.same_weights) == ("text-generation", "prompts", None)
    assert comparison.settings.scenarios == ("generation",)
    assert comparison.names == ("onnxpress fp32", "onnxpress q8")
    assert 0 < (comparison.backend("onnxpress q8").quality["token agreement"] or 0) <= 1
    assert all(shown(comparison)["decode 16 8"][name] > 0 for name in comparison.names)
    small, large = (comparison.backend(f"onnxpress {name}").model_bytes or 0 for name in ("q8", "fp32"))
    assert 0 < small < large
    assert (comparison.cache_bytes or 0) == 2 * 4 * (48 + 8) * 3 * 2 * 32


@pytest.mark.nightly
def test_a_decoder_s_variants_stand_beside_the_model_that_they_were_made_from(
    exported: Exported, tmp_path: Path
) -> None:
    artifact = exported(MODELS / "tiny-lm", precision=("fp32", "q8"))
    record = tmp_path / "record.jsonl"
    done = bench(
        *(artifact.folder, "--checkpoint", MODELS / "tiny-lm", "--prompt-tokens", "16,48", "--new-tokens", "8"),
        *("--blocks", "1", "--json", record),
    )
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    for title in ("time to first token, prompt 48", "decode, prompt 16, 8 new", "token agreement", "cold start"):
        assert title in done.stdout
    comparison = read_record(record)
    assert (comparison.task, comparison.unit, comparison.same_weights) == ("text-generation", "prompts", True)
    assert comparison.settings.scenarios == ("generation",)
    assert comparison.names == ("pytorch", "onnxpress fp32", "onnxpress q8")
    assert comparison.backend("onnxpress fp32").quality == {"token agreement": 1.0, "equal prefix, mean": 1.0}
    rows = shown(comparison)
    assert all(rows["decode 16 8"][name] > 0 for name in comparison.names)
    small, large = (comparison.backend(f"onnxpress {name}").model_bytes or 0 for name in ("q8", "fp32"))
    assert 0 < small < large
    assert (comparison.cache_bytes or 0) == 2 * 4 * (48 + 8) * 3 * 2 * 32


@pytest.mark.nightly
def test_an_encoder_decoder_rewrites_as_the_model_that_it_was_made_from(exported: Exported, tmp_path: Path) -> None:
    artifact = exported(MODELS / "tiny-translator", precision=("fp32",))
    record = tmp_path / "record.jsonl"
    done = bench(
        *(artifact.folder, "--checkpoint", MODELS / "tiny-translator", "--new-tokens", "6", "--blocks", "1"),
        *("--json", record),
    )
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    comparison = read_record(record)
    assert (comparison.task, comparison.settings.scenarios) == ("translation", ("translation",))
    assert comparison.backend("onnxpress fp32").quality["token agreement"] == 1.0
    rows = shown(comparison)
    for name in ("translate 1 1", "translate 16 4"):
        assert rows[name]["pytorch"] > 0 and rows[name]["onnxpress fp32"] > 0


@pytest.mark.nightly
def test_a_chooser_chooses_as_the_model_that_it_was_made_from(
    exported: Exported, tiny: Callable[..., Path], tmp_path: Path
) -> None:
    checkpoint = tiny("bert", "multiple-choice")
    artifact, record = exported(checkpoint, "multiple-choice"), tmp_path / "record.jsonl"
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"prompt": "the fox", "choices": ["jumps", "sleeps well", "eats"], "label": 1}\n'
        '{"prompt": "good", "choices": ["bad", "food"], "label": 0}\n'
    )
    done = bench(
        *(artifact.folder, "--checkpoint", checkpoint, "--shape", "1x24,2x24", "--blocks", "1", "--json", record),
        *("--eval-data", rows, "--scenario", "single-stream,multi-stream,mixed"),
    )
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    comparison = read_record(record)
    assert (comparison.task, comparison.unit) == ("multiple-choice", "prompts")
    base, ours = (comparison.backend(name).quality for name in ("pytorch", "onnxpress fp32"))
    assert ours["label agreement"] == 1.0 and (ours["largest score difference"] or 0) < 1e-4
    assert ours["accuracy"] == base["accuracy"], "prompts with different numbers of choices"
    measured = shown(comparison)
    for name in ("latency_p50 1x24", "latency_p50 2x24", "mixed"):
        assert measured[name]["pytorch"] > 0 and measured[name]["onnxpress fp32"] > 0


def test_an_adapted_model_is_prepared_with_its_adapter_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter turns the sign of the classifier's weights."""
    monkeypatch.chdir(tmp_path)
    checkpoint, folder = MODELS / "tiny-sentiment", shutil.copytree(CLASSIFIER, tmp_path / "artifact")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = _contrary_adapter(checkpoint, tmp_path / "adapter")
    manifest = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
    manifest["provenance"] |= {"source": str(checkpoint), "adapter": adapter.name, "commit": None}
    (folder / FILE_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    artifact, settings = Artifact.open(folder), replace(settings_for(True, 1, 1), scenarios=(), shapes=("1x8",))
    (spec,) = (spec for spec in of_artifact(artifact, None, settings).specs if spec.name == "pytorch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = prepare(replace(spec, workspace=str(tmp_path / "workspace")))
    plain, merged = (
        transformers.AutoModelForSequenceClassification.from_pretrained(source).classifier.weight
        for source in (checkpoint, prepared.folder)
    )
    torch.testing.assert_close(merged, -plain)
    assert (Path(prepared.folder) / "tokenizer.json").is_file()
    shutil.rmtree(adapter)
    with pytest.raises(BenchError, match="made with the adapter adapter, and there is no such folder"):
        of_artifact(artifact, None, settings)


@pytest.mark.nightly
def test_an_adapted_artifact_is_compared_with_the_adapted_model(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter turns every answer round: beside the plain checkpoint all labels would be wrong."""
    monkeypatch.chdir(tmp_path)
    artifact, settings = _adapted(tmp_path), replace(settings_for(True, 1, 1), scenarios=(), shapes=("1x16",))
    adapted = run(of_artifact(artifact, None, settings), settings)
    assert adapted.failures == ()
    quality = adapted.backend("onnxpress fp32").quality
    assert quality["label agreement"] == 1.0 and (quality["largest score difference"] or 0) < 1e-4
    assert adapted.same_weights is True, "of the checkpoint that the adapter was merged into"
    (written,) = (home / "models" / "adapted" / "pytorch").iterdir()
    assert (written / "model.safetensors").is_file() and (written / "tokenizer.json").is_file()
    shutil.rmtree(tmp_path / "adapter")
    with pytest.raises(BenchError, match="made with the adapter adapter, and there is no such folder"):
        of_artifact(artifact, None, settings)


@pytest.mark.nightly
def test_an_adapted_artifact_answers_otherwise_than_the_plain_model(tmp_path: Path) -> None:
    artifact, settings = _adapted(tmp_path), replace(settings_for(True, 1, 1), scenarios=(), shapes=("1x16",))
    plain = run(of_artifact(artifact, str(MODELS / "tiny-sentiment"), settings), settings)
    assert (plain.backend("onnxpress fp32").quality["label agreement"] or 0) < 0.5


def _adapted(folder: Path) -> Artifact:
    from onnxpress_exporter import export

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoint = shutil.copytree(MODELS / "tiny-sentiment", folder / "checkpoint")
        adapter = _contrary_adapter(checkpoint, folder / "adapter")
        return export(checkpoint, folder / "artifact", adapter=adapter)


def _contrary_adapter(checkpoint: Path, folder: Path) -> Path:
    """A LoRA adapter of the classifier's last layer that turns its weights' sign."""
    from peft import LoraConfig, get_peft_model

    model: Any = transformers.AutoModelForSequenceClassification.from_pretrained(checkpoint)
    labels = model.config.num_labels
    config = LoraConfig(r=labels, lora_alpha=labels, target_modules=["classifier"], task_type="FEATURE_EXTRACTION")
    wrapped: Any = get_peft_model(model, config)
    (layer,) = (module for module in wrapped.modules() if hasattr(module, "lora_A"))
    with torch.no_grad():
        weight = layer.base_layer.weight
        layer.lora_A["default"].weight.copy_(weight)
        layer.lora_B["default"].weight.copy_(-2.0 * torch.eye(len(weight)))
    wrapped.save_pretrained(folder)
    return folder


@pytest.mark.nightly
def test_an_adapted_decoder_is_measured_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import LoraConfig, get_peft_model

    from onnxpress_exporter import export

    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(MODELS / "tiny-lm")
        config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
        wrapped: Any = get_peft_model(model, config)
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
        wrapped.save_pretrained(tmp_path / "adapter")
        monkeypatch.chdir(tmp_path)
        checkpoint = shutil.copytree(MODELS / "tiny-lm", tmp_path / "checkpoint")
        artifact = export(checkpoint, tmp_path / "artifact", adapter=tmp_path / "adapter")
    settings = replace(settings_for(True, 1, 1), scenarios=())
    sizes = Sizes(prompt_tokens=(16,), new_tokens=(16,))
    adapted = run(of_artifact(artifact, None, settings, sizes=sizes), settings)
    assert adapted.failures == ()
    assert adapted.backend("onnxpress fp32").quality["token agreement"] == 1.0
    plain = run(of_artifact(artifact, str(MODELS / "tiny-lm"), settings, sizes=sizes), settings)
    assert (plain.backend("onnxpress fp32").quality["token agreement"] or 0) < 1.0


def test_what_a_model_has_no_room_for_is_refused_before_anything_runs(exported: Exported) -> None:
    artifact: Artifact = exported(MODELS / "tiny-lm", precision=("fp32", "q8"))
    done = bench(artifact.folder, "--checkpoint", MODELS / "tiny-lm", "--prompt-tokens", "500")
    assert done.returncode == 1 and "room for 512" in done.stderr
    done = bench(artifact.folder, "--scenario", "mixed")
    assert done.returncode == 1 and "measured by the scenarios generation, streams, not mixed" in done.stderr
    done = bench(artifact.folder, "--task", "translation")
    assert done.returncode == 1 and "leave out --task translation" in done.stderr
