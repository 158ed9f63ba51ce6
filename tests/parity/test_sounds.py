"""Tasks of sounds against transformers' pipelines: every way to pass a sound, every option, every architecture."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxpress import InputError, pipeline
from onnxpress_exporter.judging.sounds import judged_sounds, voice
from tests.fixtures.store import Store
from tests.fixtures.tiny_sounds import ARCHITECTURES, tiny_sound_checkpoint
from tests.parity.alike import assert_alike

TASK = "audio-classification"
RATE = 16_000
SOUNDS = [voice(RATE, seconds, seed) for seed, seconds in enumerate((0.8, 0.31, 1.7, 0.8, 0.1))]

#: AST has bands without a frequency: its class says so, and its models were trained so.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")


@pytest.fixture(scope="module")
def classifiers(trained: Callable[[str], Path], store: Store, reference: Callable[..., Any]) -> tuple[Any, Any]:
    checkpoint = trained("tiny-sounds-ast")
    return pipeline(model=store.artifact(checkpoint)), reference(checkpoint, TASK)


@pytest.mark.parametrize(
    "options",
    [{}, {"top_k": 1}, {"top_k": 99}, {"top_k": None}]
    + [{"function_to_apply": name} for name in ("sigmoid", "softmax", "none")],
    ids=str,
)
def test_options(classifiers: tuple[Any, Any], options: dict[str, Any]) -> None:
    ours, theirs = classifiers
    assert_alike(ours(SOUNDS[0], **options), theirs(SOUNDS[0], **options))
    assert_alike(ours(SOUNDS, **options), theirs(SOUNDS, **options))


def test_every_way_to_pass_a_sound(classifiers: tuple[Any, Any], tmp_path: Path) -> None:
    ours, theirs = classifiers
    path, sound = tmp_path / "a sound.wav", SOUNDS[0]
    soundfile.write(path, sound, RATE, subtype="FLOAT")
    expected = theirs(sound)
    for raw in ({"array": sound, "sampling_rate": RATE}, {"raw": sound, "sampling_rate": RATE}):
        assert_alike(ours(raw), theirs(dict(raw)))
    with path.open("rb") as file:
        for raw in (path, str(path), path.read_bytes(), BytesIO(path.read_bytes()), file, np.stack([sound, sound])):
            assert_alike(ours(raw), expected)
    assert_alike(list(ours(iter(SOUNDS))), [theirs(each) for each in SOUNDS])
    assert ours([]) == []
    with pytest.raises(InputError, match="Pass one sound or several"):
        ours(None)
    with pytest.raises(InputError, match=r"inputs\[1\]: .* no such file"):
        ours([path, "nowhere.wav"])
    with pytest.raises(InputError, match="top_k is -1"):
        ours(sound, top_k=-1)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(200, 30_000), st.integers(0, 99)), min_size=2, max_size=6))
def test_the_same_sound_has_the_same_answer_in_any_batch(
    classifiers: tuple[Any, Any], drawn: list[tuple[int, int]]
) -> None:
    ours, _ = classifiers
    sounds = [np.random.default_rng(seed).uniform(-0.5, 0.5, length).astype(np.float32) for length, seed in drawn]
    assert_alike(ours(sounds), [ours(sound) for sound in sounds])


def test_kinds_of_sounds_are_told_apart_in_every_precision(trained: Callable[[str], Path], store: Store) -> None:
    checkpoint = trained("tiny-sounds-ast")
    with (checkpoint / "examples.jsonl").open(encoding="utf-8") as lines:
        examples = [json.loads(line) for line in lines]
    artifact = store.artifact(checkpoint, precision=("fp32", "q8"))
    for precision in ("fp32", "q8"):
        with pipeline(model=artifact, precision=precision) as pipe:
            answers = pipe([row["audio"] for row in examples], top_k=1)
        right = [best["label"] == row["label"] for (best,), row in zip(answers, examples, strict=True)]
        assert sum(right) / len(right) >= 0.92


@pytest.mark.nightly
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture(name: str, tmp_path: Path, store: Store, reference: Callable[..., Any]) -> None:
    """At lengths that were not traced, alone and in batches; the answers differ from sound to sound."""
    checkpoint = tiny_sound_checkpoint(name, tmp_path / "checkpoint")
    sounds = [*SOUNDS, *judged_sounds(RATE)[:6]]
    with pipeline(model=store.artifact(checkpoint)) as ours:
        theirs = reference(checkpoint, TASK)
        expected = [theirs(sound) for sound in sounds]
        assert_alike([ours(sound) for sound in sounds], expected)
        assert_alike(ours(sounds), expected)
    scores = np.array([[row["score"] for row in sorted(rows, key=lambda row: row["label"])] for rows in expected])
    assert np.ptp(scores, axis=0).max() > 1e-3


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2-bert", "whisper"])
def test_a_sound_that_is_shorter_than_the_model_reads(name: str, tmp_path: Path, store: Store) -> None:
    """It is lengthened with silence, where transformers fails in a convolution."""
    checkpoint = tiny_sound_checkpoint(name, tmp_path / "checkpoint")
    with pipeline(model=store.artifact(checkpoint)) as pipe:
        least = pipe.manifest.processors.audio.least
        few = np.full(30, 0.2, np.float32)
        assert_alike(pipe(few), pipe(np.pad(few, (0, max(0, least - 30)))))
