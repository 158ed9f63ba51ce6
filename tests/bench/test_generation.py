"""Generation and audio end to end: real processes, PyTorch on tiny checkpoints, through the run that users start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from onnxpress_bench import render
from onnxpress_bench.comparison import Comparison
from onnxpress_bench.environments import HOME_VARIABLE
from onnxpress_bench.measures import summarize
from onnxpress_bench.record import read_record, write_record
from onnxpress_bench.run import run, settings_for
from onnxpress_bench.subject import of_checkpoint
from onnxpress_bench.workloads import Sizes
from tests.fixtures.generation import tiny_qwen2, tiny_whisper

pytest.importorskip("torch")
pytest.importorskip("transformers")

#: `test_artifacts.py` measures a decoder by the same workload in a shorter run.
pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where no peer is installed."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv(HOME_VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="module")
def generated(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """One block of PyTorch in two precisions, and of a peer that is not there."""
    folder = tiny_qwen2(tmp_path_factory.mktemp("checkpoints") / "qwen2")
    settings = replace(settings_for(True, 1, 1), scenarios=("generation",), latency_s=0.1, warm_up_s=0.1)
    subject = of_checkpoint(
        folder,
        "text-generation",
        settings,
        backends=("pytorch", "pytorch-bf16", "llama.cpp"),
        sizes=Sizes(prompt_tokens=(8, 64), new_tokens=(1, 16)),
    )
    return run(subject, settings)


def titles(comparison: Comparison) -> dict[str, float]:
    return {row.title: row.values["pytorch"] for row in summarize(comparison) if "pytorch" in row.values}


def test_generation_is_measured_by_prompt_and_by_what_follows(generated: Comparison) -> None:
    found = titles(generated)
    for prompt in (8, 64):
        for title in (f"time to first token, prompt {prompt}", f"prefill, prompt {prompt}"):
            assert found[title] > 0
        gap_ms = found[f"time between tokens p50, prompt {prompt}, 16 new"]
        rate_per_s = found[f"decode, prompt {prompt}, 16 new"]
        assert 0.1 < gap_ms * rate_per_s / 1000 < 2, "the median gap is about the mean one"
        assert f"decode, prompt {prompt}, 1 new" not in found
    assert found["cold start to first answer"] > 0
    assert generated.same_weights is None, "there is no artifact whose weights they could be"


def test_other_precisions_answers_are_compared_token_by_token(generated: Comparison) -> None:
    quality = generated.backend("pytorch-bf16").quality
    assert set(quality) == {"token agreement", "equal prefix, mean"}
    assert all(0 <= (value or 0) <= 1 for value in quality.values())


def test_a_peer_that_is_not_installed_is_reported_and_the_rest_goes_on(generated: Comparison) -> None:
    assert [one.backend for one in generated.failures] == ["llama.cpp"]
    assert "onnxpress peers --install llama-cpp-python" in generated.failures[0].message
    assert {one.backend for one in generated.runs} == {"pytorch", "pytorch-bf16"}


def test_what_is_printed_and_written_holds_all_of_it(generated: Comparison, tmp_path: Path) -> None:
    text = render(generated)
    assert "time to first token, prompt 64" in text and "token agreement" in text
    write_record(generated, tmp_path / "record.jsonl")
    again = read_record(tmp_path / "record.jsonl")
    assert again.task == "text-generation" and titles(again).keys() == titles(generated).keys()


def test_speech_is_measured_against_its_length(tmp_path: Path) -> None:
    folder = tiny_whisper(tmp_path / "whisper")
    settings = replace(settings_for(True, 1, 1), scenarios=("audio",), latency_s=0.1, warm_up_s=0.1)
    task = "automatic-speech-recognition"
    comparison = run(of_checkpoint(folder, task, settings, sizes=Sizes(audio_s=(1, 5), transcript_tokens=4)), settings)
    assert comparison.failures == ()
    found = titles(comparison)
    # Whisper hears 30 s whatever is said in them: a shorter recording takes as long and is the worse for it.
    assert found["real-time factor, 1 s of audio"] > found["real-time factor, 5 s of audio"] > 0
