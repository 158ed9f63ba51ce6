"""text-to-audio over a hand-made speaker: its noise, its parameters, what it refuses, and the files of a command."""

from __future__ import annotations

import base64
import json
import wave
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from onnxpress import InputError, pipeline
from onnxpress.cli.main import program
from tests.fixtures.speaking import FRAME, LETTERS, RATE, write_speaker

QUIET = {"noise_scale": 0.0, "noise_scale_duration": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speaker(tmp_path_factory.mktemp("speaker") / "artifact")


@pytest.fixture(scope="module")
def pipe(folder: Path) -> Any:
    return pipeline("text-to-speech", folder, threads=1)


def test_a_letter_lasts_as_long_as_the_graph_says(pipe: Any) -> None:
    answer = pipe("B! c", forward_params=QUIET)
    assert list(answer) == ["audio", "sampling_rate"] and answer["sampling_rate"] == RATE
    numbers = [LETTERS.index(letter) for letter in "b c"]
    assert answer["audio"].dtype == np.float32 and answer["audio"].shape == (FRAME * sum(numbers),)
    expected = np.tanh(np.float32(0.03) * np.repeat(numbers, [FRAME * number for number in numbers]))
    assert np.allclose(answer["audio"], expected, atol=1e-6)
    slow = pipe("B! c", forward_params={**QUIET, "speaking_rate": 0.5})["audio"]
    assert len(slow) == 2 * FRAME * sum(numbers)


@given(
    st.lists(st.text(LETTERS[1:], min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=4), st.integers(0, 9)
)
def test_the_same_seed_sounds_the_same_alone_and_beside_others(pipe: Any, texts: list[str], seed: int) -> None:
    together = pipe(texts, seed=seed, batch_size=3)
    for text, answer in zip(texts, together, strict=True):
        assert np.array_equal(pipe(text, seed=seed)["audio"], answer["audio"])


def test_other_noise_sounds_otherwise(pipe: Any) -> None:
    first, second, *others = (pipe("hello", seed=seed)["audio"] for seed in (0, 0, 1, None, None))
    assert np.array_equal(first, second)
    assert len({len(sound) for sound in (first, *others)}) > 1 or not np.array_equal(first, others[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forward_params": {"speaking_rat": 2}}, "Did you mean 'speaking_rate'"),
        ({"forward_params": {"speaking_rate": 0}}, "must be positive"),
        ({"forward_params": {"noise_scale": "loud"}}, "must be a number"),
        ({"forward_params": {"speaking_rate": 1e-9}}, "at most 1800 are made of one text"),
        ({"forward_params": [1]}, "must be a dictionary"),
        ({"generate_kwargs": {"do_sample": True}}, "has 'do_sample'"),
        ({"seed": -1}, "must be a number from 0"),
        ({"seed": True}, "must be a number from 0"),
    ],
)
def test_wrong_calls_say_what_to_pass(pipe: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pipe("hello", **options)


def test_a_text_of_which_nothing_is_left_is_refused(pipe: Any) -> None:
    for text in ("", "!?", "你好", " "):
        with pytest.raises(InputError, match="no tokens at all"):
            pipe(text)
    assert pipe([]) == []


def test_a_command_writes_files(folder: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> Any:
        return CliRunner().invoke(program, ["run", str(folder), *arguments])

    result = run("hello", "--out", str(tmp_path / "hello.wav"))
    assert result.exit_code == 0 and "written:" in result.output and "seconds" in result.output
    with wave.open(str(tmp_path / "hello.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (RATE, 1) and file.getnframes() > 0
    assert run("a", "b", "--out", str(tmp_path / "several")).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "several").iterdir()) == ["sound-1.wav", "sound-2.wav"]
    refused = run("a", "b", "--out", str(tmp_path / "both.wav"))
    assert refused.exit_code != 0 and "name a folder" in str(refused.output) + str(refused.exception)
    value = json.loads(run("hello", "--json").output)
    head, _, content = value["audio"].partition(",")
    assert head == "data:audio/wav;base64"
    with wave.open(BytesIO(base64.b64decode(content))) as file:
        assert file.getnframes() > 0
