"""Generation and audio scenarios on a scripted clock, their inputs, and how their answers are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.errors import InputError
from onnxpress_bench.answers import compare_answers
from onnxpress_bench.backends import BACKENDS, Batching, NotMeasured, backend_class
from onnxpress_bench.backends.gguf import FILE_TYPES
from onnxpress_bench.environments import PEERS
from onnxpress_bench.run import settings_for
from onnxpress_bench.scenarios import Work
from onnxpress_bench.scenarios.writing import audio, generation, timed
from onnxpress_bench.subject import of_checkpoint
from onnxpress_bench.workloads import Sizes
from onnxpress_bench.workloads.prompts import exact_text
from onnxpress_bench.workloads.speech import RATE_HZ, spoken, write_recording
from onnxpress_exporter.judging.figures import edit_distance
from onnxpress_exporter.judging.wrong import is_wrong
from tests.fixtures.generation import Scripted

TEXT, SPEECH = "text-generation", "automatic-speech-recognition"


def work(parameters: Mapping[str, Any], latency_s: float = 0.0, tokenization: str = "included") -> Work:
    return Work({}, (), (), Batching(1), latency_s, 0.0, tokenization, parameters)


def test_the_first_token_is_slow_and_the_others_are_not() -> None:
    backend = Scripted(gaps_s=[0.5, 0.01, 0.01, 0.02], encode_s=0.1)
    found = timed(backend, "six le", 4, backend.now)
    assert (found.prompt_tokens, found.from_text_s, found.from_ids_s) == pytest.approx((6, 0.6, 0.5))
    assert found.gaps_s == pytest.approx((0.01, 0.01, 0.02))


def test_samples_of_a_prompt_s_length_and_of_what_follows() -> None:
    backend = Scripted(gaps_s=[0.5] + [0.01] * 20, encode_s=0.1)
    parameters = {"generation": {"prompts": {"4": ["abcd", "efgh"]}, "new_tokens": [3, 6]}}
    found = generation(backend, work(parameters), backend.now)
    assert found["first_token_4_ms"] == pytest.approx([600.0] * 4)  # two prompts, with both numbers of new tokens
    assert found["prefill_4_per_s"] == pytest.approx([8.0] * 4)
    assert found["between_tokens_4_3_ms"] == pytest.approx([10.0] * 4)
    assert found["between_tokens_4_6_ms"] == pytest.approx([10.0] * 10)
    assert found["decode_4_6_per_s"] == pytest.approx([100.0] * 2)
    apart = generation(backend, work(parameters, tokenization="apart"), backend.now)
    assert apart["first_token_4_ms"] == pytest.approx([500.0] * 4)


def test_a_stall_shows_in_the_gaps_and_not_in_their_median() -> None:
    backend = Scripted(gaps_s=[0.1] + [0.01] * 9 + [2.0] + [0.01] * 9)
    found = generation(backend, work({"generation": {"prompts": {"2": ["ab"]}, "new_tokens": [20]}}), backend.now)
    gaps = found["between_tokens_2_20_ms"]
    assert max(gaps) == pytest.approx(2000.0) and float(np.median(gaps)) == pytest.approx(10.0)
    assert found["decode_2_20_per_s"] == pytest.approx([19 / 2.18])


def test_prompts_are_gone_through_whole_for_as_long_as_there_is_time() -> None:
    backend = Scripted(gaps_s=[1.0])
    parameters = {"generation": {"prompts": {"1": ["a", "b", "c"]}, "new_tokens": [1]}}
    found = generation(backend, work(parameters, latency_s=4.0), backend.now)
    assert len(found["first_token_1_ms"]) == 6  # not 4: the second round is ended
    assert sorted(found) == ["first_token_1_ms", "prefill_1_per_s"]  # one token has no gaps


def test_too_few_tokens_are_an_error() -> None:
    backend = Scripted(gaps_s=[0.1] * 3)
    with pytest.raises(RuntimeError, match="3 tokens were generated instead of 5"):
        timed(backend, "a", 5, backend.now)


def test_the_real_time_factor_is_work_over_sound(tmp_path: Path) -> None:
    file = tmp_path / "two.npy"
    np.save(file, np.zeros(2 * RATE_HZ, dtype=np.float32))
    backend = Scripted(transcribe_s=0.5)
    item = {"audio": str(file), "rate_hz": RATE_HZ}
    found = audio(backend, work({"audio": {"recordings": {"2": [item, item]}}}), backend.now)  # type: ignore[arg-type]
    assert found == {"real_time_2_factor": pytest.approx([0.25, 0.25])}


@pytest.mark.parametrize("scenario", [generation, audio])
def test_a_backend_that_cannot_is_refused(scenario: Any) -> None:
    with pytest.raises(NotMeasured, match="this backend does not"):
        scenario(object(), work({}))


@given(st.integers(min_value=1, max_value=60), st.integers(min_value=0, max_value=5))
def test_prompts_have_exactly_so_many_tokens(tokens: int, seed: int) -> None:
    def count(text: str) -> int:  # pieces of at most four letters, as a subword tokenizer makes them
        return sum(-(-len(word) // 4) for word in text.split())

    text = exact_text(tokens, count, np.random.default_rng(seed))
    assert count(text) == tokens and text == text.strip()


def test_a_length_that_a_tokenizer_cannot_make_is_refused() -> None:
    with pytest.raises(InputError, match="exactly 3 tokens"):
        exact_text(3, lambda text: 2 * len(text), np.random.default_rng(0))


def test_recordings_are_speech_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    sound = spoken(11, 0)
    assert (sound.dtype, sound.shape) == (np.float32, (11 * RATE_HZ,))
    assert 0.4 < float(np.abs(sound).max()) <= 1.0
    assert float(np.abs(sound).reshape(-1, RATE_HZ // 8).mean(axis=1).std()) > 0.01, "words and pauses"
    assert np.array_equal(sound, spoken(11, 0)) and not np.array_equal(sound, spoken(11, 1))
    assert np.abs(spoken(1, 3)).max() > 0.1, "the beginning of a sentence that is longer"
    long = spoken(120, 0).reshape(-1, 5 * RATE_HZ)
    assert (np.abs(long).max(axis=1) > 0.1).all(), "somebody speaks to the end of a long one"
    file = write_recording(tmp_path / "new", 11, 0)
    assert np.array_equal(np.load(file), sound)
    before = file.stat().st_mtime_ns
    assert write_recording(tmp_path / "new", 11, 0) == file and file.stat().st_mtime_ns == before


def test_continuations_agree_until_the_first_other_token() -> None:
    reference = [{"ids": [1, 2, 3, 4]}, {"ids": [5, 6, 7, 8]}]
    found = compare_answers(TEXT, reference, [{"ids": [1, 2, 3, 4]}, {"ids": [5, 9, 7, 9]}])
    assert found == {"token agreement": 0.75, "equal prefix, mean": 0.625}
    assert is_wrong("token agreement", 0.75) and not is_wrong("token agreement", 1.0)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [("", "", 0), ("a b c", "a b c", 0), ("a b c", "a c", 1), ("a b", "x a b y", 2), ("a b c d", "b c e", 2)],
)
def test_words_to_change(first: str, second: str, distance: int) -> None:
    assert edit_distance(first.split(), second.split()) == edit_distance(second.split(), first.split()) == distance


def test_word_error_is_over_all_of_the_reference_s_words() -> None:
    reference = [{"text": "a b c d"}, {"text": " e f g h i j"}]
    assert compare_answers(SPEECH, reference, [{"text": " a b c d "}, {"text": "e f g h i k"}]) == {"word error": 0.1}
    assert is_wrong("word error", 0.1) and not is_wrong("word error", 0.0)
    assert compare_answers(SPEECH, [{"text": ""}], [{"text": "a"}]) == {"word error": 1.0}
    assert compare_answers(SPEECH, [{"text": ""}], [{"text": ""}]) == {"word error": 0.0}


def test_every_kind_has_a_class_for_its_tasks_and_a_known_environment() -> None:
    for task in (TEXT, SPEECH):
        kinds = {name for name, row in BACKENDS.items() if row.serves(task)}
        assert "pytorch" in kinds and len(kinds) > 2
        for kind in kinds:
            method = "generate" if task == TEXT else "transcribe"
            assert hasattr(backend_class(kind, task), method), kind
            assert BACKENDS[kind].peer is None or BACKENDS[kind].peer in PEERS
    quantizations = {
        str(row.settings["quantization"]) for name, row in BACKENDS.items() if name.startswith("llama.cpp")
    }
    assert quantizations == {"f32", *FILE_TYPES}
    assert not hasattr(backend_class("pytorch", "feature-extraction"), "generate")


@pytest.mark.parametrize(
    ("task", "arguments", "said"),
    [
        (TEXT, {"backends": ("onnxpress",)}, "does not know text-generation. These do: pytorch, "),
        (SPEECH, {"backends": ("llama.cpp",)}, "does not know automatic-speech-recognition"),
        (SPEECH, {"backends": ("transformers",)}, "does not know automatic-speech-recognition"),
        ("fill-mask", {}, "Export it and measure the artifact"),
        (TEXT, {"sizes": Sizes(prompt_tokens=(0,))}, "from 1"),
        (TEXT, {}, "no tokenizer.json"),
        (SPEECH, {"sizes": Sizes(audio_s=(31,))}, "from 1 to 30"),
        (SPEECH, {"sizes": Sizes(audio_s=(3601,), transcript_batch=8)}, "from 1 to 3600"),
        (SPEECH, {"sizes": Sizes(transcript_beams=0)}, "pass 1 or more"),
        ("translation", {"sizes": Sizes(beams=())}, "from 1"),
    ],
)
def test_what_does_not_go_together_is_refused(task: str, arguments: Any, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "none"}')
    settings = replace(settings_for(True, 1, 1), scenarios=())
    with pytest.raises(InputError, match=said):
        of_checkpoint(tmp_path, task, settings, **arguments)


def test_other_scenarios_and_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        of_checkpoint(tmp_path, TEXT, settings_for(True, 1, 1))
    (tmp_path / "config.json").write_text('{"model_type": "none"}')
    with pytest.raises(InputError, match="measured by the scenarios generation, streams, not single-stream"):
        of_checkpoint(tmp_path, TEXT, settings_for(True, 1, 1))
