"""Transcripts as subtitles and tables: times, lines, forms, and the files that they are written to."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxpress.cli.transcripts import Transcripts
from onnxpress.errors import InputError
from onnxpress.pipelines.sounds import Transcribed
from onnxpress.speech.subtitles import FORMATS, Cue, cues_of, gathered, written

RESULT = {
    "text": " Hello there. a --> b & <c>",
    "chunks": [
        {"text": " Hello there.", "timestamp": (0.0, 1.5)},
        {"text": "  ", "timestamp": (1.5, 1.6)},
        {"text": " a --> b & <c>", "timestamp": (3661.25, None)},
    ],
}

seconds = st.none() | st.floats(0, 20_000)
chunks = st.lists(
    st.builds(
        lambda text, start, end: {"text": text, "timestamp": (start, end)},
        st.text(max_size=30),
        seconds,
        seconds,
    ),
    max_size=12,
)


def _cues(form: str) -> str:
    return written(RESULT, cues_of(RESULT, lambda: 3662.0), form)


def test_forms_are_those_of_whisper() -> None:
    assert _cues("txt") == "Hello there.\na --> b & <c>\n"
    assert _cues("srt") == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n01:01:01,250 --> 01:01:02,000\na -> b & <c>\n\n"
    )
    assert _cues("vtt") == (
        "WEBVTT\n\n00:00.000 --> 00:01.500\nHello there.\n\n01:01:01.250 --> 01:01:02.000\na -> b &amp; &lt;c>\n\n"
    )
    assert _cues("tsv") == "start\tend\ttext\n0\t1500\tHello there.\n3661250\t3662000\ta --> b & <c>\n"
    assert json.loads(_cues("json")) == {
        "text": RESULT["text"],
        "segments": [
            {"id": 0, "start": 0.0, "end": 1.5, "text": "Hello there."},
            {"id": 1, "start": 3661.25, "end": 3662.0, "text": "a --> b & <c>"},
        ],
    }


def test_a_text_without_times_lasts_as_long_as_the_sound() -> None:
    assert cues_of({"text": " Yes."}, lambda: 2.5) == [Cue(0.0, 2.5, "Yes.")]
    assert cues_of({"text": ""}, lambda: 2.5) == []
    assert written({"text": ""}, [], "txt") == "\n" and written({"text": ""}, [], "srt") == ""


def test_languages_stand_in_json() -> None:
    result = {"text": "ja", "chunks": [{"text": "ja", "timestamp": (0.0, 1.0), "language": "german"}]}
    assert json.loads(written(result, cues_of(result, lambda: 1.0), "json"))["segments"][0]["language"] == "german"


@given(chunks)
def test_times_never_go_back_and_what_is_written_is_read(parts: list[dict[str, Any]]) -> None:
    result = {"text": "", "chunks": parts}
    cues = cues_of(result, lambda: 20_000.0)
    assert all(cue.start <= cue.end and cue.text and "\n" not in cue.text for cue in cues)
    assert all(before.start <= after.start for before, after in pairwise(cues))
    assert [cue.text for cue in cues] == [text for part in parts if (text := " ".join(part["text"].split()))]
    blocks = re.findall(
        r"(\d+)\n(\d+):(\d\d):(\d\d),(\d{3}) --> (\d+):(\d\d):(\d\d),(\d{3})\n(.*)\n\n", written(result, cues, "srt")
    )
    assert [int(block[0]) for block in blocks] == list(range(1, len(cues) + 1))
    for cue, (_, *clocks, _text) in zip(cues, blocks, strict=True):
        for time, parts_of in ((cue.start, clocks[:4]), (cue.end, clocks[4:])):
            hours, minutes, second, thousandths = map(int, parts_of)
            assert abs(hours * 3600 + minutes * 60 + second + thousandths / 1000 - time) <= 0.00051
    rows = [line.split("\t") for line in written(result, cues, "tsv").split("\n")[1:-1]]
    assert [(int(start), int(end), text) for start, end, text in rows] == [
        (round(1000 * cue.start), round(1000 * cue.end), cue.text) for cue in cues
    ]


@given(
    st.lists(st.tuples(st.text("ab", min_size=1, max_size=50), st.floats(0, 3), st.floats(0, 2)), max_size=20),
)
def test_words_are_gathered_to_lines(words: list[tuple[str, float, float]]) -> None:
    cues, now = [], 0.0
    for text, pause, length in words:
        start, now = now + pause, now + pause + length
        cues.append(Cue(start, now, text))
    lines = gathered(cues)
    assert " ".join(line.text for line in lines) == " ".join(cue.text for cue in cues)
    for line in lines:
        assert " " not in line.text or (len(line.text) <= 42 and line.end - line.start <= 5.0)
    assert all(before.end <= after.start for before, after in pairwise(lines))


def _transcripts(form: str, target: Path) -> Transcripts:
    return Transcripts(form, target, gathers=False)


@pytest.mark.parametrize("form", FORMATS)
def test_files_are_named_as_their_sounds(form: str, tmp_path: Path) -> None:
    transcripts = _transcripts(form, tmp_path / "texts")
    sounds: list[Any] = [
        "a/talk.wav",
        "b/talk.flac",
        {"path": "lecture.mp3"},
        {"array": [0.0]},
        "data:audio/wav;base64,",
    ]
    files = [transcripts.write(sound, transcripts.text(Transcribed({"text": "ä"}, 1.0))) for sound in sounds]
    assert [file.name for file in files] == [
        f"{name}.{form}" for name in ("talk", "talk-2", "lecture", "sound", "sound-2")
    ]
    assert "ä" in files[0].read_text(encoding="utf-8")


def test_one_file_has_room_for_one(tmp_path: Path) -> None:
    transcripts = _transcripts("srt", tmp_path / "talk.srt")
    assert transcripts.write("x.wav", "1\n") == tmp_path / "talk.srt"
    with pytest.raises(InputError, match="name a folder"):
        transcripts.write("y.wav", "1\n")
    (tmp_path / "talk.txt").write_text("")
    with pytest.raises(InputError, match=r"written as \.srt"):
        _transcripts("srt", tmp_path / "talk.txt").check(1)
