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
from tests.fixtures.tiny_sounds import ARCHITECTURES, tiny_clap, tiny_sound_checkpoint
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
    assert np.ptp(scores, axis=0).max() > 5e-4


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["wav2vec2", "wav2vec2-bert", "whisper"])
def test_a_sound_that_is_shorter_than_the_model_reads(name: str, tmp_path: Path, store: Store) -> None:
    """It is lengthened with silence, where transformers fails in a convolution."""
    checkpoint = tiny_sound_checkpoint(name, tmp_path / "checkpoint")
    with pipeline(model=store.artifact(checkpoint)) as pipe:
        least = pipe.manifest.processors.audio.least
        few = np.full(30, 0.2, np.float32)
        assert_alike(pipe(few), pipe(np.pad(few, (0, max(0, least - 30)))))


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "whisper"])
def test_states_of_every_architecture(name: str, tmp_path: Path, store: Store) -> None:
    """feature-extraction of sounds gives what transformers' bodies do; its pipeline reads none."""
    import torch
    from transformers import AutoFeatureExtractor, AutoModel

    checkpoint = tiny_sound_checkpoint(name, tmp_path / "checkpoint", "Model")
    extractor, model = AutoFeatureExtractor.from_pretrained(checkpoint), AutoModel.from_pretrained(checkpoint).eval()
    with pipeline(model=store.artifact(checkpoint)) as ours:
        assert ours.task == "feature-extraction"
        for sound, states in zip(SOUNDS, ours(SOUNDS, return_tensors="np"), strict=True):
            with torch.no_grad():
                expected = model(**extractor(sound, sampling_rate=RATE, return_tensors="pt")).last_hidden_state
            assert states.shape == tuple(expected.shape)
            assert np.abs(states - expected.numpy()).max() < 1e-3


LABELS = ["cat", "the quick brown fox", "two dogs and more words in Paris", "x", "Cat!"]


@pytest.fixture(scope="module")
def claps(
    tmp_path_factory: pytest.TempPathFactory, store: Store, reference: Callable[..., Any]
) -> Callable[..., tuple[Any, Any]]:
    """`claps(fused=...)` -> our pipeline that compares texts with sounds, and transformers'."""

    def open_both(*, fused: bool) -> tuple[Any, Any]:
        checkpoint = tiny_clap(tmp_path_factory.mktemp("clap") / "checkpoint", fused=fused)
        return pipeline(model=store.artifact(checkpoint)), reference(checkpoint, "zero-shot-audio-classification")

    return open_both


@pytest.mark.parametrize("fused", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_texts_beside_sounds(claps: Callable[..., tuple[Any, Any]], *, fused: bool) -> None:
    import torch

    ours, theirs = claps(fused=fused)
    sounds = [sound[:RATE] for sound in SOUNDS]  # of longer ones transformers takes pieces at random
    for options in ({}, {"hypothesis_template": "{} did it twice"}):
        expected = [theirs(sound, candidate_labels=LABELS, **options) for sound in sounds]
        assert_alike(ours(sounds, LABELS, **options), expected)
        assert_alike(list(ours((sound for sound in sounds), candidate_labels=LABELS, **options)), expected)
        assert_alike([ours(sound, LABELS, **options) for sound in sounds], expected)
    assert_alike(ours(audios=sounds[0], candidate_labels="cat, x"), theirs(sounds[0], candidate_labels=["cat", "x"]))
    assert_alike(ours(SOUNDS[2], LABELS), ours(SOUNDS[2][:RATE], LABELS))  # the beginning, always
    with torch.no_grad():
        features = theirs.pipe.feature_extractor(sounds[0], sampling_rate=RATE, return_tensors="pt")
        heard = theirs.pipe.model.get_audio_features(**features).pooler_output.numpy()
        tokens = theirs.pipe.tokenizer(LABELS, padding=True, return_tensors="pt")
        words = theirs.pipe.model.get_text_features(**tokens).pooler_output.numpy()
    assert np.allclose(ours.embed_audio(sounds[0]), heard, atol=1e-5)
    assert np.allclose(ours.embed_texts(LABELS), words, atol=1e-5)
    assert ours.embed_audio([]).shape == (0, 24) and ours.embed_audio(sounds, batch_size=2).shape == (5, 24)
    with pytest.raises(InputError, match="candidate_labels is empty"):
        ours(sounds[0])
