"""automatic-speech-recognition of models with a CTC head beside transformers': texts, times, windows, beams."""

from __future__ import annotations

import json
from base64 import b64decode
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
from onnxpress_exporter.judging.figures import edit_distance
from onnxpress_exporter.judging.sounds import judged_sounds, voice
from tests.fixtures.store import Store
from tests.fixtures.tiny_ctc import PARAKEET, WITH_CTC, tiny_ctc_checkpoint

TASK = "automatic-speech-recognition"
RATE = 16_000
OPTIONS: list[dict[str, Any]] = [
    {},
    {"return_timestamps": "char"},
    {"return_timestamps": "word"},
    {"chunk_length_s": 1.0, "return_timestamps": "word"},
    {"chunk_length_s": 1.13, "stride_length_s": (0.3, 0.1), "return_timestamps": "char"},
    {"chunk_length_s": 0.9, "stride_length_s": 0.1},
]

#: Seconds that a word's time may be from the synthesizer's own.
APART = 0.08


@pytest.fixture(scope="module")
def spoken(trained: Callable[[str], Path]) -> list[dict[str, Any]]:
    """Held-out sentences of the trained checkpoint: `samples`, `text`, `times` of the words."""
    with (trained("tiny-words-ctc") / "examples.jsonl").open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        file = BytesIO(b64decode(row["audio"].partition(",")[2]))
        row["samples"] = soundfile.read(file, dtype="float32")[0]
    return rows


@pytest.fixture(scope="module")
def both(trained: Callable[[str], Path], store: Store, reference: Callable[..., Any]) -> tuple[Any, Any]:
    checkpoint = trained("tiny-words-ctc")
    return pipeline(model=store.artifact(checkpoint)), reference(checkpoint, TASK)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_texts_and_times(both: tuple[Any, Any], spoken: list[dict[str, Any]], options: dict[str, Any]) -> None:
    ours, theirs = both
    sounds = [*(row["samples"] for row in spoken[:4]), np.concatenate([row["samples"] for row in spoken[4:9]])]
    expected = [theirs(sound.copy(), **options) for sound in sounds]
    assert [ours(sound, **options) for sound in sounds] == expected
    assert ours(sounds, **options) == expected
    assert any(answer["text"] for answer in expected)


def test_words_and_their_times_are_the_synthesizers(both: tuple[Any, Any], spoken: list[dict[str, Any]]) -> None:
    ours, _ = both
    wrong, apart = 0, []
    for row in spoken:
        heard = ours(row["samples"], return_timestamps="word")
        wrong += edit_distance(heard["text"].split(), row["text"].split())
        if heard["text"] == row["text"]:
            times = [chunk["timestamp"] for chunk in heard["chunks"]]
            apart += np.abs(np.array(times) - np.array(row["times"])).ravel().tolist()
    assert wrong / sum(len(row["text"].split()) for row in spoken) <= 0.05
    assert np.quantile(apart, 0.9) <= APART


def test_long_sounds_are_heard_in_windows(both: tuple[Any, Any], spoken: list[dict[str, Any]]) -> None:
    """Unasked; `chunk_length_s=0` hears a sound whole."""
    ours, theirs = both
    sound = np.concatenate([row["samples"] for row in spoken] * 2)[: 61 * RATE]
    heard = ours(sound, return_timestamps="word")
    assert heard == theirs(sound.copy(), chunk_length_s=30.0, stride_length_s=5.0, return_timestamps="word")
    times = [chunk["timestamp"] for chunk in heard["chunks"]]
    assert all(start < end for start, end in times)
    assert sorted(times) == times
    assert ours(sound[: 5 * RATE], chunk_length_s=0) == theirs(sound[: 5 * RATE].copy())


