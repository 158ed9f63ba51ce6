"""Long sounds: memory does not grow with them, and what is said in an hour is written once, in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import onnxpress
from tests.fixtures import spoken_hours
from tests.fixtures.tiny_sounds import tiny_whisper

pytestmark = pytest.mark.nightly

#: How many minutes Whisper with real weights is to hear.
MINUTES = float(os.environ.get("ONNXPRESS_SPOKEN_MINUTES", 60))

#: Peak memory of a process that hears a file, in KiB.
MEASURED = """
import json, resource, sys
import onnxpress
artifact, sound, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
pipe = onnxpress.pipeline(model=artifact, threads=1)
result = pipe(sound, max_new_tokens=4, num_beams=1, return_timestamps=True, **options)
starts = [chunk["timestamp"][0] for chunk in result["chunks"]]
assert starts == sorted(starts)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, result.seconds)
"""


def peak(artifact: Path, sound: Path, **options: Any) -> float:
    """MiB that a process takes at most while it hears a file."""
    command = [sys.executable, "-c", MEASURED, str(artifact), str(sound), json.dumps(options)]
    kib, seconds = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert float(seconds) == soundfile.info(sound).duration
    return float(kib) / 1024


@pytest.mark.parametrize("options", [{}, {"chunk_length_s": 2.0, "batch_size": 4}, {"vad": True}])
def test_memory_is_flat(
    options: dict[str, Any], exported: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("flat")
    artifact = exported(tiny_whisper(folder / "checkpoint"), "automatic-speech-recognition").folder
    noise = np.random.default_rng(0).standard_normal(60 * spoken_hours.RATE).astype(np.float32) * 0.1
    peaks = []
    for minutes in (1, 10):
        with soundfile.SoundFile(folder / f"{minutes}.wav", "w", spoken_hours.RATE, 1) as file:
            for _ in range(minutes):
                file.write(noise)
        peaks.append(peak(artifact, folder / f"{minutes}.wav", **options))
    assert peaks[1] - peaks[0] < 12.0, peaks  # the samples alone are 35 MiB more


@pytest.mark.parametrize("options", [{"chunk_length_s": 30, "batch_size": 4, "vad": True}, {}])
def test_an_hour_of_sentences(options: dict[str, Any], tmp_path: Path) -> None:
    """No sentence is written again and again, times never go back, and few words are wrong."""
    if not spoken_hours.is_there():
        pytest.skip("espeak-ng, which speaks the sentences, is not installed")
    if spoken_hours.REAL_WHISPER not in os.environ:
        pytest.skip(f"{spoken_hours.REAL_WHISPER} names no artifact of Whisper with real weights")
    path = tmp_path / "hour.flac"
    said = spoken_hours.write(path, MINUTES)
    pipe = onnxpress.pipeline("automatic-speech-recognition", os.environ[spoken_hours.REAL_WHISPER])
    result = pipe(str(path), return_timestamps=True, num_beams=1, generate_kwargs={"language": "en"}, **options)
    check(result, said)


def check(result: Any, said: list[spoken_hours.Said], most_wrong: float = 0.25) -> float:
    """Raises AssertionError where a result is not what a right one is; the share of words that are wrong."""
    times = [time for chunk in result["chunks"] for time in chunk["timestamp"] if time is not None]
    assert times == sorted(times) and times[-1] <= result.seconds + 0.02
    runs = [len(list(group)) for _, group in groupby(chunk["text"] for chunk in result["chunks"])]
    assert max(runs) <= 2
    expected = [word for sentence in said for word in spoken_hours.words_of(sentence.text)]
    wrong = spoken_hours.wrong_words(expected, spoken_hours.words_of(result["text"])) / len(expected)
    assert wrong <= most_wrong, wrong
    return wrong
