"""`onnxpress run --format`: transcripts of a model that hears, on the terminal and in files."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxpress import InputError
from onnxpress.cli.main import program


def _run(folder: Path, *arguments: str, lines: str | None = None) -> Result:
    return CliRunner().invoke(program, ["run", str(folder), *arguments], input=lines)


@pytest.fixture(scope="module")
def hearing(exported: Callable[..., Any], trained: Callable[[str], Path]) -> Path:
    return Path(exported(trained("tiny-words-ctc")).folder)


@pytest.fixture(scope="module")
def talks(trained: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sounds of the model's examples."""
    folder = tmp_path_factory.mktemp("talks")
    lines = (trained("tiny-words-ctc") / "examples.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines[:2]):
        (folder / f"talk{number}.ogg").write_bytes(b64decode(json.loads(line)["audio"].partition(",")[2]))
    return folder


def _text(folder: Path, sound: Path) -> str:
    answer: dict[str, Any] = json.loads(_run(folder, str(sound), "--json").output)
    return str(answer["text"])


def test_words_are_gathered_unless_they_are_asked_for(hearing: Path, talks: Path) -> None:
    sound = talks / "talk0.ogg"
    text = _text(hearing, sound)
    lines = json.loads(_run(hearing, str(sound), "--format", "json").output)
    words = json.loads(_run(hearing, str(sound), "--format", "json", "-s", "return_timestamps=word").output)
    assert lines["text"] == words["text"] == text
    assert " ".join(segment["text"] for segment in lines["segments"]) == text
    assert [segment["text"] for segment in words["segments"]] == text.split()
    assert lines["segments"][0]["start"] == words["segments"][0]["start"]
    assert lines["segments"][-1]["end"] == words["segments"][-1]["end"]
    assert _run(hearing, str(sound), "--format", "txt").output == f"{text}\n"


def test_several_have_headings_or_files(hearing: Path, talks: Path, tmp_path: Path) -> None:
    names = ("talk0", "talk1")
    texts = {name: _text(hearing, talks / f"{name}.ogg") for name in names}
    shown = _run(hearing, str(talks), "--format", "txt").output
    assert shown == "".join(f"== {talks / name}.ogg ==\n{texts[name]}\n" for name in names)
    written = _run(hearing, str(talks), "--format", "srt", "--out", str(tmp_path / "out"))
    assert written.exit_code == 0 and written.output.count("written:") == 2
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["talk0.srt", "talk1.srt"]
    piped = _run(hearing, "--format", "vtt", lines=f"{talks / 'talk1.ogg'}\n").output
    assert piped.startswith(f"== {talks / 'talk1.ogg'} ==\nWEBVTT\n\n00:0")
    refused = _run(hearing, str(talks), "--format", "srt", "--out", str(tmp_path / "one.srt"))
    assert isinstance(refused.exception, (InputError, SystemExit)) and not (tmp_path / "one.srt").exists()


def test_a_sound_that_cannot_be_heard_is_named(hearing: Path, talks: Path) -> None:
    result = _run(hearing, "missing.wav", str(talks / "talk0.ogg"), "--format", "txt", "--on-error", "continue")
    assert result.exit_code != 0
    assert "missing.wav\n  error: " in result.output and "== " in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "srt", "--json"), "leave --json out"),
        (("--format", "srt", "-s", "return_timestamps=false"), "leave return_timestamps out"),
        (("--format", "str"), "srt"),
    ],
)
def test_what_cannot_be_written_is_refused(
    hearing: Path, talks: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = _run(hearing, str(talks / "talk0.ogg"), *arguments)
    assert result.exit_code != 0 and message in result.output + str(result.exception)


def test_other_tasks_are_refused(exported: Callable[..., Any], trained: Callable[[str], Path]) -> None:
    result = _run(exported(trained("tiny-sentiment")).folder, "Good.", "--format", "srt")
    assert result.exit_code == 2 and "task is text-classification" in result.output