def test_beams(both: tuple[Any, Any], spoken: list[dict[str, Any]], tmp_path: Path) -> None:
    ours, _ = both
    words = sorted({word for row in spoken for word in row["text"].split()})
    (tmp_path / "words.txt").write_text("\n".join(words), encoding="utf-8")
    row = spoken[0]
    plain = ours(row["samples"], return_timestamps="word")
    beams = ours(row["samples"], return_timestamps="word", beam_width=8)
    assert beams["text"] == plain["text"]
    heard, expected = (np.array([chunk["timestamp"] for chunk in answer["chunks"]]) for answer in (beams, plain))
    assert np.abs(heard - expected).max() <= APART
    for listed in (words, str(tmp_path / "words.txt"), tmp_path / "words.txt"):
        assert set(ours(row["samples"], words=listed)["text"].split()) <= set(words)
    assert set(ours(row["samples"], words=["nine"])["text"].split()) <= {"nine"}
    arpa = tmp_path / "words.arpa"
    rows = "".join(f"-2.0\t{word}\t0.0\n" for word in words)
    arpa.write_text(f"\\data\\\nngram 1={len(words)}\n\n\\1-grams:\n-1\t</s>\n{rows}\\end\\\n", encoding="utf-8")
    assert ours(row["samples"], language_model=arpa)["text"] == plain["text"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"return_timestamps": True}, "'char' or 'word'"),
        ({"return_timestamps": "segment"}, "'char' or 'word'"),
        ({"chunk_length_s": 1, "stride_length_s": 1}, "leaves nothing"),
        ({"chunk_length_s": -1}, "seconds"),
        ({"beam_width": 0}, "beam_width"),
        ({"beam_width": 1, "words": ["a"]}, "need beams"),
        ({"words": "no such file"}, "cannot be read"),
        ({"words": 5}, "list of words"),
        ({"language_model": "no such file"}, "cannot be read"),
        ({"decoder_kwargs": {"beam_width": 3}}, "decoder_kwargs"),
    ],
)
def test_what_is_no_call_is_refused(both: tuple[Any, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        both[0](voice(RATE, 0.5, 1), **options)


@settings(max_examples=15)
@given(st.lists(st.tuples(st.integers(200, 30_000), st.integers(0, 99)), min_size=2, max_size=6))
def test_the_same_sound_has_the_same_answer_in_any_batch(both: tuple[Any, Any], drawn: list[tuple[int, int]]) -> None:
    ours, _ = both
    sounds = [np.random.default_rng(seed).uniform(-0.5, 0.5, length).astype(np.float32) for length, seed in drawn]
    alone = [ours(sound, return_timestamps="char") for sound in sounds]
    assert ours(sounds, return_timestamps="char") == alone


@pytest.mark.nightly
@pytest.mark.parametrize("name", WITH_CTC)
def test_every_architecture(name: str, tmp_path: Path, store: Store, reference: Callable[..., Any]) -> None:
    """At lengths that were not traced, alone and in batches. Of Parakeet transformers has neither times nor windows."""
    checkpoint = tiny_ctc_checkpoint(name, tmp_path / "checkpoint")
    sounds = [*(voice(RATE, seconds, seed) for seed, seconds in enumerate((0.31, 1.7, 3.3))), *judged_sounds(RATE)[:6]]
    theirs = reference(checkpoint, TASK)
    with pipeline(model=store.artifact(checkpoint, task=TASK)) as ours:
        for options in OPTIONS[: 1 if name == PARAKEET else None]:
            expected = [theirs(sound.copy(), **options) for sound in sounds]
            assert [ours(sound, **options) for sound in sounds] == expected
            assert ours(sounds, **options) == expected
        assert len({answer["text"] for answer in expected}) > 1


@pytest.mark.nightly
def test_tokenizers_of_letters(tmp_path: Path, store: Store, reference: Callable[..., Any]) -> None:
    checkpoint = tiny_ctc_checkpoint("wav2vec2", tmp_path / "checkpoint", do_lower_case=True)
    sound = voice(RATE, 1.7, 5)
    theirs = reference(checkpoint, TASK)
    with pipeline(model=store.artifact(checkpoint, task=TASK)) as ours:
        for options in OPTIONS[:3]:
            assert ours(sound, **options) == theirs(sound.copy(), **options)
        for text in ("hello | there", "It's <unk>  9"):
            assert ours.tokenizer(text)["input_ids"] == theirs.pipe.tokenizer(text)["input_ids"]
